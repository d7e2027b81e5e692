"""What `breakpoint()` does in a node: pdb in the terminal of whoever runs it, over a socket.

The platform sets `PYTHONBREAKPOINT` to `stop` for the nodes that it starts. The terminal listens on a socket whose path
follows from the service's name (`cli/terminal.py`), so nothing has to know beforehand whether there is one.
"""

from __future__ import annotations

import contextlib
import os
import pdb
import socket
import sys
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from microlite.core import errors
from microlite.core.library.placement import Placement
from microlite.core.rpc.blocking import BlockingClient
from microlite.core.rpc.paths import socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOT_STEPPED = ("microlite.*", "asyncio.*", "uvloop.*", "concurrent.*", "threading")


def terminal_path(sockets: Path, namespace: str, service: str) -> Path:
    """The socket on which the terminal of a service listens.

    Args:
        sockets: the folder of the platform's sockets.
        namespace: of the service.
        service: its name.
    """
    return socket_path(sockets, f"terminal {namespace} {service}")


def stop(*_: object, header: str | None = None) -> None:
    """The hook: see `sys.breakpointhook`. Without a terminal it says so, and goes on."""
    frame = sys._getframe(1)  # noqa: SLF001 - where `breakpoint()` stands
    placement = Placement.from_environment(os.environ)
    path = terminal_path(placement.sockets, placement.namespace, placement.service)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        where = f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
        sys.stderr.write(
            f"breakpoint() at {where} passed: no terminal is there; have one with: microlite attach {placement.service}\n"
        )
        return
    debugger = _Pdb(connection, placement)
    if header:
        debugger.message(header)
    debugger.set_trace(frame)


@contextlib.contextmanager
def _held(placement: Placement) -> Iterator[None]:
    """Within it the platform knows that this node stands at a breakpoint, and takes its silence for nothing else."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(errors.Error):  # without a platform nobody misses an answer
            client = stack.enter_context(BlockingClient(placement.platform_socket))
            request = msgspec.msgpack.encode({"service": placement.service, "node": placement.node})
            known = client.stream("runtime", "breakpoint", request, namespace=placement.namespace)
            stack.callback(known.close)  # which ends the stream, and must not come earlier
            next(known, None)
        yield


class _Pdb(pdb.Pdb):
    """pdb over a socket, in the frames of the author alone.

    The socket is closed as soon as the program goes on by itself.
    """

    def __init__(self, connection: socket.socket, placement: Placement) -> None:
        self._connection = connection
        self._placement = placement
        self._reader: TextIO = connection.makefile("r", encoding="utf-8", errors="replace")
        self._writer: TextIO = connection.makefile("w", encoding="utf-8", errors="replace", buffering=1)
        output: Any = _Flushed(self._writer)
        super().__init__(stdin=self._reader, stdout=output, skip=_NOT_STEPPED, nosigint=True, readrc=False)

    def interaction(self, *arguments: Any) -> None:
        """See `pdb.Pdb`."""
        with _held(self._placement):
            super().interaction(*arguments)

    def do_EOF(self, arg: str) -> Any:  # noqa: N802 - pdb's name
        """The terminal is gone: go on."""
        return self.do_continue(arg)

    def set_continue(self) -> None:
        """See `bdb.Bdb`."""
        super().set_continue()
        if not self.breaks:
            self._close()

    def set_quit(self) -> None:
        """See `bdb.Bdb`. The call ends with an error; the service goes on."""
        super().set_quit()
        self._close()

    def _close(self) -> None:
        for file in (self._reader, self._writer):
            try:
                file.close()
            except OSError:
                pass  # the terminal is gone already
        self._connection.close()


class _Flushed:
    """A text stream that sends each piece at once, and does not mind that nobody reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = "utf-8"

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the terminal is gone; the next command read says so
        return len(text)

    def isatty(self) -> bool:
        """It is none that shows colours."""
        return False

    def flush(self) -> None:
        """Nothing is kept."""
