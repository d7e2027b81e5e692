"""What runs, for how long, and how it is ended; refusals that leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from microlite import errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import ENVIRONMENT, Bench, bench_on, versioned


async def _gone(bench: Bench, service: str) -> None:
    """Return when the platform runs nothing of this name."""
    runners = bench.platform.runtime.matching(DEFAULT_NAMESPACE, service)
    assert runners
    await asyncio.wait({runner.finished for runner in runners})
    assert bench.platform.runtime.matching(DEFAULT_NAMESPACE, service) == []


async def test_services_of_a_session_end_with_it(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.running()
        (node,) = (await bench.status("echo")).nodes
        process = psutil.Process(node.pid)
        assert not (await bench.status("echo")).detached
    await _gone(bench, "echo")
    assert not process.is_running()
    with pytest.raises(errors.ServiceNotFound):
        await bench.call("echo.version")


async def test_a_session_tells_states_and_lines_in_their_order(bench: Bench) -> None:
    bench.write("echo/main.py", "print('loading')\n" + versioned(1))
    async with bench.session("echo") as session:
        await session.state(State.STARTING)
        line = await session.line("loading")
        assert (line.service, line.node) == ("echo", "echo-1")
        await session.state(State.RUNNING)
        await bench.call("runtime.kill", services=["echo"])
        await session.state(State.DRAINING)
        await session.state(State.STOPPED)
        await session.end()
        assert session.error is None


async def test_a_session_ends_when_the_last_of_its_services_is_killed(bench: Bench) -> None:
    bench.write("several/one/main.py", versioned(1, "one"))
    bench.write("several/two/main.py", versioned(2, "two"))
    async with bench.session("several") as session:
        await session.running("one", "two")
        assert await bench.call("one.version") == 1
        assert await bench.call("two.version") == 2
        await bench.call("runtime.kill", services=["one"])
        assert not session.ended
        await bench.call("runtime.kill", services=["two"])
        await session.end()
        assert session.error is None


async def test_the_second_run_of_a_service_is_refused_in_one_sentence(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo")
    with pytest.raises(errors.Conflict) as refused:
        await bench.run("echo")
    assert refused.value.detail.startswith(f"service echo is running already (detached, from {bench.folder / 'echo'})")
    assert "microlite kill echo" in refused.value.detail
    outcomes = await asyncio.gather(
        bench.run("echo", name="parrot"), bench.run("echo", name="parrot"), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {list, errors.Conflict}  # whichever came first


async def test_two_versions_run_side_by_side(bench: Bench) -> None:
    """They answer under one name; each can be seen, updated and killed by itself."""
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo", version="1.0")
    bench.write("next/main.py", versioned(2))
    await bench.run("next", version="2.0")
    assert {await bench.call("echo.version") for _ in range(50)} == {1, 2}
    statuses = await bench.statuses("runtime.status", service="echo")
    assert [status.version for status in statuses] == ["1.0", "2.0"]
    (status,) = await bench.statuses("runtime.status", service="echo", version="2.0")
    assert status.source == str(bench.folder / "next")
    assert await bench.call("runtime.kill", services=["echo@1.0"]) == ["echo@1.0"]
    assert {await bench.call("echo.version") for _ in range(20)} == {2}


async def test_who_comes_back_at_once_waits_for_the_end_of_his_last_session(bench: Bench) -> None:
    """Ctrl-C and the same command again are no conflict."""
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.running()
        await bench.call("echo.version")
    async with bench.session("echo") as session:
        await session.running()
        assert await bench.call("echo.version") == 1


async def test_one_bad_source_of_several_starts_nothing(bench: Bench) -> None:
    bench.write("good/main.py", versioned(1, "good"))
    bench.write("bad/main.py", "print('no service')\n")
    with pytest.raises(errors.BadRequest, match="no microlite Service in it"):
        await bench.run("good", "bad")
    bench.write("other/main.py", versioned(2, "good"))
    with pytest.raises(errors.BadRequest, match="two of the sources are the service 'good'"):
        await bench.run("good", "other")
    with pytest.raises(errors.NotFound, match="there is no folder or file"):
        await bench.run("good", "missing")
    assert await bench.call("runtime.status") == []


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"name": "store"}, "name of a built-in service"),
        ({"name": "status"}, "is a command of the command line"),
        ({"version": "no such/../thing here"}, "version: "),
        ({"instances": -1}, "instances: -1"),
        ({"env": {"A=B": "c"}}, "env: "),
        ({"name": "Not A Name"}, "--name"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_its_field(
    bench: Bench, options: dict[str, object], detail: str
) -> None:
    bench.write("echo/main.py", versioned(1))
    with pytest.raises(errors.BadRequest) as refused:
        await bench.run("echo", **options)
    assert detail in refused.value.detail
    assert await bench.call("runtime.status") == []


async def test_kill_ends_what_is_just_starting(bench: Bench) -> None:
    bench.write("echo/main.py", "print('slowly', flush=True)\nimport time\ntime.sleep(600)\n" + versioned(1))
    async with bench.session("echo") as session:
        await session.line("slowly")
        (node,) = (await bench.status("echo")).nodes
        assert node.state is State.STARTING
        async with asyncio.timeout(20):
            await bench.call("runtime.kill", services=["echo"])
        assert node.pid
        assert not psutil.pid_exists(node.pid)
        await session.end()


async def test_kill_of_an_unknown_service_ends_none(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    await bench.run("echo")
    for target in ("runtime.kill", "runtime.update", "runtime.status"):
        fields = {"services": ["echo", "nobody"]} if target == "runtime.kill" else {"service": "nobody"}
        with pytest.raises(errors.ServiceNotFound, match='Service "nobody" not found'):
            await bench.call(target, **fields)
    assert await bench.call("echo.version") == 1


async def test_status_tells_of_a_service_that_was_started_by_hand(bench: Bench) -> None:
    main = bench.write("echo/main.py", versioned(3))
    registered = asyncio.Event()
    stop = bench.platform.registry.watch(lambda namespace, event: registered.set())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(main)),
        env={**ENVIRONMENT, "MICROLITE_HOME": str(bench.home), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        await registered.wait()
        stop()
        assert await bench.call("echo.version") == 3
        status = await bench.status("echo")
        assert (status.managed, status.version, status.state) == (False, "3", State.RUNNING)
        assert [node.pid for node in status.nodes] == [process.pid]
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_what_is_detached_runs_again_with_its_platform(tmp_path: Path) -> None:
    """With the same name, version, instances and environment; what was killed, or belonged to a session, does not."""
    home, folder = tmp_path / "home", tmp_path / "services"
    async with bench_on(home, folder) as bench:
        bench.write("echo/main.py", versioned(1).replace("return 1", "import os; return int(os.environ['NUMBER'])"))
        await bench.run("echo", name="kept", version="9", instances=2, env={"NUMBER": "42"})
        await bench.run("echo", name="killed")
        await bench.call("runtime.kill", services=["killed"])
        async with bench.session("echo", name="passing") as session:
            await session.running()
    async with bench_on(home, folder) as bench:
        (status,) = await bench.statuses("runtime.status")
        assert (status.name, status.version, status.detached, len(status.nodes)) == ("kept", "9", True, 2)
        assert await bench.call("kept.version") == 42


async def test_a_detached_service_whose_folder_is_gone_is_an_error_and_no_obstacle(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "services"
    async with bench_on(home, folder) as bench:
        bench.write("echo/main.py", versioned(1))
        bench.write("other/main.py", versioned(2, "other"))
        await bench.run("echo")
        await bench.run("other")
    (folder / "echo").rename(folder / "away")
    async with bench_on(home, folder) as bench:
        assert await bench.call("other.version") == 2
        status = await bench.status("echo")
        assert status.state is not State.RUNNING
        assert await bench.call("runtime.kill", services=["echo"]) == ["echo"]


async def test_a_platform_for_sessions_ends_two_seconds_after_the_last(tmp_path: Path) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services", session=True) as bench:
        bench.write("echo/main.py", versioned(1))
        main = bench.folder / "echo" / "main.py"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(main)),
            env={**ENVIRONMENT, "MICROLITE_HOME": str(bench.home), "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            registered = asyncio.Event()
            bench.platform.registry.watch(lambda namespace, event: registered.set())
            await registered.wait()
            assert not bench.platform.stopping.is_set()
        finally:
            process.terminate()
            await process.wait()
        async with asyncio.timeout(20):
            await bench.platform.stopping.wait()


async def test_environment_of_the_platform_is_that_of_services_where_none_is_given(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("echo/main.py", versioned(1).replace("return 1", "import os; return len(os.environ['PATH'])"))
    await bench.run("echo", environment={})
    assert await bench.call("echo.version") == len(os.environ["PATH"])


async def test_a_reload_tells_the_session_what_was_saved(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    bench.write("echo/more.py", "")
    async with bench.session("echo") as session:
        await session.running()
        bench.write("echo/more.py", "NUMBER = 2\n")
        reload = await session.topic(Topic.RELOAD)
        assert (reload.service, reload.text) == ("echo", "more.py")
        await bench.call("runtime.update", service="echo")
        assert (await session.topic(Topic.RELOAD)).text == "update"
