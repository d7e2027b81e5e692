"""A platform as a process: how it is asked to stop, and what it says to the terminal that it was started in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.app import Platform
from microlite.core.exposure import describe_exposure
from microlite.version import __version__

if TYPE_CHECKING:
    from microlite.core.settings import ServerOptions

log = logging.getLogger("microlite")


def run_server(options: ServerOptions) -> int:
    """Run a platform until it is asked to stop. Returns the exit code.

    SIGINT and SIGTERM drain; a second one ends at once. SIGHUP, where no terminal can send it, reads the certificate again.
    """
    say = _Announcer(options)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if options.access_log:
        logging.getLogger("microlite.access").setLevel(logging.INFO)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(options, say))
    except errors.Error as error:
        say.failed(error.detail)
        return errors.exit_code(error) if errors.exit_code(error) != 127 else 1
    except BaseExceptionGroup as group:
        known, rest = group.split(errors.Error)
        if known is not None and rest is None:
            say.failed(_first(known).detail)
            return 1
        log.error("the platform ended by a fault of its own", exc_info=group)
        say.failed(
            "the platform ended by a fault of its own; logs/platform.log in its home, or this terminal, has the traceback"
        )
        return 1


def _first(group: BaseExceptionGroup[errors.Error]) -> errors.Error:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _serve(options: ServerOptions, say: _Announcer) -> int:
    platform = Platform(options)
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if platform.stopping.is_set():
            platform.runtime.cut()
            os._exit(130)  # asked twice: what still runs is given up
        platform.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    async with platform:
        say.ready(platform)
        if platform.certificate is not None and not _has_terminal():
            loop.add_signal_handler(signal.SIGHUP, platform.certificate.reload)
        await platform.stopping.wait()
        say.stopping()
    return 0


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal, which sends SIGHUP when it is closed: that is to end it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class _Announcer:
    """Says on the terminal, and to whoever waits on the descriptor, how the start goes."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options

    def ready(self, platform: Platform) -> None:
        self._report("ready")
        print(f"microlite {__version__} is running, home {self._options.home}")
        print(f"gateway    {platform.gateway.url}")
        if platform.dashboard is not None:
            print(f"dashboard  {platform.dashboard.url}  (log in with: microlite web)")
        for line in describe_exposure(self._options, platform.runtime.names()):
            print(line)
        if platform.nodes.join_port:
            print(
                f"join port  {self._options.join_host}:{platform.nodes.join_port}  (TLS, for nodes with a join token)"
            )
        sys.stdout.flush()

    def stopping(self) -> None:
        print("stopping: waiting for calls to finish (Ctrl-C again ends at once)", flush=True)

    def failed(self, detail: str) -> None:
        self._report(detail)
        print(f"{detail[:1].upper()}{detail[1:]}", file=sys.stderr)

    def _report(self, text: str) -> None:
        descriptor = self._options.ready_fd
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, text.encode())
                os.close(descriptor)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.Loop
    return None
