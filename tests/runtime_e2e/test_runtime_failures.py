"""What fails is tried again, for a while, and tells why; calls wait for what comes back."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from microlite import errors
from microlite.core.runtime.api import Topic
from microlite.core.runtime.restarts import Cause
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned

FRAGILE = """
    import asyncio
    import os
    import time

    from microlite import Service

    service = Service("fragile")

    @service.endpoint
    async def pid() -> int:
        return os.getpid()

    @service.endpoint
    async def fall(code: int = 3) -> None:
        print("falling", flush=True)
        os._exit(code)

    @service.endpoint
    async def block() -> None:
        time.sleep(600)

    if __name__ == "__main__":
        service.run()
"""


async def test_a_crash_loop_ends_in_error_with_its_reason(impatient: Bench) -> None:
    """Each failure stands in the story with exit code and last words; calls then fail with the reason."""
    impatient.write("echo/main.py", "import sys\nfrom microlite import Service\nprint('no database')\nsys.exit(7)\n")
    async with impatient.session("echo") as session:
        last = await session.state(State.ERROR)
        status = await impatient.status("echo")
        assert status.state is State.ERROR
        assert status.error == last.text
        assert status.error.startswith("exited with code 7")
        assert "failed 3 times" in status.error
        assert [story.exit_code for story in status.story] == [7, 7, 7]
        assert status.story[-1].lines == ("no database",)
        assert [node.state for node in status.nodes] == [State.ERROR]
        waits = [seen.text for seen in session.seen if seen.topic is Topic.FAILED]
        assert len(waits) == 3
        assert "next try in 0.0 s" in waits[0]
        with pytest.raises(errors.ServiceUnavailable, match="exited with code 7"):
            await impatient.call("echo.version")
        assert not session.ended


async def test_update_tries_once_more_what_was_given_up(impatient: Bench) -> None:
    impatient.write("echo/main.py", "import sys\nfrom microlite import Service\nsys.exit(7)\n")
    (status,) = await impatient.run("echo", watch=False)
    async with asyncio.timeout(20):
        while (await impatient.status("echo")).state is not State.ERROR:
            await asyncio.sleep(0.02)
    impatient.write("echo/main.py", versioned(1))
    (status,) = await impatient.statuses("runtime.update", service="echo")
    assert (status.state, status.error) == (State.RUNNING, "")
    assert await impatient.call("echo.version") == 1


async def test_calls_wait_for_a_node_that_fell_and_comes_back(bench: Bench) -> None:
    """The one that it fell by has an unknown outcome and is not repeated; those after it are answered by the next node."""
    bench.write("fragile/main.py", FRAGILE)
    async with bench.session("fragile") as session:
        await session.running()
        before = await bench.call("fragile.pid")
        with pytest.raises(errors.OutcomeUnknown):
            await bench.call("fragile.fall")
        failed = await session.topic(Topic.FAILED)
        status = await bench.status("fragile")
        assert status.state is State.BACKOFF
        assert [node.pid for node in status.nodes] == [None]  # it has no process, and 0 would be one
        after = await asyncio.gather(*(bench.call("fragile.pid") for _ in range(20)))
        assert len(set(after)) == 1
        assert before not in after
        assert (failed.node, failed.lines) == ("fragile-1", ("falling",))
        status = await bench.status("fragile")
        assert (status.state, status.restarts, status.error) == (State.RUNNING, 1, "")
        assert (status.story[-1].cause, status.story[-1].exit_code) == (Cause.EXIT, 3)
        assert [node.generation for node in status.nodes] == [2]


async def test_a_signal_is_told_by_its_name(bench: Bench) -> None:
    bench.write("fragile/main.py", FRAGILE)
    async with bench.session("fragile") as session:
        await session.running()
        os.kill(await bench.call("fragile.pid"), signal.SIGKILL)
        failed = await session.topic(Topic.FAILED)
        assert failed.text.startswith("ended by SIGKILL; next try in")
        await session.state(State.RUNNING)


async def test_a_node_that_falls_silent_is_ended_and_replaced(impatient: Bench) -> None:
    impatient.write("fragile/main.py", FRAGILE)
    async with impatient.session("fragile") as session:
        await session.running()
        with pytest.raises(errors.OutcomeUnknown):
            await impatient.call("fragile.block")
        failed = await session.topic(Topic.FAILED)
        assert "did not answer for 0.3 s" in failed.text
        await session.state(State.RUNNING)
        status = await impatient.status("fragile")
        assert status.story[-1].cause is Cause.UNHEALTHY


async def test_a_node_under_a_debugger_may_be_silent(impatient: Bench) -> None:
    """A debugger of Python's own is known by its library, which the process has mapped."""
    library = impatient.write("fragile/pydevd_stand_in.so", "not really")
    lines = (
        "import mmap",
        f"library = open({str(library)!r})",
        "mapped = mmap.mmap(library.fileno(), 0, access=mmap.ACCESS_READ)",
        "import asyncio",
    )
    mapped = FRAGILE.replace("import asyncio", "\n    ".join(lines))
    impatient.write("fragile/main.py", mapped.replace("time.sleep(600)", "time.sleep(1)"))
    async with impatient.session("fragile") as session:
        await session.running()
        await session.state(State.DEBUGGING)
        assert await impatient.call("fragile.block") is None
        status = await impatient.status("fragile")
        assert (status.state, status.restarts, status.story) == (State.DEBUGGING, 0, ())


