"""Several services of one project on a real platform: started in order, kept apart, reloaded by what they share."""

from __future__ import annotations

import asyncio
import sys
import textwrap

import pytest

from microlite import errors
from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import ENVIRONMENT, Bench, Session, versioned

PROJECT = """
    [services.bills]
    depends-on = ["orders"]

    [services.site]
    command = "{python} serve.py"
    health = "/healthz"
    depends-on = ["bills"]

    [services.orders]
"""

PROGRAM = """
    import os
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from shared.numbers import NUMBER

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def write_project(bench: Bench, text: str = PROJECT) -> None:
    bench.write("microlite.toml", text.replace("{python}", sys.executable))
    bench.write("orders/main.py", versioned(1, "orders"))
    bench.write("bills/main.py", versioned(1, "bills"))
    bench.write("site/serve.py", PROGRAM)
    bench.write("site/pyproject.toml", "[tool.microlite]\npath = ['..']\n")
    bench.write("shared/numbers.py", "NUMBER = 1\n")


def order_of(session: Session, state: State) -> list[str]:
    return [seen.service for seen in session.seen if seen.state is state]


async def test_services_start_when_what_they_depend_on_is_healthy_and_end_the_other_way_round(bench: Bench) -> None:
    """The last is a program, which imports what the project shares."""
    write_project(bench)
    async with bench.session(".") as session:
        await session.running("orders", "bills", "site")
        assert order_of(session, State.RUNNING) == ["orders", "bills", "site"]
        assert {seen.text for seen in session.seen if seen.topic is Topic.PROGRESS} == {
            "waits for orders",
            "waits for bills",
        }
        await bench.call("runtime.kill", services=["orders", "site", "bills"])
        await session.end()
        assert order_of(session, State.STOPPED) == ["site", "bills", "orders"]


async def test_what_waits_says_for_whom_and_starts_when_that_heals(impatient: Bench) -> None:
    """A dependency that fails is no reason to fail, and its reload is none to restart what depends on it."""
    write_project(impatient, "[services.orders]\n[services.bills]\ndepends-on = ['orders']\n")
    main = impatient.write("orders/main.py", "from microlite import Service\nraise RuntimeError('not today')\n")
    async with impatient.session(".") as session:
        await session.until(lambda seen: seen.service == "orders" and seen.state is State.ERROR)
        status = await impatient.status("bills")
        assert (status.state, status.waiting_for, status.nodes[0].pid) == (State.PENDING, ("orders",), None)
        waiting = [seen.text for seen in session.seen if seen.service == "bills" and seen.topic is Topic.PROGRESS]
        assert waiting[-1] == "waits for orders, which does not run"
        main.write_text(versioned(2, "orders"))
        await session.until(lambda seen: seen.service == "bills" and seen.state is State.RUNNING)
        before = await impatient.status("bills")
        assert before.waiting_for == ()
        main.write_text(versioned(3, "orders"))
        await session.until(lambda seen: seen.service == "orders" and seen.topic is Topic.RELOAD)
        assert await impatient.call("orders.version") == 3
        after = await impatient.status("bills")
        assert (after.nodes, after.restarts) == (before.nodes, 0)


async def test_a_detached_run_returns_also_where_something_waits(impatient: Bench) -> None:
    write_project(impatient, "[services.orders]\n[services.bills]\ndepends-on = ['orders']\n")
    impatient.write("orders/main.py", "from microlite import Service\nraise RuntimeError('not today')\n")
    bills, orders = sorted(await impatient.run("."), key=lambda status: status.name)
    assert orders.state in (State.BACKOFF, State.ERROR)
    assert (bills.state, bills.waiting_for) == (State.PENDING, ("orders",))


async def test_a_service_waits_for_one_that_runs_by_itself(bench: Bench) -> None:
    """The table of a single service is enough; what depends on a stranger is refused, until that runs."""
    write_project(bench, "[services.orders]\n")
    bench.write("bills/pyproject.toml", "[tool.microlite]\ndepends-on = ['orders']\n")
    with pytest.raises(errors.BadRequest, match="bills depends on orders, which neither is among"):
        await bench.run("bills")
    await bench.run("orders")
    (status,) = await bench.run("bills")
    assert status.state is State.RUNNING


async def test_a_service_may_depend_on_one_that_was_started_by_hand(bench: Bench) -> None:
    write_project(bench, "[services.orders]\n")
    bench.write("bills/pyproject.toml", "[tool.microlite]\ndepends-on = ['orders']\n")
    main = bench.folder / "orders" / "main.py"
    environment = {**ENVIRONMENT, "MICROLITE_HOME": str(bench.home)}
    by_hand = await asyncio.create_subprocess_exec(
        sys.executable, str(main), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert by_hand.stderr is not None
    assert b"orders is running" in await by_hand.stderr.readline()
    (status,) = await bench.run("bills")
    assert status.state is State.RUNNING
    by_hand.terminate()
    await by_hand.wait()


async def test_circles_are_refused_and_nothing_runs(bench: Bench) -> None:
    write_project(bench, "[services.orders]\ndepends-on = ['bills']\n[services.bills]\ndepends-on = ['orders']\n")
    with pytest.raises(errors.BadRequest, match="in a circle: orders → bills → orders"):
        await bench.run(".")
    assert await bench.call("runtime.status") == []


async def test_a_save_in_a_shared_package_reloads_all_that_import_it(bench: Bench) -> None:
    """And no others; also a package that new code imports for the first time, and twice within a second."""
    shares = versioned(0, "orders").replace("return 0", "from shared.numbers import NUMBER\n    return NUMBER")
    bench.write("microlite.toml", "[services.orders]\n[services.bills]\n[services.alone]\n")
    bench.write("orders/main.py", shares)
    bench.write("bills/main.py", shares)
    bench.write("alone/main.py", versioned(1, "alone"))
    shared = bench.write("shared/numbers.py", "NUMBER = 1\n")
    other = bench.write("other/__init__.py", "NUMBER = 100\n")
    async with bench.session(".") as session:
        await session.running("orders", "bills", "alone")
        for number in range(2, 5):
            shared.write_text(f"NUMBER = {number}\n")
            await _reloaded(session, "orders", "bills")
            assert [await bench.call(f"{name}.version") for name in ("orders", "bills")] == [number, number]
        assert (await bench.status("alone")).restarts == 0
        (bench.folder / "bills" / "main.py").write_text(shares.replace("shared.numbers", "other"))
        await _reloaded(session, "bills")
        assert await bench.call("bills.version") == 100
        while await bench.call("bills.version") != 101:  # what is watched now is found out after the reload
            other.write_text("NUMBER = 101\n")
            await asyncio.sleep(0.02)
            other.write_text("NUMBER = 101 # again\n")


async def _reloaded(session: Session, *services: str) -> None:
    left = set(services)

    def is_last(seen: Happening) -> bool:
        if seen.topic is Topic.RELOAD:
            left.discard(seen.service)
        return not left

    await session.until(is_last)


async def test_a_broken_shared_package_is_mended_by_saving_it(bench: Bench) -> None:
    bench.write("microlite.toml", "[services.orders]\n")
    bench.write(
        "orders/main.py", versioned(1, "orders").replace("return 1", "from shared import NUMBER; return NUMBER")
    )
    main = bench.folder / "orders" / "main.py"
    main.write_text("from shared import NUMBER\n" + main.read_text())
    shared = bench.write("shared/__init__.py", "NUMBER = = 1\n")
    async with bench.session(".") as session:
        await session.topic(Topic.FAILED)
        shared.write_text("NUMBER = 7\n")
        await session.state(State.RUNNING)
        assert await bench.call("orders.version") == 7


async def test_folders_of_path_go_before_what_is_installed_and_the_root_behind_it(bench: Bench) -> None:
    """Forked and spawned alike: a package of the root cannot take the place of a module of Python's own."""
    bench.write("repo/.git/HEAD", "")
    bench.write("repo/colorsys.py", "NUMBER = 1\n")
    bench.write("repo/shared/__init__.py", "")
    bench.write("repo/libs/chunk.py", "NUMBER = 2\n")
    code = """
        import os, sys
        from microlite import Service
        import colorsys, chunk, shared

        service = Service("orders")

        @service.endpoint
        async def places() -> list[str]:
            return [module.__file__ for module in (colorsys, chunk, shared)]

        service.run()
    """
    bench.write("repo/services/orders/main.py", code)
    bench.write("repo/services/orders/pyproject.toml", "[tool.microlite]\npath = ['../../libs']\n")
    for environment in (ENVIRONMENT, {**ENVIRONMENT, "PYTHONHASHSEED": "1"}):
        (status,) = await bench.run("repo/services/orders", environment=environment)
        assert status.state is State.RUNNING, status.error
        colorsys, chunk, shared = await bench.call("orders.places")
        assert not colorsys.startswith(str(bench.folder))
        assert chunk == str(bench.folder / "repo" / "libs" / "chunk.py")
        assert shared == str(bench.folder / "repo" / "shared" / "__init__.py")
        await bench.call("runtime.kill", services=["orders"])


