"""What a session shows: one line for each service with its URL, then what happens, and what the services write."""

from __future__ import annotations

import re
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

import click

from microlite.cli.attempt import Attempt
from microlite.cli.example import curl_line
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.runtime.api import Topic
from microlite.core.runtime.lines import Stream, for_terminal, strip_ansi
from microlite.core.runtime.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.cli.described import Described
    from microlite.core.runtime.api import Happening

_COLOURS: Final = ("cyan", "magenta", "blue", "yellow", "green", "bright_cyan", "bright_magenta", "bright_blue")
_REMEMBERED: Final = 200
"""Lines of a service that are remembered, so that a failure does not print again what stands just above it."""

_DECLARATION: Final = re.compile(r"DeclarationError: .*?:\d+\): (?P<what>.+)")
_RECOGNISED: Final = 120
"""Characters by which a sentence is known again."""

_STATES: Final = {
    State.DRAINING: "stopping",
    State.STOPPED: "stopped",
}
"""What is said of a state; of the others either nothing, or the failure that led to it."""


class View:
    """Prints a session. Colours reach only a terminal.

    Args:
        gateway: its URL.
        describe: asks what a service offers; None when it is gone.
        hint: what a person can do now, shown in a terminal below the first service.
        namespace: whose services these are.

    Attributes:
        services: names of the services that something was heard of, in that order.
    """

    def __init__(
        self,
        gateway: str,
        describe: Callable[[str], Described | None],
        hint: str = "",
        namespace: str = DEFAULT_NAMESPACE,
    ) -> None:
        self._gateway = gateway
        self._namespace = namespace
        self._describe = describe
        self._hint = hint
        self._announced: set[str] = set()
        self._down: set[str] = set()
        self._said: dict[str, deque[str]] = {}
        self._foretold: dict[str, list[str]] = {}
        self._attempts: dict[str, Attempt] = {}
        self._held: dict[str, str] = {}
        """By service, the sentence of a declaration that cannot be, which its failure most likely says again."""
        self._terminal = sys.stdout.isatty()
        self.services: list[str] = []

    def show(self, happening: Happening) -> None:
        """Print what there is to say of one happening."""
        name = happening.service
        if name not in self.services:
            self.services.append(name)
            self._said[name] = deque(maxlen=_REMEMBERED)
            self._foretold[name] = []
            self._attempts[name] = Attempt()
        match happening.topic:
            case Topic.LOG:
                self._log(happening)
            case Topic.STATE:
                self._state(happening)
            case Topic.PROGRESS:
                self._print(name, happening.text, dim=True)
            case Topic.RELOAD:
                what = f" ({happening.text})" if happening.text else ""
                self._print(name, f"reloaded in {happening.seconds * 1000:.0f} ms{what}", fg="green")
                self._forget(name)
            case Topic.FAILED:
                self._failed(happening)

    def _log(self, happening: Happening) -> None:
        line = happening.line
        if line is None:
            return
        # What the platform writes into a log about a node comes as a happening too, except for what was dropped.
        if line.stream is Stream.PLATFORM and not line.text.startswith("…"):
            return
        name, text = happening.service, strip_ansi(line.text)
        foretold = self._foretold[name]
        if text in foretold:
            del foretold[: foretold.index(text) + 1]
            return
        self._said[name].append(text)
        for ready in self._attempts[name].wrote(text, line.text):
            self._release(name)
            if _DECLARATION.match(strip_ansi(ready)):
                self._held[name] = ready
            else:
                self._print(name, ready)

    def _release(self, name: str, failure: str = "") -> None:
        """Print the sentence that was held back, but where the failure has it."""
        held = self._held.pop(name, "")
        if held and not _tells(failure, held):
            self._print(name, held)

    def _state(self, happening: Happening) -> None:
        name, state = happening.service, happening.state
        if state is State.DEBUGGING:
            state = State.RUNNING  # it serves; where its debugger is, the node says by itself
        if state in (State.RUNNING, State.STOPPED):
            self._release(name)
            for text in self._attempts[name].over():
                self._print(name, text)
        if state is State.RUNNING:
            if name not in self._announced:
                self._announced.add(name)
                self._announce(happening)
            elif name in self._down:
                self._print(name, "running again", fg="green")
            self._down.discard(name)
        elif state in _STATES:
            self._print(name, _STATES[state], dim=True)
        elif state in (State.BACKOFF, State.ERROR):
            self._down.add(name)

    def _announce(self, happening: Happening) -> None:
        name = happening.service
        url = _program_url(self._gateway, name) if happening.http else f"{self._gateway}/{name}"
        if self._terminal:
            bullet = click.style("●", fg="green")
            click.echo(f"{bullet} {click.style(name, fg=self._colour(name), bold=True)}  {url}")
        else:
            click.echo(f"{name} is running: {url}")
        described = None if happening.http else self._describe(name)
        line = curl_line(self._gateway, described, self._namespace) if described is not None else ""
        if line:
            click.echo(f"  {line}")
        if self._hint and self._terminal:
            click.secho(f"  {self._hint}", dim=True)
            self._hint = ""

    def _failed(self, happening: Happening) -> None:
        """A failure and its last words, which may be on their way as log lines too, before it or after it."""
        name = happening.service
        lines = [strip_ansi(text) for text in happening.lines]
        unsaid = [text for text in lines if text not in self._said[name]]
        if self._attempts[name].failed_alike(unsaid):
            self._release(name, happening.text)
            self._print(name, f"failed again: {happening.text}", fg="red")
            self._forget(name)
            self._foretold[name] = unsaid
            return
        for text in self._attempts[name].failed(unsaid):
            self._print(name, text)
        self._release(name, happening.text)
        self._print(name, f"failed: {happening.text}", fg="red", bold=True)
        for text in unsaid:
            if not _tells(happening.text, text):
                self._print(name, text, fg="red")
        self._forget(name)
        self._foretold[name] = unsaid

    def _forget(self, name: str) -> None:
        self._said[name].clear()
        self._foretold[name] = []

    def _print(self, name: str, text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> None:
        width = max(len(service) for service in self.services)
        prefix = click.style(f"{name:<{width}} |", fg=self._colour(name))
        text = for_terminal(text)
        styled = click.style(text, fg=fg, bold=bold or None, dim=dim or None) if fg or bold or dim else text
        click.echo(f"{prefix} {styled}")

    def _colour(self, name: str) -> str:
        return _COLOURS[self.services.index(name) % len(_COLOURS)]


def _tells(failure: str, line: str) -> bool:
    """Whether the sentence about a failure says what a line of the log does, which has longer paths and may be cut less."""
    declared = _DECLARATION.match(strip_ansi(line))
    return declared is not None and bool(failure) and declared["what"][:_RECOGNISED] in failure


def _program_url(gateway: str, name: str) -> str:
    """Both addresses of an HTTP program: an origin of its own, and a path for clients that do not resolve it."""
    scheme, _, rest = gateway.partition("://")
    port = rest.rpartition(":")[2]
    return f"{scheme}://{name}.localhost:{port}/  (or {gateway}/{name}/)"
