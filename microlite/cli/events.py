"""`microlite events`: publishing, reading and consuming. Topics, groups and dead letters have modules of their own."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from microlite.cli.calling import read_json
from microlite.cli.completes import completes
from microlite.cli.events_dead import dead
from microlite.cli.events_topics import groups, topics
from microlite.cli.link import TIMEOUT, connect
from microlite.cli.moments import read_moment, read_seconds
from microlite.cli.options import Options, output_option, pairs
from microlite.cli.output import print_document
from microlite.cli.subcommands import Subcommands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from microlite.cli.link import Link

PAGE = 500
"""Most events that one call reads."""

POLL = 20.0
"""Seconds for which one call waits for events."""


class _Event(msgspec.Struct):
    id: str
    position: int
    payload: msgspec.Raw
    key: str = ""
    published: float = 0.0
    attempt: int = 0
    delivery: str = ""


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_page = msgspec.json.Decoder(list[msgspec.Raw]).decode


@click.group(cls=Subcommands, no_args_is_help=True)
def events() -> None:
    """Publish, read and consume durable events; look after topics, groups and dead letters."""


events.add_command(topics)
events.add_command(groups)
events.add_command(dead)


@events.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.argument("payload", required=False, default="null", metavar="[JSON]")
@click.option("--key", default="", help="Events with the same key are handled one after the other.")
@click.option("--delay", metavar="DURATION", help="Let it take its place in the topic later: 10s, 5m, 1h.")
@click.option("--dedup-id", default="", help="Of two events with the same one within a day only the first counts.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Said along with it. Can be repeated.")
@click.option("--timestamp", metavar="TIME", help="When it happened: 10m (ago), or 2026-01-31T12:00.  [default: now]")
@output_option
@click.pass_obj
def publish(
    options: Options,
    topic: str,
    payload: str,
    key: str,
    delay: str | None,
    dedup_id: str,
    metadata: tuple[str, ...],
    timestamp: str | None,
    output: str,
) -> None:
    """Put an event at the end of a topic. It is on disk when this ends.

    The payload is a JSON document; with - it is read from stdin.

    \b
        microlite events publish orders.created '{"id": 1}' --key 1
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    request: dict[str, object] = {
        "topic": topic,
        "payload": msgspec.Raw(read_json(payload)),
        "key": key,
        "metadata": pairs(metadata, "--metadata"),
        "deduplication_id": dedup_id,
    }
    if delay is not None:
        request["delay"] = read_seconds(delay, "--delay")
    if timestamp is not None:
        request["timestamp"] = read_moment(timestamp, "--timestamp")
    with connect(options) as link:
        answer = link.ask_json("events", "publish", msgspec.json.encode(request))
    if output == "json":
        print_document(answer)
        return
    published = msgspec.json.decode(answer)
    if published["duplicate"]:
        click.echo(f"nothing was published: {published['id']} has the same de-duplication id", err=True)
    elif published["quarantined"]:
        click.echo(
            f"it does not fit the topic's schema, and was put aside: microlite events dead list {topic}", err=True
        )


def _from(topic: str, after: int | None, since: str | None) -> dict[str, object]:
    request: dict[str, object] = {"topic": topic}
    if after is not None:
        request["after"] = after
    if since is not None:
        request["since"] = read_moment(since, "--since")
    return request


@events.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.option("--after", metavar="N", type=click.IntRange(0), help="Begin behind this position.")
@click.option("--since", metavar="TIME", help="Begin there: 10m (ago), or 2026-01-31T12:00.")
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(1), default=100, show_default=True, help="At most so many."
)
@click.option("-r", "--reverse", is_flag=True, help="The latest first.")
@output_option
@click.pass_obj
def read(
    options: Options, topic: str, after: int | None, since: str | None, limit: int, reverse: bool, output: str
) -> None:
    """Print events without consuming them, from the beginning of the topic unless something else is said.

    As JSON each is a document on a line, with all that is known of it.
    """
    request = {**_from(topic, after, since), "reverse": reverse}
    with connect(options) as link:
        _print(itertools.islice(_pages(link, request, limit), limit), output)


def _pages(link: Link, request: dict[str, object], limit: int) -> Iterator[bytes]:
    while limit > 0:
        asked = min(limit, PAGE)
        page = _decode_page(link.ask_json("events", "read", msgspec.json.encode({**request, "limit": asked})))
        yield from map(bytes, page)
        if len(page) < asked:
            return
        limit -= asked
        request["after"] = _decode_event(page[-1]).position


