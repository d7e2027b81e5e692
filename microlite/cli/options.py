"""What stands before the command and holds for each; and the options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

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
    account: str = ""
    """As which of the accounts that have logged in; `-` for none of them, empty for the one that the log-ins name."""
    token: str = ""
    """In place of a log-in: the token of whoever runs the command."""
    says_namespace: bool = False
    """Whether the namespace was named, and not the one that is meant otherwise."""


WITHOUT: Final = "-"
"""In place of an account: act without a log-in, as the admin of this machine."""


def read_options(
    home: Path | None, namespace: str | None, output: str, account: str | None = None, *, says_account: bool = False
) -> Options:
    """The global options, completed.

    Args:
        namespace: None for the one that the token or the log-ins name.
        says_account: whether the account stands on the command line itself, and so goes before `MICROLITE_TOKEN`.
    """
    folder = home.expanduser() if home is not None else Path(os.environ.get("HOME") or Path.home()) / ".microlite"
    folder = folder.absolute()
    token = "" if says_account else os.environ.get("MICROLITE_TOKEN", "").strip()
    meant = namespace or _meant(folder, token, account)
    return Options(folder, meant, output, "" if token else account or "", token, bool(namespace))


def _meant(home: Path, token: str, account: str | None) -> str:
    """The namespace where none is named. Most have no log-in, and their commands do not import what reads it."""
    if token:
        from microlite.cli.token_namespace import token_namespace

        return token_namespace(token) or "default"
    if account == WITHOUT or not os.path.lexists(home / "log-ins.json"):
        return "default"
    from microlite.core import errors
    from microlite.core.log_ins import LogIns

    try:
        return LogIns(home).namespace or "default"
    except errors.Error:
        return "default"  # whoever acts by a log-in says what is wrong with the file


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