async def test_one_of_three_nodes_falls_and_the_others_serve_on(impatient: Bench) -> None:
    """Calls are spread, the service never leaves `running`, and the one that keeps falling is given up alone."""
    impatient.write(
        "fragile/main.py",
        FRAGILE.replace(
            'service = Service("fragile")',
            'service = Service("fragile")\n'
            "    if os.environ['MICROLITE_NODE'] == 'fragile-2' and os.path.exists('broken'):\n"
            "        raise SystemExit(9)",
        ),
    )
    async with impatient.session("fragile", instances=3) as session:
        await session.running()
        while sum(node.state is State.RUNNING for node in (await impatient.status("fragile")).nodes) < 3:
            await asyncio.sleep(0.01)
        pids = {node.id: node.pid or 0 for node in (await impatient.status("fragile")).nodes}
        answers = await asyncio.gather(*(impatient.call("fragile.pid") for _ in range(200)))
        assert set(answers) == set(pids.values())
        impatient.write("fragile/broken", "")
        os.kill(pids["fragile-2"], signal.SIGKILL)
        failed = await session.until(lambda seen: seen.topic is Topic.FAILED and "failed 3 times" in seen.text)
        assert failed.node == "fragile-2"
        status = await impatient.status("fragile")
        assert status.state is State.RUNNING
        assert "exited with code 9" in status.error
        assert {node.id: node.state for node in status.nodes} == {
            "fragile-1": State.RUNNING,
            "fragile-2": State.ERROR,
            "fragile-3": State.RUNNING,
        }
        answers = await asyncio.gather(*(impatient.call("fragile.pid") for _ in range(100)))
        assert set(answers) == {pids["fragile-1"], pids["fragile-3"]}
        assert State.BACKOFF not in [seen.state for seen in session.seen]


async def test_services_come_back_when_their_fork_server_is_killed(bench: Bench) -> None:
    bench.write("fragile/main.py", FRAGILE)
    async with bench.session("fragile", instances=2) as session:
        await session.running()
        server = psutil.Process(await bench.call("fragile.pid")).parent()
        assert server is not None
        assert server.pid != os.getpid()
        server.kill()
        failed = await session.topic(Topic.FAILED)
        assert "SIGKILL" in failed.text
        await session.until(lambda seen: seen.state is State.RUNNING)
        after = psutil.Process(await bench.call("fragile.pid")).parent()
        assert after is not None
        assert after.pid not in (server.pid, os.getpid())


async def test_an_interpreter_that_is_none_is_refused_before_anything_starts(bench: Bench) -> None:
    bench.write("echo/main.py", versioned(1))
    with pytest.raises(errors.BadRequest, match="there is no interpreter"):
        await bench.run("echo", python="/nowhere/python")
    assert await bench.call("runtime.status") == []


async def test_on_start_that_raises_is_a_failure_with_its_reason(impatient: Bench) -> None:
    source = versioned(1).replace(
        "if __name__",
        "@service.on_start\nasync def connect() -> None:\n    raise ConnectionError('no broker')\n\nif __name__",
    )
    impatient.write("echo/main.py", source)
    async with impatient.session("echo") as session:
        failed = await session.topic(Topic.FAILED)
        assert "on_start failed" in failed.text
        assert any("no broker" in line for line in failed.lines)