async def test_an_edit_of_the_project_file_is_carried_out(bench: Bench) -> None:
    """Services come, go and change; a file that is wrong changes nothing, and is told."""
    write_project(bench, "[services.orders]\n")
    async with bench.session(".") as session:
        await session.running("orders")
        before = await bench.status("orders")
        bench.write("microlite.toml", "[services.orders]\n[services.bills]\ndepends-on = ['orders']\n")
        await session.running("bills")
        assert (await bench.status("orders")).nodes == before.nodes
        bench.write("microlite.toml", "[services.orders]\n[services.bills]\ndepend-on = ['orders']\n")
        failed = await session.topic(Topic.FAILED)
        assert "has no key depend-on: did you mean depends-on?; what runs stays as it was" in failed.text
        bench.write("microlite.toml", "[services.orders]\ninstances = 2\n")
        await session.until(lambda seen: seen.service == "bills" and seen.state is State.STOPPED)
        reload = next((seen for seen in session.seen if seen.topic is Topic.RELOAD), None)
        reload = reload or await session.topic(Topic.RELOAD)
        assert (reload.service, reload.text) == ("orders", "microlite.toml")
        assert {node.id for node in (await bench.status("orders")).nodes} == {"orders-1", "orders-2"}
        bench.write("microlite.toml", "[services.orders]\n[services.bills]\n")
        await session.until(lambda seen: seen.service == "bills" and seen.state is State.RUNNING)
        await bench.call("runtime.kill", services=["orders", "bills"])
        await session.end()
        assert session.error is None


