"""What stands before the command and holds for each; and the options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Command = TypeVar("Command", bound="Callable[..., Any]")

OUTPUTS = ("text", "json")
"""How a command can print."""


class Options(NamedTuple):
    """The global options."""

    home: Path
    """The folder of the platform; absolute."""
    namespace: str
    """Whose services are meant."""
    output: str
    """`text` or `json`, where the command does not say otherwise."""


def read_options(home: Path | None, namespace: str, output: str) -> Options:
    """The global options, completed."""
    folder = home.expanduser() if home is not None else Path(os.environ.get("HOME") or Path.home()) / ".microlite"
    return Options(folder.absolute(), namespace, output)


class Ports(NamedTuple):
    """The ports of a platform that a command may have to start; None for the usual ones."""

    gateway: int | None = None
    dashboard: int | None = None

    def arguments(self) -> list[str]:
        """The same, for the command line of `microlite server`."""
        words = []
        for option, port in (("--port", self.gateway), ("--dashboard-port", self.dashboard)):
            words += [] if port is None else [option, str(port)]
        return words


def output_option(command: Command) -> Command:
    """Give a command `-o`, `--output`; it gets `output`, which holds `text` or `json`."""

    def choose(context: click.Context, _: click.Parameter, value: str | None) -> str:
        options = context.find_object(Options)
        return value or (options.output if options is not None else OUTPUTS[0])

    return click.option(
        "-o",
        "--output",
        type=click.Choice(OUTPUTS),
        callback=choose,
        help="How to print: text for people, json for programs.",
    )(command)


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Read `key=value` pairs; a value may hold further equals signs.

    Raises:
        click.BadParameter: one of them has no key or no equals sign.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"write key=value, not {text!r}", param_hint=option)
        found[key] = value
    return found


def isolation_options(command: Command) -> Command:
    """Give a command `--isolate` and `--isolate-by`; it gets `isolate` and `isolate_by`."""
    by = click.option(
        "--isolate-by",
        type=click.Choice(["auto", "uid", "bwrap", "off"]),
        metavar="auto|uid|bwrap|off",
        help="The same, by a user id of their own (uid) or in a sandbox (bwrap); fails where that cannot be had.",
    )
    flag = click.option(
        "--isolate",
        is_flag=True,
        help="Keep services from all that is not theirs, by the strongest means that there is.",
    )
    return flag(by(command))
