"""The page of limits says what the code holds to."""

from __future__ import annotations

from pathlib import Path

import pytest

from microlite.core.broker import headers
from microlite.core.config import planning, records, tree
from microlite.core.engine import api as engine
from microlite.core.events import api as events
from microlite.core.events import leaders, tallies
from microlite.core.library import line
from microlite.core.namespaces import names, namespaces
from microlite.core.rpc import frames, outbox, outgoing
from microlite.core.runtime.isolation import availability, copying
from microlite.core.schedules import api as schedules
from microlite.core.store import api as store
from microlite.core.store import blob_api, places
from microlite.core.tx import api as tx

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text()


def kib(size: int) -> str:
    """A size as the page writes it."""
    return f"{size >> 20} MiB" if size % (1 << 20) == 0 else f"{size >> 10} KiB"


@pytest.mark.parametrize(
    ("what", "most"),
    [
        ("namespaces", f"{namespaces.MOST:,}"),
        ("hosts of a namespace", f"{names.MAX_HOSTS}"),
        ("key of a record", f"{engine.MAX_KEY_BYTES} bytes"),
        ("value of a record", kib(engine.MAX_VALUE_BYTES)),
        ("name of a database; of a table", f"{places.MAX_DATABASE}; {places.MAX_TABLE} characters"),
        ("records of one page", f"{store.MAX_LIMIT:,}, and {kib(engine.MAX_PAGE_BYTES)}"),
        ("a project that is copied for a user id", f"{copying.MOST_FILES:,} files, and {copying.MOST_BYTES >> 30} GiB"),
        ("user ids of a machine", f"{availability.IDS:,}"),
        ("uploads at a time", f"{blob_api.MAX_UPLOADS}"),
        ("metadata of a blob", kib(blob_api.MAX_METADATA_BYTES)),
        ("one value of the configuration", kib(tree.MAX_LEAF_BYTES)),
        ("values of the configuration of a namespace", f"{planning.MAX_LEAVES:,}, and {kib(planning.MAX_BYTES)}"),
        ("changes in its history", f"{records.MAX_HISTORY:,}"),
        ("payload of an event", kib(events.MAX_PAYLOAD_BYTES)),
        ("metadata of an event", kib(events.MAX_METADATA_BYTES)),
        ("events of one call", f"{events.MAX_EVENTS}"),
        ("delay of an event", f"{events.MAX_DELAY / 86_400:g} days"),
        ("groups that are open at a time", f"{leaders.MAX_OPEN:,}; idle ones give way"),
        (
            "dead letters that are counted anew at each look",
            f"{tallies.SMALL:,}; more are counted once a minute or oftener",
        ),
        ("headers of a message", f"{headers.MAX_HEADERS}, and {kib(headers.MAX_HEADER_BYTES)}"),
        ("schedules of a namespace", f"{schedules.MAX_SCHEDULES:,}"),
        ("request of a schedule", kib(schedules.MAX_REQUEST_BYTES)),
        ("operations of a transaction", f"{tx.MAX_OPERATIONS:,}"),
        ("bytes of a transaction", kib(tx.MAX_BYTES)),
        ("how long the outcome of a named one is kept", f"{tx.MAX_KEPT / 86_400:g} days"),
        ("one frame of the wire", kib(frames.MAX_FRAME)),
        ("calls that wait for an answer on one connection", f"{outgoing.MAX_PENDING:,}"),
        (
            "bytes of a stream that wait for a reader's socket",
            f"{kib(outbox.MOST_STREAMED)}, whatever credit it gave; then the stream waits",
        ),
        (
            "bytes of anything that wait for it",
            f"{kib(outbox.MAX_UNSENT)} for {outbox.STALL:g} seconds; then the reader is cut off",
        ),
        (
            "calls of a script that wait for a platform to come back",
            f"{line.MAX_WAITING:,}, for {line.PATIENCE:g} seconds",
        ),
    ],
)
def test_the_page_of_limits_is_right(what: str, most: str) -> None:
    assert f"| {what} | {most} |" in PAGE
