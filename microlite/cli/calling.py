"""Calls that a user makes: what goes out, and each document that comes back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
import msgspec

from microlite.cli.described import describe, find_endpoint
from microlite.cli.failure import FAILED, NO_ENDPOINT, CommandError
from microlite.cli.link import TIMEOUT
from microlite.cli.output import print_document
from microlite.core import errors
from microlite.core.description.uploads import is_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microlite.cli.described import Described, DescribedEndpoint
    from microlite.cli.link import Link

RAW: Final = "raw"
"""The way to print that changes nothing in what the service answered."""


def read_json(text: str) -> bytes:
    """A JSON document that a user typed; `-` reads it from stdin, no text stands for `{}`.

    Raises:
        CommandError: it is none.
    """
    document = sys.stdin.buffer.read() if text == "-" else text.encode(errors="surrogateescape")
    if not document.strip():
        return b"{}"
    try:
        msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        from microlite.core.description.rejection import bad_payload
        from microlite.core.description.structs import Encoding

        said = bad_payload(error, document, Encoding.JSON, {}).detail
        raise CommandError(f"Error creating request: {said}", FAILED) from None
    return document


def look_up(link: Link, service: str, endpoint: str) -> DescribedEndpoint | None:
    """What the registry knows of an endpoint; None while no node of its service is there, which may be about to change.

    Raises:
        CommandError: the service is there and has no such endpoint.
    """
    try:
        versions = describe(link, service)
    except errors.ServiceNotFound:
        return None
    refuse_program(link, versions)
    return find_endpoint(versions, endpoint)


def refuse_program(link: Link, versions: Sequence[Described]) -> None:
    """Make sure that a service has endpoints to call.

    Raises:
        CommandError: it is an unmodified program that speaks HTTP; the detail says where.
    """
    nodes = [node for one in versions for node in one.nodes]
    if nodes and all(node.protocol == "http" for node in nodes):
        name = versions[0].name
        raise CommandError(f"{name} is a program that speaks HTTP: call it at {link.gateway}/{name}/", NO_ENDPOINT)


def answer(
    link: Link,
    service: str,
    endpoint: str,
    request: bytes,
    described: DescribedEndpoint | None,
    *,
    timeout: float | None = None,
    metadata: dict[str, str] | None = None,
    stream: bool = False,
) -> Iterator[bytes]:
    """Call an endpoint and yield the documents that it answers; a caller's stream is read from stdin, one on each line.

    Args:
        described: what is known of it.
        timeout: seconds for the whole call; None for 30 of a unary one and no limit of a stream.
        stream: whether to expect a stream from one of which nothing is known.
    """
    sends_stream = described is not None and described.takes_stream
    gets_stream = described.gives_stream if described is not None else stream
    return link.stream_json(
        service,
        endpoint,
        request,
        timeout=timeout if timeout is not None or sends_stream or gets_stream else TIMEOUT,
        metadata=metadata,
        items=_lines() if sends_stream else (),
        takes_stream=gets_stream,
    )


def print_answers(
    documents: Iterator[bytes], described: DescribedEndpoint | None, output: str = "json", *, silent: bool = False
) -> None:
    """Print each document as it comes. What has a media type of its own is written as what it is.

    Args:
        documents: as the service wrote them.
        described: what is known of the endpoint.
        output: `raw` for just so, each on a line; anything else indents them.
        silent: print nothing for `null`, the answer of an endpoint that has none.
    """
    if described is not None and described.produces and output != RAW:
        _write_content(documents, described)
        return
    for document in documents:
        if silent and document == b"null":
            continue
        if output == RAW:
            click.echo(document)
        else:
            print_document(document)


def _write_content(documents: Iterator[bytes], described: DescribedEndpoint) -> None:
    """Write bytes or text to stdout; bytes not to a terminal, which they would upset."""
    import base64

    size, media_type = 0, described.produces
    for document in documents:
        text: str | dict[str, object] = msgspec.json.decode(document) or ""
        if isinstance(text, dict):
            media_type = str(text.get("content_type", media_type))  # the head of a file: its bytes follow
            continue
        if not _is_bytes(described):
            click.echo(text, nl=sys.stdout.isatty())
            continue
        content = base64.b64decode(text)
        size += len(content)
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
    if size and sys.stdout.isatty():
        click.echo(f"{media_type}, {size:,} bytes: write it to a file, with > FILE behind the command", err=True)


def _is_bytes(described: DescribedEndpoint) -> bool:
    return any(is_bytes(choice) for choice in described.response.get("anyOf") or (described.response,))


def _lines() -> Iterator[bytes]:
    for line in sys.stdin.buffer:
        if stripped := line.strip():
            yield stripped