async def test_variables_of_a_file_are_the_weakest_and_saving_it_reloads(bench: Bench) -> None:
    """That of the service goes before that of the project; the user's own go before both."""
    bench.write("repo/.git/HEAD", "")
    root = bench.write("repo/.env", "A=root\nB=root\nC=root\nD=root\n")
    own = bench.write("repo/orders/.env", "B=own\nC=own\nD=own\n")
    bench.write("repo/orders/pyproject.toml", "[tool.microlite]\nenv = { D = 'project' }\n")
    code = (
        versioned(0, "orders")
        .replace("-> int", "-> str")
        .replace("return 0", "return ' '.join(map(os.environ.get, 'ABCD'))")
    )
    bench.write("repo/orders/main.py", "import os\n" + textwrap.dedent(code))
    async with bench.session("repo/orders", environment={**ENVIRONMENT, "C": "user"}) as session:
        await session.running()
        assert await bench.call("orders.version") == "root own user project"
        own.write_text("C=own\n")
        await session.topic(Topic.RELOAD)
        assert await bench.call("orders.version") == "root root user project"
        root.write_text("A=new\nB=new\n")
        await session.topic(Topic.RELOAD)
        assert await bench.call("orders.version") == "new new user project"
        own.write_text("C=own\nnot a variable\n")
        failed = await session.topic(Topic.FAILED)
        assert ".env, line 2: is no variable" in failed.text
        assert await bench.call("orders.version") == "new new user project"


async def test_modules_to_preload_are_there_before_the_fork(bench: Bench) -> None:
    code = versioned(0, "orders").replace("return 0", "return int('colorsys' in BEFORE)")
    bench.write("orders/main.py", "import sys\nBEFORE = set(sys.modules)\n" + code)
    bench.write("orders/pyproject.toml", "[tool.microlite]\npreload = ['colorsys']\n")
    await bench.run("orders")
    assert await bench.call("orders.version") == int(sys.platform == "linux")
