"""`microlite call` and `microlite stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from microlite.cli.calling import RAW, answer, look_up, print_answers, read_json
from microlite.cli.completes import completes
from microlite.cli.described import read_target
from microlite.cli.link import connect
from microlite.cli.options import Options, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    options: tuple[Callable[[Any], Any], ...] = (
        click.argument(
            "words", nargs=-1, required=True, metavar="SERVICE ENDPOINT [JSON]", shell_complete=completes("targets")
        ),
        click.option("--timeout", metavar="DURATION", help="How long the call may take: 5, 500ms, 10s, 2m."),
        click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Send this along. Can be repeated."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(("json", RAW)),
            default="json",
            help="json indents what comes, raw leaves it as it came.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command
@_shared
@click.pass_obj
def call(options: Options, words: tuple[str, ...], timeout: str | None, metadata: tuple[str, ...], output: str) -> None:
    """Call an endpoint with a JSON document.

    Without a document it is {}; with - it is read from stdin. An endpoint that takes a stream gets each line of stdin as
    one message of it.

    \b
        microlite call greeter hello '{"name": "Ann"}'
        microlite call greeter.hello '{"name": "Ann"}'
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    _send(options, words, timeout, metadata, output, stream=False)


@click.command
@_shared
@click.pass_obj
def stream(
    options: Options, words: tuple[str, ...], timeout: str | None, metadata: tuple[str, ...], output: str
) -> None:
    """Call an endpoint and print each message of its stream.

    It ends when the service ends it, or with Ctrl-C.
    """
    _send(options, words, timeout, metadata, output, stream=True)


def _send(
    options: Options, words: Sequence[str], timeout: str | None, metadata: Sequence[str], output: str, *, stream: bool
) -> None:
    target, document = _split(words)
    seconds = _seconds(timeout) if timeout is not None else None
    extra = {key.lower(): value for key, value in pairs(metadata, "--metadata").items()}  # as HTTP and Python have it
    service, endpoint = read_target(target)
    request = read_json(document)
    with connect(options) as link:
        described = look_up(link, service, endpoint)
        documents = answer(
            link, service, endpoint, request, described, timeout=seconds, metadata=extra or None, stream=stream
        )
        print_answers(documents, described, output)


def _split(words: Sequence[str]) -> tuple[Sequence[str], str]:
    """The words that name the target, and the document. No name begins with what a document begins with."""
    if len(words) == 2 and not words[1][:1].isalpha():
        return words[:1], words[1]
    if len(words) > 3:
        raise click.UsageError(f"too many words: {words[3]!r}; put the JSON document in quotes")
    return words[:2], words[2] if len(words) == 3 else ""


def _seconds(text: str) -> float:
    from microlite.core.durations import parse_duration

    try:
        seconds = parse_duration(text if text[-1:].isalpha() else f"{text}s")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from None
    if seconds <= 0:
        raise click.BadParameter("a call needs some time", param_hint="--timeout")
    return seconds
