"""What the Linux kernel does so that no process outlives the one that answers for it.

A **life pipe** has its only writer in the process that answers, and its reader in each process that shall not outlive
it. The reader is armed: when the writer is gone, by whatever death, the kernel itself sends SIGKILL to the reader's
process group. No line of Python runs for that, so it holds for a process that spins in C, is stopped, or ignores
signals. Nothing is ever written to it.

Each process has a pipe of its own. F_SETOWN belongs to the open file description, which forks and descriptors sent
through a socket share, and Linux before 5.6 signals the readers of a pipe whenever any one of them closes.

This module is also run by interpreters that have nothing but the standard library, of Python 3.8 and later.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

TYPE_CHECKING = False  # the name that type checkers know; importing typing for it would cost a spawn some milliseconds
if TYPE_CHECKING:
    from typing import Any

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_F_SETSIG = 10
_HIGH = 200  # out of the way of programs that count on 3 and up (sd_listen_fds, shells)

_ctypes: Any = None
_library: Any = None


def load() -> None:
    """Load the C library, so that nothing needs to be imported after a fork."""
    global _ctypes, _library
    if _library is None:
        import ctypes  # the platform imports this module on systems where it needs no ctypes

        _ctypes, _library = ctypes, ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> bool:
    """Have every orphan below this process become its child. Lasts as long as the process. False: cannot be had."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have this process killed when its parent's thread ends; at once, if `parent` is no longer its parent."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def call_me(name: str) -> None:
    """Set the name that `top` shows; the kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, name.encode("utf-8", "replace")[:15])


def arm(reader: int) -> int:
    """Have the kernel kill this process group once the writer of a life pipe is gone. The caller leads its group.

    Args:
        reader: the reading end, of a pipe that no other group is armed with. It is closed.

    Returns:
        The descriptor that took its place: a high one, which survives exec.
    """
    try:
        armed = fcntl.fcntl(reader, fcntl.F_DUPFD, _HIGH)
    except OSError:  # the limit of descriptors is that low
        armed = fcntl.fcntl(reader, fcntl.F_DUPFD, 3)
    os.close(reader)
    fcntl.fcntl(armed, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(armed, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(armed, fcntl.F_SETFL, fcntl.fcntl(armed, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(armed, 0)
    if poll.poll(0):  # the writer went before the kernel was asked to watch it
        os.killpg(os.getpgrp(), signal.SIGKILL)
    return armed


def gain_nothing() -> None:
    """Let this process, and all that come from it, get no more rights by any program that it starts."""
    if LINUX and not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        sys.exit("no_new_privs cannot be set, without which this process is not isolated")


def become(uid: int) -> None:
    """Take another user id, and the group id of the same number, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.umask(0o077)
    gain_nothing()


def write_memory(address: int, content: bytes) -> None:
    """Overwrite this process's own memory."""
    load()
    _ctypes.memmove(address, content, len(content))


def _prctl(option: int, value: int | bytes) -> bool:
    if not LINUX:
        return False
    load()
    word = _ctypes.c_ulong
    argument = value if isinstance(value, bytes) else word(value)
    return bool(_library.prctl(option, argument, word(0), word(0), word(0)) == 0)
