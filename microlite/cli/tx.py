"""`microlite tx`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from microlite.cli.failure import FAILED, CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT: Final = ("operations", "id", "keep")


@click.command
@click.argument("file", required=False, metavar="FILE|-", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--id", "id_", metavar="ID", help="Of several with the same id, the first that succeeds takes place.")
@click.option("--outcome", metavar="ID", help="Print what came of an earlier transaction, in place of making one.")
@output_option
@click.pass_obj
def tx(options: Options, file: str | None, id_: str | None, outcome: str | None, output: str) -> None:
    """Let changes of records, blobs, events, configuration and schedules take place together.

    If one of them cannot, none does. The file holds one operation on each line, or the JSON that POST /tx takes; - reads
    it from stdin.

    \b
        {"op": "store.write", "table": "stock", "key": "tea", "value": 9, "expect": 41}
        {"op": "events.publish", "topic": "orders.created", "payload": {"id": "o1"}}

    The operations are those of the endpoints: store.write, store.delete, store.expect, store.blobs.publish,
    store.blobs.delete, events.publish, events.ack, config.set, config.unset, schedules.add, schedules.cancel. With an id it
    is safe to send the same again when the connection broke.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if outcome is not None:
        if file is not None or id_ is not None:
            raise click.UsageError("--outcome asks for an earlier transaction: leave FILE and --id out")
        with connect(options) as link:
            _print(link.ask("tx", "outcome", id=outcome), output, text=True)
        return
    if file is None:
        raise click.UsageError("name the FILE that holds the operations; - reads them from stdin")
    request = read_operations(_read(file), "stdin" if file == "-" else file)
    if id_ is not None:
        request["id"] = id_
    import msgspec

    with connect(options) as link:
        answer = link.ask_json("tx", "call", msgspec.json.encode(request))
    if output == "json":
        _print(msgspec.json.decode(answer), output, text=False)


def read_operations(document: bytes, name: str) -> dict[str, Any]:
    """The request that a file holds: the whole of it, a list of operations, or one on each line.

    Args:
        document: what is in the file.
        name: of the file, for errors.

    Raises:
        CommandError: it holds nothing of the kind; the detail says where.
    """
    import msgspec

    try:
        whole = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = [
            _read_line(line, f"{name}:{number}") for number, line in enumerate(document.splitlines(), 1) if line.strip()
        ]
    if isinstance(whole, dict) and "op" in whole:
        whole = [whole]
    if isinstance(whole, list):
        whole = {"operations": whole}
    if not isinstance(whole, dict) or not isinstance(whole.get("operations"), list):
        raise CommandError(
            f'{name} holds no operations: write one on each line, as in {{"op": "store.write", "key": "a", "value": 1}}',
            FAILED,
        )
    unknown = sorted(set(whole) - set(_KEPT))
    if unknown:
        raise CommandError(f"{name}: there is no field {unknown[0]}; there are {', '.join(_KEPT)}", FAILED)
    return whole


def _read_line(line: bytes, place: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{place}: {error}", FAILED) from None


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", FAILED) from None


def _print(outcome: Mapping[str, Any], output: str, *, text: bool) -> None:
    from microlite.cli.output import print_json

    if output == "json":
        print_json(outcome)
    elif text:
        click.echo(f"revision {outcome['revision']}")
        for one in outcome.get("published", ()):
            click.echo(f"published {one['id']} to {one['topic']}")
