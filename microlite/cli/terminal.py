"""The terminal of a command as that of a service's `breakpoint()`: pdb's prompt, over a socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

import click

from microlite.core.rpc.paths import socket_path

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from microlite.cli.options import Options

_CHUNK: Final = 65_536

_WELCOME: Final = "{} stands at a breakpoint: n next line, s step in, p NAME print, c go on, h help"


class Terminal:
    """Lets the nodes of services break into pdb here, one at a time. Leave it (`with`) to let go of all.

    Args:
        options: the global ones.

    Attributes:
        quiet: held while somebody is at the prompt; what else prints here waits for it.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.quiet = threading.Lock()
        self._sockets: dict[str, tuple[socket.socket, Path]] = {}
        self._current: socket.socket | None = None
        self._closed = False

    def offer(self, service: str) -> bool:
        """Be the terminal of a service. False if it has one already, or if this is none."""
        if service in self._sockets:
            return True
        if self._closed or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return False
        path = _path(self._options, service)
        if _answers(path):
            return False
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
        except OSError:
            listener.close()
            return False
        path.chmod(0o600)
        listener.listen()
        self._sockets[service] = listener, path
        serve = threading.Thread(
            target=self._serve, args=(service, listener), name=f"terminal of {service}", daemon=True
        )
        serve.start()
        return True

    def let_go(self) -> None:
        """Let who stands at a breakpoint go on, and take no further one."""
        self._closed = True
        for listener, path in self._sockets.values():
            path.unlink(missing_ok=True)
            _shut(listener)
        current = self._current
        if current is not None:
            _shut(current)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()

    def _serve(self, service: str, listener: socket.socket) -> None:
        while not self._closed:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, self.quiet:
                self._current = connection
                if not self._closed:
                    self._talk(service, connection)
                self._current = None

    def _talk(self, service: str, connection: socket.socket) -> None:
        """Have the prompt here, unless all that this connection wanted to know was whether somebody listens."""
        with contextlib.suppress(OSError):
            first = connection.recv(_CHUNK)
            if first:
                click.secho(_WELCOME.format(service), dim=True)
                os.write(1, first)
                _bridge(connection)


def _bridge(connection: socket.socket) -> None:
    """Show what comes from there, and send what is typed here, until that end is closed."""
    with contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([connection, sys.stdin], [], [])
            if connection in ready:
                came = connection.recv(_CHUNK)
                if not came:
                    return
                os.write(1, came)
            elif sys.stdin in ready:
                typed = os.read(0, _CHUNK)
                if not typed:  # Ctrl-D: as pdb's `c`
                    return
                connection.sendall(typed)


def _path(options: Options, service: str) -> Path:
    """The same as `core.library.breakpoints.terminal_path`, which brings pdb with it."""
    return socket_path(options.home / "run", f"terminal {options.namespace} {service}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
