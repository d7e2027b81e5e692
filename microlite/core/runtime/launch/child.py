"""From a bare process to the user's program in it: what a forked and a spawned node have in common.

The steps stand in the order in which they are taken, before any line of user code.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_KEPT_IGNORED = {signal.SIGPIPE, getattr(signal, "SIGXFSZ", signal.SIGPIPE)}


def reset_signals(*, python: bool) -> None:
    """Give every signal the action that a new program has, and let all of them through.

    Args:
        python: the program is Python, which ignores SIGPIPE and SIGXFSZ and turns SIGINT into `KeyboardInterrupt`.
    """
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP) or (python and number in _KEPT_IGNORED):
            continue
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    if python:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def ignore_requests() -> None:
    """Let those who ask processes to end ask the program in the sandbox, not the one around it, which would cut it off."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def take_stdio(descriptors: Sequence[int]) -> None:
    """Make the three descriptors stdin, stdout and stderr, and close the originals."""
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)  # inheritable
    for descriptor in descriptors:
        os.close(descriptor)


def set_environment(env: Mapping[str, str]) -> None:
    """Replace the environment, and what was derived from it when the interpreter started and can be changed."""
    for name in [name for name in os.environ if name not in env]:
        del os.environ[name]
    for name, value in env.items():
        if os.environ.get(name) != value:  # most are the server's own, and each setting costs a call into the C library
            os.environ[name] = value
    time.tzset()
    if env.get("PYTHONDONTWRITEBYTECODE"):
        sys.dont_write_bytecode = True


def buffer_lines() -> None:
    """Have each printed line reach the log at once, though stdout is a pipe; each character with PYTHONUNBUFFERED."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not os.environ.get("PYTHONUNBUFFERED"):
            stream.reconfigure(line_buffering=True)
        elif not stream.write_through:  # the interpreter was started without it
            raw = open(stream.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115 - as long as the process
            text = io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)


def enter(folder: str) -> None:
    """Make `folder` the working directory. Ends the process with exit code 2 when that cannot be."""
    try:
        os.chdir(folder)
    except OSError as error:
        fail(f"cannot enter the folder {folder!r}: [Errno {error.errno}] {error.strerror}")


def execute(words: Sequence[str]) -> NoReturn:
    """Become another program, found on PATH. Ends the process as a shell would when it cannot be started."""
    try:
        os.execvp(words[0], list(words))  # noqa: S606 - no shell is the point
    except FileNotFoundError:
        fail(f"cannot run {words[0]!r}: no such program on PATH", 127)
    except OSError as error:
        fail(f"cannot run {words[0]!r}: [Errno {error.errno}] {error.strerror}", 126)


def fail(detail: str, code: int = 2) -> NoReturn:
    """End as the interpreter itself does when it cannot even begin."""
    sys.stderr.write(f"microlite: {detail}\n")
    raise SystemExit(code)
