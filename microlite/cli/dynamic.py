"""Dynamic commands: the endpoints of the services that run, with flags and help from their descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from microlite.cli.arrival import describe_soon
from microlite.cli.calling import answer, print_answers, refuse_program
from microlite.cli.commands import COMMANDS, PROGRAM
from microlite.cli.described import find_endpoint, read_service
from microlite.cli.failure import FAILED, NO_ENDPOINT, NOT_FOUND, USAGE, CommandError
from microlite.cli.flags import read_request
from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.cli.places import is_place
from microlite.core import errors
from microlite.core.description.naming import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from microlite.cli.described import Described
    from microlite.cli.link import Link

_HELP = ("--help", "-h")


class ServiceCommand(click.Command):
    """`microlite NAME [ENDPOINT…] [--FIELD VALUE]…`. All that stands after the name belongs to the endpoint.

    Args:
        name: the word that the user typed, which is no command and no program.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take all words as they are: only the description says what they mean."""
        ctx.args = list(args)
        return []

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """See `click.Command`."""
        from microlite.cli.candidates import fields

        return fields(ctx, self.name or "", ctx.args, incomplete)

    def invoke(self, ctx: click.Context) -> None:
        """See `click.Command`."""
        options = ctx.find_object(Options)
        assert options is not None, "the root has set it"
        assert self.name is not None, "the constructor has set it"
        if self.name.endswith(".py") or is_place(self.name):
            raise CommandError(f"{self.name} is no command; run what is there with: {PROGRAM} run {self.name}", USAGE)
        names, flags = _split(ctx.args)
        try:
            with connect(options) as link:
                _run(link, self.name, names, flags)
        except CommandError as error:
            if error.code != NOT_FOUND:
                raise
            raise CommandError(_unrecognised(self.name, options), FAILED) from None


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words of the endpoint's name, and all from the first flag on."""
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:at], words[at:]


def _run(link: Link, typed: str, names: Sequence[str], flags: Sequence[str]) -> None:
    service = read_service(typed)
    try:
        versions = describe_soon(link, service)
    except errors.ServiceNotFound as error:
        close = _closest(typed)
        if close and "did you mean" not in error.detail:
            raise errors.ServiceNotFound(f"{error.detail}; did you mean '{PROGRAM} {close}'?") from None
        raise
    wants_help = any(flag in _HELP for flag in flags)
    if not names and (wants_help or not flags):
        from microlite.cli.usage import print_service

        print_service(versions, link.gateway)
        return
    endpoint = endpoint_of(service, ".".join(names))
    found = next((one.endpoint(endpoint) for one in versions if one.endpoint(endpoint) is not None), None)
    if found is None:
        refuse_program(link, versions)
        _explain_missing(link, versions, endpoint, names, flags)
        return
    if wants_help:
        from microlite.cli.usage import print_endpoint

        print_endpoint(service, found)
        return
    request = msgspec.json.encode(read_request(flags, found.request))
    print_answers(answer(link, service, endpoint, request, found), found, silent=found.response.get("type") == "null")


def _explain_missing(
    link: Link, versions: Sequence[Described], endpoint: str, names: Sequence[str], flags: Sequence[str]
) -> None:
    """Print what there is below a part of a name; else say what is missing, and how fields are given."""
    below = [one for version in versions for one in version.endpoints if one.name.startswith(f"{endpoint}.")]
    if below and all(flag in _HELP for flag in flags):
        from microlite.cli.usage import print_service

        print_service(versions, link.gateway, endpoint)
        return
    service = versions[0].name
    for count in range(len(names) - 1, 0, -1):
        shorter = endpoint_of(service, ".".join(names[:count]))
        if any(version.endpoint(shorter) is not None for version in versions):
            raise CommandError(
                f'endpoint "{endpoint}" not found for service "{service}"; to give {shorter} the value '
                f"{names[count]!r}, name its field: {PROGRAM} {service} {' '.join(names[:count])} --help",
                NO_ENDPOINT,
            )
    find_endpoint(versions, endpoint)


def _closest(typed: str) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(typed, COMMANDS, 1)), "")


def _unrecognised(word: str, options: Options) -> str:
    close = _closest(word)
    meant = f"; did you mean '{close}'?" if close else ""
    return (
        f"Unrecognized {PROGRAM} command: {word}. Please refer to '{PROGRAM} --help'{meant}\n"
        f"It could be a service, but no platform runs at {options.home}; start one with: {PROGRAM} server"
    )
