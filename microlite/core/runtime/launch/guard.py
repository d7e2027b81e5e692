"""Ends process groups when the platform is gone, where the kernel has no life pipes: a small process of its own.

It reads lines: `+GROUP` from a node that begins, `-GROUP` from the platform for one that was reaped, `*UID` for a user
whose processes are all the platform's. The end of its input means that there is no platform any more, and then it kills
every group that is left, and all processes of these users.
"""

# ruff: noqa: PTH100 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess


class Guard:
    """The platform's hold on its guard, which is started at once. `close` ends it and what it still guards."""

    def __init__(self) -> None:
        import subprocess  # the guard itself runs this file too, and has no need of it

        reader, self.writer = os.pipe()
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__)],
                stdin=reader,
                start_new_session=True,
                cwd="/",
            )
        except OSError:
            os.close(self.writer)
            raise
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        """The guard's process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs; nobody but `close` ends it on purpose."""
        return self._process.poll() is None

    def watch(self, group: int) -> None:
        """Guard a group that did not make itself known to this guard."""
        self._tell(b"+%d\n" % group)

    def watch_user(self, uid: int) -> None:
        """Guard every process of a user, whatever its group. Only root can, and it must not be root."""
        self._tell(b"*%d\n" % uid)

    def forget(self, group: int) -> None:
        """The group is gone, and its number may become another's."""
        self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        if self.writer < 0:
            return
        try:
            os.write(self.writer, line)
        except BrokenPipeError:
            pass  # somebody killed it: the launcher starts another before the next process

    def close(self) -> None:
        """End the guard. May be called twice."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
            self._process.wait()


def guard() -> None:
    """Read until the end, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    users: set[int] = set()
    for line in sys.stdin.buffer:
        if line.startswith(b"+"):
            groups.add(int(line[1:]))
        elif line.startswith(b"*"):
            users.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # it ended at the same time
    for user in users:
        end_user(user)


def end_user(uid: int) -> None:
    """Kill every process of a user at once, so that none can start another meanwhile."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.kill(-1, signal.SIGKILL)  # all that it may signal, and those are its own
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    guard()
