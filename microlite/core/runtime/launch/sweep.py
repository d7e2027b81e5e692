"""Finding and ending what is left of processes, for those that come after a death.

A fork server ends its children when the platform is gone, and the platform those of a fork server that is gone: both
are subreapers, so every orphan becomes a child of one of them. What neither reached is found by its marker: the
environment with which a process was started can be read for as long as it lives.
"""

# ruff: noqa: PTH123, PTH208 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_MANY = 20  # a process that forks faster than it is found is given up after so many rounds
_PATIENCE, _PAUSE = 100, 0.002  # how often, and after how many seconds, it is looked again at one that is just starting
_YOUNG = 60.0
_PF_KTHREAD = 0x00200000


def children() -> list[int]:
    """The children of this process, zombies too."""
    try:
        found: list[int] = []
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:  # a kernel without that list
        own = str(os.getpid()).encode()
        return [pid for pid in _processes() if (fields := _stat(pid)) and fields[1] == own]
    return found


def zombies() -> set[tuple[int, int]]:
    """The children of this process that have ended and were not reaped, each with the time of its start."""
    return {(pid, int(fields[19])) for pid in children() if (fields := _stat(pid)) and fields[0] == b"Z"}


def end_children() -> None:
    """Kill and reap children, and whatever orphans become children by that, until there are none. Blocks."""
    while True:
        for pid in children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def end_marked(variable: str, prefix: str) -> dict[int, int]:
    """Kill every process, but this one and its ancestors, that was started with `variable=prefix…` in its environment.

    Returns:
        For each that was killed its pidfd, readable when it is dead; the caller's to close.
    """
    wanted = f"{variable}={prefix}".encode()
    spared = _ancestors()
    killed: dict[int, int] = {}
    looks = patience = 0
    while looks < _MANY:
        others = [pid for pid in _processes() if pid not in spared and pid not in killed]
        carrying = {pid: _carries(pid, wanted) for pid in others}
        found = [pid for pid, carries in carrying.items() if carries]
        if not found and (patience == _PATIENCE or None not in carrying.values()):
            break
        if found:
            looks += 1
        else:
            patience += 1
            time.sleep(_PAUSE)
        for pid in found:
            with suppress(OSError):  # it ended, or is another user's after all
                pidfd = os.pidfd_open(pid)
                killed[pid] = pidfd
                if _carries(pid, wanted):  # still the same process, since its pidfd is open
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return killed


def end_users(uids: Collection[int]) -> dict[int, int]:
    """Kill every process of these users. For root only, and never with its own id.

    Returns:
        For each that was killed its pidfd, readable when it is dead; the caller's to close.
    """
    killed: dict[int, int] = {}
    for _ in range(_MANY):
        found = [pid for pid in _processes() if pid not in killed and _user(pid) in uids]
        if not found:
            break
        for pid in found:
            with suppress(OSError):  # it ended
                pidfd = os.pidfd_open(pid)
                killed[pid] = pidfd
                if _user(pid) in uids:  # still the same process, since its pidfd is open
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    return killed


def find_marked(variable: str, prefix: str) -> list[int]:
    """The processes, but this one and its ancestors, that were started with `variable=prefix…` in their environment."""
    wanted, spared = f"{variable}={prefix}".encode(), _ancestors()
    return [pid for pid in _processes() if pid not in spared and _carries(pid, wanted)]


def reap_group(group: int) -> None:
    """Reap the children of this process that were in the group and have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass


def group_is_empty(group: int) -> bool:
    """Whether no process is in the group any more, zombies included."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def end_group(group: int) -> None:
    """Kill a process group, if it is there. Only safe while its leader is not reaped: its id is not given to another."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> list[bytes]:
    """The fields of proc(5) from the state on: state, parent, group, session …; none when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _user(pid: int) -> int:
    """The user whose process it is, -1 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(b"Uid:"))
    except (OSError, StopIteration):
        return -1


def _carries(pid: int, wanted: bytes) -> bool | None:
    """Whether a process was started with that; None where it cannot be told yet, since it is just starting a program.

    Between the moment in which a program takes the place of another and the one in which its environment is there, the
    kernel shows an empty one. Who forked it may have gone on already.
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:  # gone, or another user's
        return False
    if not environment and _is_young(pid):
        return None
    return any(entry.startswith(wanted) for entry in environment.split(b"\0"))


def _is_young(pid: int) -> bool:
    """Whether a process was made within the last minute and lives; what belongs to the kernel is none."""
    fields = _stat(pid)
    if not fields or fields[0] in (b"Z", b"X") or int(fields[6]) & _PF_KTHREAD:
        return False
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return age < _YOUNG


def _ancestors() -> set[int]:
    found = {pid := os.getpid()}
    while (fields := _stat(pid)) and (pid := int(fields[1])) > 0:
        found.add(pid)
    return found
