"""Fork servers come and go with the environments that need them, and every doubt ends in a spawn."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from microlite.core.clock import ManualClock, SystemClock
from microlite.core.runtime.launch.api import Kind, LaunchError, LaunchSpec
from microlite.core.runtime.launch.fork import ForkLauncher

Bench = Any
PARENT = "import os; print(os.getppid())"


def parent_of(node: Any) -> int:
    return int(node.out.split()[0])


async def test_nodes_of_one_environment_share_a_server(forks: Bench) -> None:
    _, one = await forks.run(PARENT)
    _, two = await forks.run(PARENT)
    assert parent_of(one) == parent_of(two) != os.getpid()
    _, other = await forks.run(PARENT, preload=("asyncio",))
    assert parent_of(other) not in (parent_of(one), os.getpid())


async def test_a_server_is_started_once_for_many_who_wait_for_it(forks: Bench) -> None:
    nodes = await asyncio.gather(*(forks.start(PARENT) for _ in range(8)))
    for node in nodes:
        await node.exit()
    assert len({parent_of(node) for node in nodes}) == 1


async def test_the_library_is_imported_before_the_fork(forks: Bench) -> None:
    source = (
        "import sys; print([name in sys.modules for name in ('microlite', 'asyncio', 'uvloop', 'msgspec', 'grpc')])"
    )
    _, node = await forks.run(source)
    assert node.out == "[True, True, True, True, False]\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this interpreter counts references to every object")
async def test_a_node_that_looks_at_what_was_loaded_beforehand_goes_on_sharing_its_memory(forks: Bench) -> None:
    _, node = await forks.run(
        """
        import re, sys
        from pathlib import Path

        def own():
            return int(re.search("Private_Dirty: *([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])

        own()
        before = own()
        held = [one for module in list(sys.modules.values()) for one in vars(module).values()]
        print(own() - before, len(held))
        """
    )
    kilobytes, objects = map(int, node.out.split())
    assert objects > 5_000
    assert kilobytes < 500  # 4,900 where each count of a reference has a page copied


async def test_a_preload_that_is_missing_or_broken_is_left_out(forks: Bench) -> None:
    source = "import asyncio, os, sys; print(os.getppid(), 'asyncio' in sys.modules)"
    _, node = await forks.run(source, preload=("asyncio", "no_such_module", "antigravity_"))
    assert parent_of(node) != os.getpid()


async def test_a_preload_that_starts_a_thread_is_spawned_instead(forks: Bench, caplog: Any) -> None:
    """A fork copies one thread only, and whatever locks the others held."""
    forks.write(
        "lib/threaded.py", "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    _, node = await forks.run(PARENT, preload=("threaded",), library=str(forks.folder / "lib"))
    assert parent_of(node) == os.getpid()
    assert "threads, which a fork would lose; its nodes are spawned" in caplog.text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"env": {"PYTHONHASHSEED": "0"}}, "sets PYTHONHASHSEED"),
        ({"env": {"LD_PRELOAD": "x.so"}}, "another LD_PRELOAD"),
        ({"env": {"LANG": "de_DE.ISO-8859-1"}}, "another encoding"),
        ({"debugger": True}, "debugger"),
        ({"kind": Kind.COMMAND, "argv": "ls"}, "program of its own"),
        ({"env": {"PYTHONUNBUFFERED": "1", "PYTHON_VERSION": "3.13", "LANG": "C.UTF-8"}}, None),
        ({"env": {"LC_ALL": "en_GB.utf8"}}, None),
        ({}, None),
    ],
)
async def test_what_a_fork_could_not_give_is_spawned(changes: dict[str, Any], why: str | None) -> None:
    launcher = ForkLauncher(SystemClock(), {"PATH": "/bin", "PYTHONPATH": "/x"})
    spec = LaunchSpec(**{"name": "a", "cwd": "/", "env": {}, "script": "/a.py", **changes})
    reason = launcher.reason_to_spawn(spec)
    assert why in reason if why and reason else reason is None and why is None


async def test_start_time_variables_that_the_platform_has_too_are_no_reason_to_spawn() -> None:
    env = {"LD_LIBRARY_PATH": "/opt/lib"}
    spec = LaunchSpec(name="a", cwd="/", env=env, script="/a.py")
    assert ForkLauncher(SystemClock(), env).reason_to_spawn(spec) is None
    assert ForkLauncher(SystemClock(), {}).reason_to_spawn(spec)
    assert ForkLauncher(SystemClock(), env).reason_to_spawn(LaunchSpec(name="a", cwd="/", env={}, script="/a.py"))


async def test_a_hash_seed_takes_effect_because_it_is_spawned(forks: Bench) -> None:
    forks.env = {**forks.env, "PYTHONHASHSEED": "0"}
    outputs = [(await forks.run("print(hash('microlite'))"))[1].out for _ in range(2)]
    assert outputs[0] == outputs[1] != ""


async def test_unbuffered_and_no_bytecode_are_done_in_the_fork(forks: Bench) -> None:
    forks.env = {**forks.env, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    node = await forks.start(
        "import os, signal, sys; sys.stdout.write(f'{os.getppid()} {sys.dont_write_bytecode}'); "
        "os.write(1, b'\\n'); signal.pause()"
    )
    parent, no_bytecode = (await node.line()).split()
    assert int(parent) != os.getpid()
    assert no_bytecode == "True"
    node.process.kill()


async def test_an_interpreter_that_cannot_be_a_server_runs_its_scripts_all_the_same(
    forks: Bench, tmp_path: Path
) -> None:
    """Here one without msgspec, since nothing gives it the library."""
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    _, node = await forks.run("import os, sys; print(os.getppid(), sys.prefix)", python=python, library=None)
    assert node.out == f"{os.getpid()} {sys.base_prefix}\n"


async def test_no_interpreter_is_an_error_at_once(forks: Bench) -> None:
    with pytest.raises(LaunchError, match=r"greeter was not started: .*No such file"):
        await forks.start("", python="/nowhere/bin/python")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"script": "main.py"}, "the script of greeter must be an absolute path"),
        ({"cwd": "."}, "the working directory of greeter"),
        ({"env": {"A=B": "c"}}, "'A=B' cannot be the name of a variable"),
        ({"env": {"A": "b\0"}}, "NUL"),
        ({"script": ""}, "names no script"),
    ],
)
async def test_what_no_system_takes_is_refused(forks: Bench, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(LaunchError, match=said):
        await forks.start("", **changes)


async def test_an_environment_larger_than_any_frame_is_refused_and_hurts_nobody(forks: Bench) -> None:
    node = await forks.start("import signal; print(); signal.pause()")
    await node.line()
    env, forks.env = forks.env, {**forks.env, "BIG": "x" * (17 * 1024 * 1024)}
    with pytest.raises(LaunchError, match="too large"):
        await forks.start("")
    forks.env = {**env, "BIG": "x" * (2 * 1024 * 1024)}  # more than the socket takes at once
    code, other = await forks.run("import os; print(len(os.environ['BIG']))")
    assert (code, other.out) == (0, "2097152\n")
    assert node.process.exit is None


async def test_a_server_that_died_takes_its_nodes_with_it_and_is_replaced(
    forks: Bench, ended: Any, caplog: Any
) -> None:
    node = await forks.start(
        """
        import os, signal, subprocess
        signal.signal(15, signal.SIG_IGN)
        stray = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(os.getppid(), stray.pid)
        signal.pause()
        """
    )
    server, stray = map(int, (await node.line()).split())
    os.kill(server, signal.SIGKILL)
    assert (await node.exit()).signal == signal.SIGKILL
    await ended(server)
    await ended(stray)  # had left the group; found by its marker
    _, other = await forks.run(PARENT)
    assert parent_of(other) not in (server, os.getpid())
    assert "its nodes are killed" in caplog.text


async def test_the_death_of_the_first_server_is_not_that_of_the_tenth(forks: Bench) -> None:
    forks.launcher._numbers = iter([1, 10])
    nodes = [
        await forks.start("import os, signal; print(os.getppid()); signal.pause()", preload=preload)
        for preload in (("asyncio",), ("msgspec",))
    ]
    first, tenth = [int(await node.line()) for node in nodes]
    assert first != tenth
    os.kill(first, signal.SIGKILL)
    await nodes[0].exit()
    assert (await forks.run(PARENT, preload=("msgspec",)))[0] == 0
    assert nodes[1].process.exit is None


async def test_a_server_asked_to_end_sweeps_first(forks: Bench, ended: Any) -> None:
    node = await forks.start(
        "import os, signal; signal.signal(15, signal.SIG_IGN); print(os.getppid())\nsignal.pause()"
    )
    server = int(await node.line())
    os.kill(server, signal.SIGTERM)
    assert (await node.exit()).signal == signal.SIGKILL
    await ended(server)


async def test_an_outdated_server_stays_until_its_last_node_has_ended(forks: Bench, ended: Any) -> None:
    node = await forks.start("import os, signal; print(os.getppid()); signal.pause()")
    server = int(await node.line())
    forks.launcher.retire()
    _, other = await forks.run(PARENT)
    assert parent_of(other) not in (server, os.getpid())
    os.kill(server, 0)
    assert node.process.exit is None
    node.process.kill()
    await node.exit()
    await ended(server)


async def test_an_idle_server_ends_by_itself_and_comes_back(tmp_path: Path, ended: Any) -> None:
    script = tmp_path / "main.py"
    script.write_text(PARENT)
    printed: list[bytes] = []
    async with ForkLauncher(SystemClock(), os.environ, idle=0.0) as launcher:
        env = {"PATH": "/bin"}
        spec = LaunchSpec(name="a", cwd="/", env=env, script=str(script), library=str(Path(__file__).parents[2]))
        for _ in range(2):
            process = await launcher.start(spec, lambda _, content: printed.append(content))
            await process.wait()
            await ended(int(printed[-1]))
    assert printed[0] != printed[1]


@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_start_that_is_cancelled_leaves_no_process(forks: Bench, ended: Any, turns: int) -> None:
    """Whenever that is: also when the answer of the server lies there, or was read in the same turn."""
    assert isinstance(forks.launcher, ForkLauncher)
    await forks.launcher.warm(library=forks.spec().library)
    source = "import signal; signal.pause()"
    task = asyncio.create_task(forks.start(source))
    await asyncio.sleep(0)
    (server,) = forks.launcher._open
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    if turns > 1:
        select.select([server._channel.socket], [], [])  # blocks the loop until the answer is there
    for _ in range(turns - 1):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        (await task).process.kill()
    other = forks.write("other.py", "print('the server has done what came before')")
    await forks.run(script=str(other))
    for pid in children.read_text().split():
        await ended(int(pid))


async def test_closing_while_a_server_starts_leaves_nothing(tmp_path: Path) -> None:
    launcher = ForkLauncher(SystemClock(), os.environ)
    warming = asyncio.create_task(launcher.warm())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await launcher.close()
    await asyncio.gather(warming, return_exceptions=True)
    await launcher.close()
    with pytest.raises(LaunchError, match="closed"):
        await launcher.start(LaunchSpec(name="a", cwd="/", env={}, script="/a.py"))


async def test_a_new_distribution_makes_the_server_outdated(forks: Bench, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    packages = venv / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    venv.joinpath("bin").mkdir()
    venv.joinpath("pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    python = venv / "bin/python"
    python.symlink_to(Path(sys.base_prefix) / "bin/python3")
    import msgspec

    packages.joinpath("msgspec").symlink_to(Path(msgspec.__file__).parent)
    first = (await forks.run(PARENT, python=str(python)))[1]
    packages.joinpath("__pycache__").mkdir()  # no distribution
    second = (await forks.run(PARENT, python=str(python)))[1]
    packages.joinpath("new-1.0.dist-info").mkdir()
    third = (await forks.run(PARENT, python=str(python)))[1]
    assert parent_of(first) == parent_of(second) != parent_of(third)
    assert os.getpid() not in (parent_of(first), parent_of(third))


async def test_the_end_is_told_in_the_clocks_time(tmp_path: Path) -> None:
    clock = ManualClock(start=1000.0)
    script = tmp_path / "main.py"
    script.write_text("")
    async with ForkLauncher(clock, os.environ) as launcher:
        process = await launcher.start(LaunchSpec(name="a", cwd="/", env={}, script=str(script)))
        clock.advance(5)
        end = await process.wait()
    assert (end.at, end.lived) == (1005.0, 5.0)


async def test_many_at_once_all_start_and_no_descriptor_is_left(forks: Bench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    nodes = await asyncio.gather(*(forks.start("print('up')") for _ in range(60)))
    for node in nodes:
        assert (await node.exit()).code == 0
        assert node.out == "up\n"
    server = 5  # its socket, life pipe, two outputs and pidfd
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + server


def test_it_works_on_uvloop_too(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("print('up'); raise SystemExit(3)")
    printed: list[bytes] = []

    async def main() -> list[int | None]:
        codes: list[int | None] = []
        async with ForkLauncher(SystemClock(), os.environ) as launcher:
            for debugger in (False, True):
                spec = LaunchSpec(name="a", cwd="/", env={"PATH": "/bin"}, script=str(script), debugger=debugger)
                process = await launcher.start(spec, lambda _, content: printed.append(content))
                codes.append((await process.wait()).code)
        return codes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [3, 3]
    assert printed == [b"up\n", b"up\n"]
