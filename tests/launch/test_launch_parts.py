"""The smaller parts of launching, each by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from microlite.core.clock import SystemClock
from microlite.core.runtime.launch import bury, life, sweep
from microlite.core.runtime.launch.api import LaunchSpec, Process
from microlite.core.runtime.launch.guard import Guard
from microlite.core.runtime.launch.spawn import SpawnLauncher
from microlite.core.runtime.launch.watch import ExitWatch

LAUNCH = Path(life.__file__).parent


def sleeper(**options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], **options)


async def test_the_guard_kills_the_groups_it_was_told_of_and_no_other() -> None:
    guard = Guard()
    kept, forgotten, killed = (sleeper(start_new_session=True) for _ in range(3))
    for process in (forgotten, killed):
        os.write(guard.writer, b"+%d\n" % process.pid)
    guard.forget(forgotten.pid)
    guard.close()
    guard.close()
    assert killed.wait() == -signal.SIGKILL
    for process in (kept, forgotten):
        assert process.poll() is None
        process.kill()
        process.wait()


async def test_a_guard_that_was_killed_is_replaced_and_told_of_all_that_runs(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import signal; signal.signal(15, signal.SIG_IGN); print()\nwhile True: signal.pause()")
    spec = LaunchSpec(name="a", cwd="/", env={}, script=str(script))
    async with SpawnLauncher(SystemClock(), guarded=True) as launcher:
        processes: list[Process] = []
        guard: Guard | None = None
        for _ in range(2):
            printed = asyncio.Event()
            processes.append(await launcher.start(spec, lambda *_, printed=printed: printed.set()))
            await printed.wait()
            guard = launcher._guard
            assert guard is not None
            if len(processes) == 1:
                os.kill(guard.pid, signal.SIGKILL)
                os.waitid(os.P_PID, guard.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it was killed
        assert guard is not None
        guard.close()
        for process in processes:
            assert (await process.wait()).signal == signal.SIGKILL


@pytest.mark.parametrize("pidfd", [True, False])
async def test_an_exit_is_learnt_without_reaping(monkeypatch: pytest.MonkeyPatch, pidfd: bool) -> None:
    """Also where the kernel has no pidfd."""
    if not pidfd:

        def missing(pid: int) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", missing)
    ended = asyncio.Event()
    process = sleeper()
    ExitWatch(asyncio.get_running_loop(), process.pid, ended.set)
    process.kill()
    await ended.wait()
    assert process.wait() == -signal.SIGKILL


async def test_a_closed_watch_is_silent() -> None:
    process = sleeper()
    watch = ExitWatch(asyncio.get_running_loop(), process.pid, lambda: pytest.fail("called"))
    watch.close()
    watch.close()
    process.kill()
    process.wait()
    await asyncio.sleep(0)


def test_orphans_are_reaped_at_the_second_look_and_owned_children_never() -> None:
    """Whoever starts a process reaps it soon; an adopted zombie is still there half a minute later."""
    orphans = bury.Orphans()
    owned, left = sleeper(), os.posix_spawnp("true", ["true"], os.environ)
    os.waitid(os.P_PID, left, os.WEXITED | os.WNOWAIT)
    orphans.look()
    assert left in {pid for pid, _ in sweep.zombies()}
    owned.kill()
    os.waitid(os.P_PID, owned.pid, os.WEXITED | os.WNOWAIT)
    orphans.look()
    assert left not in sweep.children()
    assert owned.wait() == -signal.SIGKILL


async def test_marked_processes_are_found_wherever_they_are() -> None:
    marked = sleeper(env={**os.environ, "MARK_FOR_TEST": "mine/1"}, start_new_session=True)
    other = sleeper(env={**os.environ, "MARK_FOR_TEST": "other/1"})
    killed = sweep.end_marked("MARK_FOR_TEST", "mine/")
    assert list(killed) == [marked.pid]
    await bury.dead(killed)
    marked.wait()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_process_that_has_just_begun_a_program_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its environment is shown as empty nobody can tell whose it is. One that stays so is spared in the end."""
    marked = sleeper(env={**os.environ, "MARK_FOR_TEST": "fresh/1"})
    bare = sleeper(env={})
    seen = {marked.pid: 3}
    look = sweep._carries

    def early(pid: int, wanted: bytes) -> bool | None:
        if seen.get(pid):
            seen[pid] -= 1
            return None
        return look(pid, wanted)

    monkeypatch.setattr(sweep, "_carries", early)
    try:
        assert list(sweep.end_marked("MARK_FOR_TEST", "fresh/")) == [marked.pid]
        assert look(bare.pid, b"MARK_FOR_TEST=fresh/") is None
        assert bare.poll() is None
    finally:
        for process in (marked, bare):
            process.kill()
            process.wait()


def test_a_sweep_spares_its_own_process_and_the_ones_above() -> None:
    """A platform that was started from a node of another is a descendant that sweeps."""
    program = (
        f"import sys; sys.path[:0] = [{str(LAUNCH.parents[3])!r}]\n"
        "from microlite.core.runtime.launch import sweep\n"
        "print(len(sweep.end_marked('MARK_FOR_TEST', 'nested')))"
    )
    env = {**os.environ, "MARK_FOR_TEST": "nested"}
    shell = ["sh", "-c", '"$0" -c "$1"; echo alive', sys.executable, program]
    result = subprocess.run(shell, env=env, capture_output=True, text=True, check=True)
    assert result.stdout == "0\nalive\n"


def test_a_pipe_whose_writer_is_gone_already_kills_when_it_is_armed() -> None:
    program = (
        f"import os, sys; sys.path[:0] = [{str(LAUNCH)!r}]\n"
        "import life\nr, w = os.pipe()\nos.close(w)\nlife.arm(r)\nprint('still here')"
    )
    result = subprocess.run([sys.executable, "-c", program], start_new_session=True, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("limit", [True, False])
def test_arming_works_with_few_descriptors_allowed(limit: bool) -> None:
    program = (
        f"import os, resource, sys; sys.path[:0] = [{str(LAUNCH)!r}]\n"
        f"{'resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))' if limit else ''}\n"
        "import life\nr, w = os.pipe()\nfd = life.arm(r)\nprint(fd >= 200, flush=True)\nos.close(w)\nprint('still here')"
    )
    result = subprocess.run([sys.executable, "-c", program], start_new_session=True, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, f"{not limit}\n")


def test_what_spawned_nodes_run_first_is_understood_by_older_interpreters() -> None:
    """A user's venv may be of any Python; only the fork server asks for more."""
    import ast

    for name in ("bootstrap", "life", "child", "script", "fresh", "title"):
        ast.parse(LAUNCH.joinpath(f"{name}.py").read_text(), feature_version=(3, 8))
