"""`POST /tx` and `microlite tx`."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from microlite import Service
from microlite.cli.entry import run

if TYPE_CHECKING:
    from microlite.core.library.caller import Caller
    from microlite.testing import RunningPlatform


@pytest.fixture
async def http(platform: RunningPlatform) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {platform.token}"}
    async with aiohttp.ClientSession(platform.http, headers=headers) as session:
        yield session


async def post(http: aiohttp.ClientSession, **body: Any) -> tuple[int, Any]:
    async with http.post("/tx", json=body) as answer:
        return answer.status, await answer.json()


async def test_operations_take_place_together(http: aiohttp.ClientSession, m: Caller) -> None:
    code, said = await post(
        http,
        operations=[
            {"op": "store.write", "table": "stock", "key": "tea", "value": {"left": 9}, "expect": "absent"},
            {"op": "store.write", "key": "photo", "value": "AAE=", "encoding": "base64"},
            {"op": "events.publish", "topic": "orders.created", "payload": {"id": "o1"}, "key": "o1"},
            {"op": "config.set", "path": "shop.open", "value": True},
        ],
    )
    assert (code, said["repeated"], said["published"][0]["position"]) == (200, False, 1)
    record = await m.store.table("stock").get("tea")
    assert record is not None
    assert (record.value, record.revision) == ({"left": 9}, said["revision"])
    assert await m.store.read("photo", bytes) == b"\x00\x01"
    assert await m.call("config.get", path="shop.open") is True


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tx", {"operations": [{"op": "store.write", "key": "tea", "value": 1, "expct": "absent"}]}),
        ("/tx", {"operations": [{"op": "events.publish", "topic": "t", "payload": 1, "dedupe": "o1"}]}),
        ("/tx", {"operations": [{"op": "config.set", "path": "a", "value": 1, "secrt": True}]}),
        ("/store/batch", {"changes": [{"type": "write", "key": "tea", "value": 1, "expct": "absent"}]}),
        ("/events/publish-many", {"batch": [{"type": "publish", "topic": "t", "payload": 1, "dedupe": "o1"}]}),
        ("/schedules/add", {"schedule": {"target": "store.count", "every": 60, "timezone": "UTC"}}),
    ],
)
async def test_a_misspelt_condition_is_not_left_out(
    http: aiohttp.ClientSession, m: Caller, path: str, body: dict[str, Any]
) -> None:
    """A change that was meant to be made only under a condition is not made without it."""
    async with http.post(path, json=body) as answer:
        assert (answer.status, "unknown field" in (await answer.json())["detail"]) == (400, True)
    assert await m.store.get("tea") is None


async def test_what_json_has_no_word_for_comes_to_handlers_as_their_types(
    http: aiohttp.ClientSession, platform: RunningPlatform
) -> None:
    service = Service("calendar")
    seen: asyncio.Queue[datetime] = asyncio.Queue()

    @service.consume("dates")
    async def note(at: datetime) -> None:
        await seen.put(at)

    await platform.serve(service)
    published = {"op": "events.publish", "topic": "dates", "payload": "2026-11-27T20:00:00Z"}
    assert (await post(http, operations=[published]))[0] == 200
    async with asyncio.timeout(10):
        assert await seen.get() == datetime(2026, 11, 27, 20, tzinfo=UTC)


async def test_what_is_not_as_expected_is_a_conflict_that_names_it(http: aiohttp.ClientSession, m: Caller) -> None:
    revision = await m.store.write("a", 1)
    expect = {"op": "store.expect", "key": "a", "expect": revision}
    assert (await post(http, operations=[expect, {"op": "store.write", "key": "a", "value": 2}]))[0] == 200
    code, said = await post(http, operations=[expect, {"op": "store.write", "key": "b", "value": 2}])
    assert code == 409
    assert said["detail"].startswith(f"store/default/default/a: expected at revision {revision}, is at ")
    assert await m.store.get("b") is None


async def test_a_request_with_an_id_can_be_sent_again(http: aiohttp.ClientSession, m: Caller) -> None:
    body: dict[str, Any] = {"id": "o1", "operations": [{"op": "events.publish", "topic": "orders", "payload": 1}]}
    said = [await post(http, **body) for _ in range(3)]
    assert [(code, one["repeated"]) for code, one in said] == [(200, False), (200, True), (200, True)]
    assert len({(one["revision"], one["published"][0]["id"]) for _, one in said}) == 1
    assert len(await m.call("events.read", topic="orders")) == 1
    async with http.get("/tx/outcome", params={"id": "o1"}) as answer:
        assert (await answer.json())["revision"] == said[0][1]["revision"]


async def test_the_same_request_many_times_at_once_takes_place_once(http: aiohttp.ClientSession, m: Caller) -> None:
    body: dict[str, Any] = {"id": "o1", "operations": [{"op": "events.publish", "topic": "orders", "payload": 1}]}
    said = await asyncio.gather(*(post(http, **body) for _ in range(8)))
    assert [code for code, _ in said] == [200] * 8
    assert sorted(one["repeated"] for _, one in said) == [False, *[True] * 7]
    assert len(await m.call("events.read", topic="orders")) == 1


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"operations": [{"op": "store.wirte", "key": "a"}]}, 400, "operations[0]"),
        ({"operations": [{"op": "store.write", "key": "a"}]}, 400, "operations[0]"),
        ({"operations": [{"key": "a"}]}, 400, "operations[0]"),
        ({"operations": [{"op": "store.write", "key": "", "value": 1}]}, 400, "key"),
        ({"operations": [], "id": "x" * 200}, 400, "id: "),
        ({"operations": [], "keep": 1}, 400, "keep: expected 60 to "),
        (
            {"operations": [{"op": "store.write", "key": "a", "value": value} for value in (1, 2)]},
            400,
            "store/default/default/a is changed by two parts",
        ),
        ({"operations": [{"op": "events.ack", "delivery": "?"}]}, None, "operations[0]: "),
        ({"operations": [{"op": "store.delete", "key": str(n)} for n in range(1001)]}, 413, "1001 are too many"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(
    http: aiohttp.ClientSession, body: dict[str, Any], code: int | None, says: str
) -> None:
    answered, said = await post(http, **body)
    assert answered == (code or answered)
    assert 400 <= answered < 500
    assert says in said["detail"]


async def test_the_openapi_document_knows_each_operation(http: aiohttp.ClientSession) -> None:
    async with http.get("/openapi.json", params={"service": "tx"}) as answer:
        document = await answer.json()
    text = json.dumps(document)
    for op in ("store.write", "store.blobs.publish", "events.ack", "config.unset", "schedules.cancel"):
        assert f'"{op}"' in text


# -- the command ---------------------------------------------------------------------------------------------------------


class Shell:
    """Runs commands on a platform."""

    def __init__(
        self, running: RunningPlatform, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._running, self._monkeypatch, self._capfd = running, monkeypatch, capfd

    async def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = await asyncio.to_thread(run, ["--home", str(self._running.home), *words])
        out, err = self._capfd.readouterr()
        return code, out, err


@pytest.fixture
def shell(platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(platform, monkeypatch, capfd)


@pytest.mark.parametrize(
    "document",
    [
        '{"op": "store.write", "key": "a", "value": 1}\n\n{"op": "store.write", "key": "b", "value": 2}\n',
        '[{"op": "store.write", "key": "a", "value": 1}, {"op": "store.write", "key": "b", "value": 2}]',
        '{"operations": [{"op": "store.write", "key": "a", "value": 1}, {"op": "store.write", "key": "b", "value": 2}]}',
    ],
)
async def test_the_command_takes_lines_a_list_or_the_whole_request(shell: Shell, m: Caller, document: str) -> None:
    assert await shell("tx", "-", stdin=document) == (0, "", "")
    assert await m.store.read_many(["a", "b"]) == {"a": 1, "b": 2}


async def test_the_command_can_be_repeated_and_asked(shell: Shell, m: Caller, tmp_path: Any) -> None:
    file = tmp_path / "changes"
    file.write_text('{"op": "events.publish", "topic": "t", "payload": 1}')
    for repeated in (False, True):
        code, out, err = await shell("tx", str(file), "--id", "x", "--output", "json")
        assert (code, err) == (0, "")
        assert json.loads(out)["repeated"] is repeated
    code, out, err = await shell("tx", "--outcome", "x")
    assert (code, err) == (0, "")
    assert out.startswith("revision ")
    assert out.endswith(" to t\n")
    code, out, err = await shell("tx", "--outcome", "y")
    assert (code, out) == (127, "")
    assert err.startswith("No transaction 'y' of this caller took place")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "stdin", "code", "says"),
    [
        (("-",), '{"op": "store.write"\n', 1, "stdin:1: "),
        (("-",), '{"key": 1}', 1, "stdin holds no operations"),
        (("-",), '{"operations": [], "di": 1}', 1, "stdin: there is no field di"),
        (("-",), '[{"op": "store.expect", "key": "a", "expect": 3}]', 127, "store/default/default/a: expected at "),
        (("/nowhere",), "", 1, "/nowhere: No such file"),
        ((), "", 2, "name the FILE"),
        (("x", "--outcome", "y"), "", 2, "leave FILE and --id out"),
    ],
)
async def test_a_mistake_is_told_in_a_line(
    shell: Shell, words: tuple[str, ...], stdin: str, code: int, says: str
) -> None:
    ended, out, err = await shell("tx", *words, stdin=stdin)
    assert (ended, out) == (code, "")
    assert says.lower() in err.lower()
