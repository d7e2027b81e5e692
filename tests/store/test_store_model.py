"""Properties: a selection is what a sorted list would give, and a value is the same whatever it was written as."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core.clock import ManualClock
from microlite.core.context import Origin
from microlite.core.description.structs import Encoding
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.store import api, values
from microlite.core.store.records import Records, Selection

PARTS = st.text(alphabet="ab/é\U0001f600", max_size=4)
KEYS = st.lists(PARTS.filter(bool), max_size=30, unique=True)
NUMBERS = itertools.count()


class Running:
    """Records over a real file, and a loop to ask them on."""

    def __init__(self, runner: asyncio.Runner, records: Records) -> None:
        self._runner = runner
        self.records = records

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The outcome of a coroutine."""
        return self._runner.run(work)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    clock = ManualClock()
    engine = SQLiteEngine(tmp_path_factory.mktemp("store") / "engine.db", clock)
    with asyncio.Runner() as runner:
        runner.run(engine.__aenter__())
        yield Running(runner, Records(engine, clock))
        runner.run(engine.close())


def _packed(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


@settings(max_examples=150, deadline=None)
@given(
    keys=KEYS,
    prefix=PARTS,
    suffix=PARTS,
    limit=st.integers(0, 8),
    offset=st.integers(0, 8),
    order=st.sampled_from(api.KeyOrder),
)
def test_a_selection_is_that_of_a_sorted_list(
    running: Running, keys: list[str], prefix: str, suffix: str, limit: int, offset: int, order: api.KeyOrder
) -> None:
    """Prefix, suffix, both, order, limit and offset; cursors lead through all of it, and `count` agrees."""
    records, origin = running.records, Origin(f"n{next(NUMBERS)}", "orders")
    bucket, namespace = "store/orders/default", origin.namespace
    changes = [records.operation(origin, api.Write(key=key, value=_packed(key))) for key in keys]
    running.run(records.commit(namespace, tuple(changes)))
    wanted = sorted(key for key in keys if key.startswith(prefix) and key.endswith(suffix))
    if order is api.KeyOrder.DESC:
        wanted.reverse()
    found: list[api.Record] = []
    cursor: str | None = ""
    skip = offset
    while cursor is not None:
        selection = Selection(prefix, suffix, limit, skip, order, cursor)
        page: api.Page = running.run(records.scan(namespace, bucket, selection, Encoding.MSGPACK))
        names: api.Keys = running.run(records.keys(namespace, bucket, selection))
        assert names.keys == [record.key for record in page.records]
        assert not limit or len(page.records) <= limit
        found += page.records
        cursor, skip = page.cursor, 0
    assert [record.key for record in found] == wanted[offset:]
    assert all(bytes(record.value) == bytes(_packed(record.key)) for record in found)
    counted = running.run(records.engine.count(namespace, bucket, prefix=prefix, suffix=suffix))
    assert counted == len(wanted)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)),
)
NAMES = st.one_of(st.text(max_size=3), st.integers(0, 9))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_a_value_goes_through_json_and_comes_back(value: Any) -> None:
    """Every value is shown on faces that speak JSON; what `export` writes is kept again as the very same."""
    kept = msgspec.msgpack.encode(value)
    shown, encoding = values.unpack(kept, Encoding.JSON)
    msgspec.json.decode(shown)
    if isinstance(value, bytes):
        assert values.pack(shown, Encoding.JSON, encoding) == kept
    written, how = values.exact(kept)
    again = values.pack(msgspec.Raw(bytes(written)), Encoding.JSON, how)
    assert repr(msgspec.msgpack.decode(again)) == repr(msgspec.msgpack.decode(kept))
    assert values.text(kept) or value == ""


@pytest.mark.parametrize("kept", [b"\xc1", b"\xa2\xff\xfe", b"\x92\x01", b"\xc7\x01\x05\x00", b"\x81\x90\x01"])
def test_what_no_client_should_have_sent_is_shown_all_the_same(kept: bytes) -> None:
    """A value that came over RPC is not looked at when it is written: it must not make its table unreadable."""
    shown, encoding = values.unpack(kept, Encoding.JSON)
    assert encoding is api.ValueEncoding.MSGPACK
    assert msgspec.json.decode(shown, type=bytes) == kept
    assert "cannot carry" in values.text(kept)


def test_plans_are_what_the_endpoints_commit(running: Running) -> None:
    """A transaction can put plans of several changes into one batch, and all hold or none."""
    records, origin = running.records, Origin("plans", "orders", "ann")
    write = api.Write(key="a", value=_packed(1), expect=api.Presence.ABSENT, ttl=5.0)
    check = api.Expect(key="b", expect=api.Presence.PRESENT, table="other")

    async def planned(*changes: api.RecordChange) -> None:
        operations = [operation for change in changes for operation in await records.plan(origin, change)]
        await records.commit("plans", tuple(operations))

    with pytest.raises(Exception, match="b"):
        running.run(planned(write, check))
    assert running.run(records.engine.get("plans", "store/orders/default", "a")) is None
    running.run(planned(write, api.Write(key="b", value=_packed(2), table="other")))
    running.run(planned(api.Delete(key="a"), check))
    assert running.run(records.engine.buckets("plans")) == ("store/orders/other",)