@events.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.option("--after", metavar="N", type=click.IntRange(0), help="Begin behind this position; 0 is the beginning.")
@click.option("--since", metavar="TIME", help="Begin there: 10m (ago), or 2026-01-31T12:00.")
@click.option("-n", "--limit", "count", metavar="N", type=click.IntRange(1), help="End after so many.")
@output_option
@click.pass_obj
def follow(options: Options, topic: str, after: int | None, since: str | None, count: int | None, output: str) -> None:
    """Print events as they come, without consuming them, until Ctrl-C. It begins with what is new."""
    request = msgspec.json.encode(_from(topic, after, since))
    with connect(options) as link:
        _print(itertools.islice(link.follow_json("events", "follow", request), count), output)


@events.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.option("--group", required=True, help="For which group of consumers.", shell_complete=completes("event_groups"))
@click.option(
    "--ack", is_flag=True, help="Acknowledge each when it is printed; else its delivery waits for `events ack`."
)
@click.option("-n", "--limit", "count", metavar="N", type=click.IntRange(1), help="End after so many.")
@click.option("--wait/--no-wait", default=True, help="Whether to wait for more, or to end when there is none.")
@click.option("--ack-wait", metavar="DURATION", help="Time for the ack, in place of the group's.")
@click.option("--start", default="beginning", show_default=True, help="Of a new group: beginning, new, or a time.")
@output_option
@click.pass_obj
def consume(
    options: Options,
    topic: str,
    group: str,
    ack: bool,
    count: int | None,
    wait: bool,
    ack_wait: str | None,
    start: str,
    output: str,
) -> None:
    """Take events for handling, and print them, until Ctrl-C.

    Each goes to one consumer of the group. What is not acknowledged in time is delivered again. As JSON each is a document
    on a line; `delivery` is what `microlite events ack` and `nack` ask for.
    """
    request: dict[str, object] = {"topic": topic, "group": group, "wait": POLL if wait else 0.0, "start": _start(start)}
    if ack_wait is not None:
        request["ack_wait"] = read_seconds(ack_wait, "--ack-wait")
    taken = 0
    with connect(options) as link:
        while count is None or taken < count:
            # With --ack one after the other: what was not printed must not be acknowledged, nor wait for it.
            request["max"] = 1 if ack or count is None else min(PAGE, count - taken)
            document = link.ask_json("events", "pull", msgspec.json.encode(request), timeout=POLL + TIMEOUT)
            page = _decode_page(document)
            if not page and not wait:
                return
            _print(map(bytes, page), output, with_delivery=not ack)
            taken += len(page)
            if ack and page:
                link.ask("events", "ack", deliveries=[_decode_event(one).delivery for one in page])


@events.command
@click.argument("deliveries", nargs=-1, required=True, metavar="DELIVERY...")
@click.pass_obj
def ack(options: Options, deliveries: tuple[str, ...]) -> None:
    """Settle deliveries for good: their events are never delivered again."""
    with connect(options) as link:
        for first in range(0, len(deliveries), PAGE):
            link.ask("events", "ack", deliveries=list(deliveries[first : first + PAGE]))


@events.command
@click.argument("delivery")
@click.option("--error", default="", help="Why; dead letters are grouped by it.")
@click.option("--delay", metavar="DURATION", help="Time until the next delivery, in place of the group's.")
@click.option("--dead", "is_dead", is_flag=True, help="Make it a dead letter at once.")
@click.pass_obj
def nack(options: Options, delivery: str, error: str, delay: str | None, is_dead: bool) -> None:
    """Say that a delivery has failed: it is tried again later, or becomes a dead letter after its retries."""
    seconds = read_seconds(delay, "--delay") if delay is not None else None
    with connect(options) as link:
        link.ask("events", "nack", delivery=delivery, error=error, delay=seconds, dead=is_dead)


def _start(text: str) -> str | float:
    return text if text in ("beginning", "new") else read_moment(text, "--start")


def _print(documents: Iterable[bytes], output: str, *, with_delivery: bool = False) -> None:
    for document in documents:
        if output == "json":
            click.echo(document)
            continue
        event = _decode_event(document)
        at = datetime.fromtimestamp(event.published).astimezone().isoformat(sep=" ", timespec="milliseconds")
        key = f"  {event.key}" if event.key else ""
        payload = bytes(event.payload).decode()
        delivery = f"  ({event.delivery})" if with_delivery else ""
        click.echo(f"{event.position}  {at[:23]}{key}  {payload}{delivery}")
