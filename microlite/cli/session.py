"""A session of `microlite run`: services that live as long as this terminal shows what happens to them."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from microlite.cli.described import describe
from microlite.cli.failure import FAILED, CommandError
from microlite.cli.link import connect
from microlite.cli.start import connect_or_start
from microlite.cli.terminal import Terminal
from microlite.cli.view import View
from microlite.core import errors
from microlite.core.runtime.api import Happening, ServiceStatus
from microlite.core.runtime.desired import check_nearby
from microlite.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from microlite.cli.described import Described
    from microlite.cli.link import Link
    from microlite.cli.options import Options, Ports
    from microlite.core.runtime.api import RunRequest

_STOPPING: Final = b"\nstopping: waiting for calls to end (Ctrl-C again does not wait)\n"


def run_session(options: Options, request: RunRequest, ports: Ports) -> int:
    """Run services until they end, or until Ctrl-C. Returns the exit code.

    Raises:
        CommandError: the platform ended under the session.
        Error: there is nothing to run, or something about it is wrong.
        KeyboardInterrupt: a second Ctrl-C, or one before there was anything to end.
    """
    name = ",".join(Path(source).name for source in request.sources)
    check = partial(check_nearby, request, options.namespace)
    with connect_or_start(options, ports, check, session=name) as (link, took):
        _say_platform(link, took, ports)
        hint = "save a file, and it reloads; Ctrl-C ends" if request.watch else "Ctrl-C ends"
        view = View(link.gateway, lambda service: _describe(options, service), hint, options.namespace)
        terminal = Terminal(options)
        ending = _Ending(options, view.services, terminal)
        handlers = {signal.SIGINT: ending.interrupt, signal.SIGHUP: ending.give_up, signal.SIGTERM: ending.give_up}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for happening in link.follow("runtime", "session", Happening, request=request):
                terminal.offer(happening.service)
                with terminal.quiet:
                    view.show(happening)
        except errors.ServiceUnavailable as error:
            if view.services:
                raise CommandError("the platform ended, and the services of this session with it", FAILED) from error
            raise
        finally:
            terminal.let_go()
            for number, handler in before.items():
                signal.signal(number, handler)
    return 0


def _say_platform(link: Link, took: float | None, ports: Ports) -> None:
    port = ports.gateway
    if took is not None:
        click.secho(f"microlite {__version__} started in {took * 1000:.0f} ms, gateway {link.gateway}", dim=True)
        if link.dashboard:
            click.secho(f"dashboard {link.dashboard}, log in with: microlite web", dim=True)
    elif port and not link.gateway.endswith(f":{port}"):
        click.echo(f"A platform runs already, gateway {link.gateway}; --port is for one that is started", err=True)
    elif ports.tls_cert is not None and not link.gateway.startswith("https:"):
        click.echo(f"A platform runs already, gateway {link.gateway}; --tls-cert is for one that is started", err=True)


def _describe(options: Options, service: str) -> Described | None:
    """What a service offers, asked on a connection of its own: the session's is busy."""
    try:
        with connect(options) as link:
            return describe(link, service)[-1]
    except (errors.Error, CommandError):
        return None  # it is gone again already, and there is nothing to show of it


class _Ending:
    """What Ctrl-C does: the first drains and ends the services, and the session goes on until they have ended.

    Args:
        options: the global ones.
        services: names of the session's services, as far as they are known.
        terminal: where one of them may stand at a breakpoint.
    """

    def __init__(self, options: Options, services: Sequence[str], terminal: Terminal) -> None:
        self._terminal = terminal
        self._options = options
        self._services = services
        self._asked = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT.

        Raises:
            KeyboardInterrupt: it is the second one, or there is nothing to wait for.
        """
        if self._asked or not self._services:
            raise KeyboardInterrupt
        self._asked = True
        os.write(2, _STOPPING)  # not by click: the signal may have interrupted a print
        self._terminal.let_go()
        threading.Thread(target=self._end, name="microlite: end of the session", daemon=True).start()

    def give_up(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGHUP and SIGTERM: the terminal is gone, or will not wait; the platform ends the services.

        Raises:
            KeyboardInterrupt: always.
        """
        raise KeyboardInterrupt

    def _end(self) -> None:
        try:
            with connect(self._options) as link:
                wanted = self._own(link.ask("runtime", "status", list[ServiceStatus]))
                if not wanted:
                    _thread.interrupt_main()  # nothing of it runs yet: what is just being fetched ends with the session
                    return
                link.ask("runtime", "kill", timeout=None, services=wanted)
        except (errors.Error, CommandError):
            _thread.interrupt_main()  # it cannot be done in order: closing the connection ends them too

    def _own(self, statuses: Sequence[ServiceStatus]) -> list[str]:
        """What to kill: of a name that runs in several versions, those that belong to a session."""
        found = []
        for name in self._services:
            versions = [one for one in statuses if one.name == name and one.managed]
            own = [one for one in versions if not one.detached]
            found += [f"{name}@{one.version}" if len(versions) > 1 else name for one in own]
        return found
