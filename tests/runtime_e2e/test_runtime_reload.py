"""Saving a file swaps in the new code; code that does not start leaves the old one serving."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.restarts import Cause
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned


async def test_a_save_swaps_in_the_new_code_within_the_budget(bench: Bench) -> None:
    main = bench.write("echo/main.py", versioned(0))
    took = []
    async with bench.session("echo") as session:
        await session.running()
        for number in range(1, 8):
            began = time.perf_counter()
            main.write_text(versioned(number))
            reload = await session.topic(Topic.RELOAD)
            took.append(time.perf_counter() - began)
            assert await bench.call("echo.version") == number
            assert reload.text == "main.py"
            assert 0 <= reload.seconds < 2
    print(f"\nsave to serving: median {statistics.median(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f} ms")
    assert statistics.median(took) < 1.0


async def test_the_way_an_editor_saves_counts_as_a_save(bench: Bench) -> None:
    """A new file is written aside and renamed over the old one; or the old one is moved away first."""
    main = bench.write("echo/main.py", versioned(0))
    async with bench.session("echo") as session:
        await session.running()
        aside = bench.write("echo/.main.py.swp", versioned(1))
        aside.rename(main)
        await session.topic(Topic.RELOAD)
        assert await bench.call("echo.version") == 1
        main.rename(main.with_name("main.py~"))
        main.write_text(versioned(2))
        await session.topic(Topic.RELOAD)
        assert await bench.call("echo.version") == 2


async def test_ten_saves_in_a_second_end_with_the_last_one(bench: Bench) -> None:
    """They may be taken together, none is lost, and no more nodes than the cap drain."""
    bench.write("echo/main.py", versioned(0))
    async with bench.session("echo") as session:
        await session.running()
        for number in range(1, 11):
            bench.write("echo/main.py", versioned(number))
            await asyncio.sleep(0.1)  # a person's pace, not a wait
        while await bench.call("echo.version") != 10:
            await session.topic(Topic.RELOAD)
        status = await bench.status("echo")
        assert status.version == "10"
        assert status.restarts <= 10
        assert len({node.generation for node in status.nodes}) <= 3


async def test_a_file_of_a_package_in_the_folder_is_code_too(bench: Bench) -> None:
    bench.write("echo/rules/__init__.py", "")
    number = bench.write("echo/rules/number.py", "NUMBER = 1\n")
    bench.write(
        "echo/main.py",
        versioned(0).replace("return 0", "return NUMBER").replace("from", "from rules.number import NUMBER\nfrom", 1),
    )
    async with bench.session("echo") as session:
        await session.running()
        assert await bench.call("echo.version") == 1
        number.write_text("NUMBER = 2\n")  # same size, same second: stale bytecode would win here
        reload = await session.topic(Topic.RELOAD)
        assert reload.text == "rules/number.py"
        assert await bench.call("echo.version") == 2


async def _fails_and_heals(bench: Bench, broken: str) -> Happening:
    """Save broken code: the old code serves on and the reason stands in the status, until the next good save."""
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.running()
        bench.write("echo/main.py", broken)
        failed = await session.topic(Topic.FAILED)
        assert "the code before serves on" in failed.text
        assert await bench.call("echo.version") == 1
        status = await bench.status("echo")
        assert (status.state, status.version, status.restarts) == (State.RUNNING, "1", 0)
        assert status.error
        assert status.error in failed.text
        assert "Traceback" not in status.error
        assert status.story[-1].changed == ("main.py",)
        bench.write("echo/main.py", versioned(2))
        await session.topic(Topic.RELOAD)
        assert await bench.call("echo.version") == 2
        status = await bench.status("echo")
        assert (status.error, status.version, status.restarts) == ("", "2", 1)
        assert status.story[-1].cause is Cause.CHANGE
        return failed


async def test_a_syntax_error_leaves_the_old_code_serving(bench: Bench) -> None:
    failed = await _fails_and_heals(bench, "from microlite import Service\ndef x(:\n")
    assert "SyntaxError" in failed.text
    assert any("def x(:" in line for line in failed.lines)


async def test_an_exception_at_import_leaves_the_old_code_serving(bench: Bench) -> None:
    failed = await _fails_and_heals(bench, "print('so far')\nnothing_of_this_name\n")
    assert "NameError: name 'nothing_of_this_name' is not defined" in failed.text
    assert failed.lines[0] == "so far"
    assert failed.lines[-1].startswith("NameError")


async def test_a_service_that_never_becomes_healthy_leaves_the_old_code_serving(impatient: Bench) -> None:
    failed = await _fails_and_heals(impatient, "import time\nprint('lost in thought', flush=True)\ntime.sleep(600)\n")
    assert "did not become healthy within 2 s" in failed.text
    assert failed.lines == ("lost in thought",)


async def test_code_that_ends_by_itself_is_told_what_it_lacks(bench: Bench) -> None:
    failed = await _fails_and_heals(bench, "from microlite import Service\nService('echo')\n")
    assert "main.py ended without serving: put `if __name__" in failed.text


async def test_newer_code_takes_the_place_of_code_that_hangs(bench: Bench) -> None:
    """Nobody waits half a minute for code that was replaced meanwhile."""
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.running()
        bench.write("echo/main.py", "import time\nprint('hanging', flush=True)\ntime.sleep(600)\n")
        await session.line("hanging")
        bench.write("echo/main.py", versioned(2))
        reload = await session.topic(Topic.RELOAD)
        assert reload.seconds < 5
        assert await bench.call("echo.version") == 2


async def test_broken_code_at_the_first_start_heals_with_a_save(bench: Bench) -> None:
    """A syntax error is not tried again: nothing but a change can cure it."""
    bench.write("echo/main.py", "from microlite import Service\nService('echo'\n")
    async with bench.session("echo") as session:
        failed = await session.topic(Topic.FAILED)
        assert "SyntaxError" in failed.text
        status = await bench.status("echo")
        assert status.state is State.ERROR
        assert "microlite update" in status.error
        bench.write("echo/main.py", versioned(1))
        await session.topic(Topic.RELOAD)
        assert await bench.call("echo.version") == 1
        assert (await bench.status("echo")).error == ""


async def test_what_the_project_declares_is_read_again_when_it_changes(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.running()
        bench.write("echo/pyproject.toml", "[tool.microlite]\ninstances = 2\n")
        await session.topic(Topic.RELOAD)
        assert {node.id for node in (await bench.status("echo")).nodes if node.state is State.RUNNING} == {
            "echo-1",
            "echo-2",
        }
        bench.write("echo/pyproject.toml", "[tool.microlite]\ninstances = many\n")
        failed = await session.topic(Topic.FAILED)
        assert "pyproject.toml" in failed.text
        assert await bench.call("echo.version") == 1


async def test_files_beside_a_file_that_is_run_do_not_reload_it(bench: Bench) -> None:
    """What it imports does, and so do the variables of its folder."""
    bench.write("prices.py", "PRICE = 1\n")
    bench.write("hold.py", "import prices\n" + versioned(0, "hold"))
    async with bench.session("hold.py") as session:
        await session.running("hold")
        bench.write("other.py", "one = 1\n")
        bench.write("notes/today.json", "{}")
        bench.write("prices.py", "PRICE = 2\n")
        assert (await session.topic(Topic.RELOAD)).text == "prices.py"
        bench.write(".env", "PRICE=3\n")
        assert (await session.topic(Topic.RELOAD)).text == ".env"


async def test_a_source_that_is_not_watched_is_loaded_by_update(bench: Bench) -> None:
    """It keeps what was asked for: its name, its version."""
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo", name="parrot", version="7", watch=False)
    bench.write("echo/main.py", versioned(2))
    assert await bench.call("parrot.version") == 1
    (status,) = await bench.statuses("runtime.update", service="parrot")
    assert await bench.call("parrot.version") == 2
    assert (status.name, status.version, status.restarts, status.error) == ("parrot", "7", 1, "")
    assert status.story[-1].cause is Cause.UPDATE
    bench.write("echo/main.py", "from microlite import Service\n1/0\n")
    (status,) = await bench.statuses("runtime.update", service="parrot")
    assert "ZeroDivisionError" in status.error
    assert await bench.call("parrot.version") == 2


async def test_update_changes_the_number_of_nodes(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo", watch=False)
    (status,) = await bench.statuses("runtime.update", service="echo", instances=3)
    assert sorted(node.id for node in status.nodes if node.state is State.RUNNING) == ["echo-1", "echo-2", "echo-3"]
    await bench.statuses("runtime.update", service="echo", instances=1)
    assert await bench.call("echo.version") == 1


async def test_a_folder_that_was_moved_away_is_an_error_of_update_alone(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo", watch=False)
    Path(bench.folder, "echo").rename(bench.folder / "away")
    with pytest.raises(Exception, match="there is no folder or file"):
        await bench.call("runtime.update", service="echo")
    assert await bench.call("echo.version") == 1
