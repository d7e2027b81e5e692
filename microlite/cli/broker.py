"""`microlite publish` and `microlite broker`."""

from __future__ import annotations

import itertools
import time

import click
import msgspec

from microlite.cli.calling import read_json
from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option, pairs
from microlite.cli.output import print_document, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.durations import format_duration


class _Message(msgspec.Struct):
    topic: str
    value: msgspec.Raw
    headers: dict[str, str] = {}
    dropped: int = 0


@click.command
@click.argument("topic", shell_complete=completes("broker_topics"))
@click.argument("value", required=False, default="null", metavar="[JSON]")
@click.option("--header", multiple=True, metavar="KEY=VALUE", help="Say this along with it. Can be repeated.")
@output_option
@click.pass_obj
def publish(options: Options, topic: str, value: str, header: tuple[str, ...], output: str) -> None:
    """Publish a message to whoever is subscribed now.

    The message is a JSON document; with - it is read from stdin. It prints ok also where nobody is subscribed, and as JSON
    how many took the message. For what must not be lost there is `microlite events publish`.

    \b
        microlite publish prices.eur '{"symbol": "X", "amount": 1.5}'
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    request = msgspec.json.encode(
        {"topic": topic, "value": msgspec.Raw(read_json(value)), "headers": pairs(header, "--header")}
    )
    with connect(options) as link:
        answer = link.ask_json("broker", "publish", request)
    if output == "json":
        print_document(answer)
    else:
        click.echo("ok")


@click.group(cls=Subcommands, no_args_is_help=True)
def broker() -> None:
    """Publish and follow ephemeral messages, and see who is subscribed."""


broker.add_command(publish)


@broker.command
@click.argument("topic", shell_complete=completes("broker_topics"))
@click.option("--queue", default="", metavar="NAME", help="Share the messages with all who name this queue group.")
@click.option(
    "--buffer",
    "limit",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    help="So many messages may wait here.",
)
@click.option(
    "--overflow",
    type=click.Choice(("drop_oldest", "drop_newest", "disconnect")),
    default="drop_oldest",
    show_default=True,
    help="What happens to more.",
)
@click.option("-n", "--limit", "count", metavar="N", type=click.IntRange(1), help="End after so many.")
@output_option
@click.pass_obj
def subscribe(
    options: Options, topic: str, queue: str, limit: int, overflow: str, count: int | None, output: str
) -> None:
    """Print the messages of a topic as they come, until Ctrl-C.

    In a pattern * stands for one word and > at the end for one or more: quote it. As JSON each message is a document on
    a line, with its headers.

    \b
        microlite broker subscribe 'prices.>'
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    request = msgspec.json.encode({"topic": topic, "queue": queue, "limit": limit, "overflow": overflow})
    decode = msgspec.json.Decoder(_Message).decode
    with connect(options) as link:
        for document in itertools.islice(link.follow_json("broker", "subscribe", request), count):
            message = decode(document)
            if message.dropped:
                click.echo(f"{message.dropped} messages were dropped: they came faster than they were read", err=True)
            click.echo(document if output == "json" else f"{message.topic}  {bytes(message.value).decode()}")


@broker.command
@output_option
@click.pass_obj
def topics(options: Options, output: str) -> None:
    """List what was published on since the platform started."""
    with connect(options) as link:
        if output == "json":
            print_document(link.ask_json("broker", "topics"))
            return
        found = link.ask("broker", "topics")
    now = time.time()
    print_table(
        ("TOPIC", "MESSAGES", "SUBSCRIBERS", "LAST"),
        [
            (one["name"], str(one["messages"]), str(one["subscribers"]), f"{format_duration(now - one['last'])} ago")
            for one in found
        ],
    )


@broker.command
@output_option
@click.pass_obj
def subscriptions(options: Options, output: str) -> None:
    """List who is subscribed, how many messages wait for them, and how many they have lost."""
    with connect(options) as link:
        if output == "json":
            print_document(link.ask_json("broker", "subscriptions"))
            return
        found = link.ask("broker", "subscriptions")
    now = time.time()
    print_table(
        ("TOPIC", "QUEUE", "WHO", "SINCE", "DELIVERED", "WAITING", "DROPPED", "ID"),
        [
            (
                one["topic"],
                one["queue"],
                one["account"] if one["active"] else f"{one['account']} (waits)",
                format_duration(now - one["since"]),
                str(one["delivered"]),
                str(one["waiting"]),
                str(one["dropped"]),
                one["id"],
            )
            for one in found
        ],
    )


@broker.command
@click.argument("id")
@click.pass_obj
def unsubscribe(options: Options, id: str) -> None:
    """End a subscription, by its id. What waits for it is still delivered."""
    with connect(options) as link:
        link.ask("broker", "unsubscribe", id=id)
