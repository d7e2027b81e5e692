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
    """How a platform listens that a command may have to start; None for the usual ports, and for no TLS."""

    gateway: int | None = None
    dashboard: int | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def arguments(self) -> list[str]:
        """The same, for the command line of `microlite server`."""
        words = []
        for option, port in (("--port", self.gateway), ("--dashboard-port", self.dashboard)):
            words += [] if port is None else [option, str(port)]
        for option, path in (("--tls-cert", self.tls_cert), ("--tls-key", self.tls_key)):
            words += [] if path is None else [option, str(path)]
        return words


def tls_options(command: Command) -> Command:
    """Give a command `--tls-cert` and `--tls-key`; it gets `tls_cert` and `tls_key`, absolute paths or None."""
    file = click.Path(dir_okay=False, path_type=Path)

    def resolve(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    key = click.option(
        "--tls-key",
        type=file,
        callback=resolve,
        help="Its private key: PEM, not encrypted, readable by its owner only.",
    )
    certificate = click.option(
        "--tls-cert",
        type=file,
        callback=resolve,
        help="Speak TLS, with the certificate in this PEM file. A new one is taken up as soon as it is there.",
    )
    return certificate(key(command))


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
