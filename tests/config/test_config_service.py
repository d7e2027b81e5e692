"""The service: over HTTP, by namespace, its limits, its history, and plans that meet."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from microlite import errors
from microlite.core.config import planning, records
from microlite.core.config.api import Set, Unset
from microlite.core.context import Origin
from microlite.core.engine.api import Batch

if TYPE_CHECKING:
    from microlite.testing.harness import RunningPlatform

ORIGIN = Origin("default", "", "ann")


async def _http(p: RunningPlatform, method: str, path: str, body: Any = None, *, token: bool = True) -> tuple[int, Any]:
    """Status and document of a request."""

    def ask() -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(p.http).netloc, timeout=10)
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {p.token}"} if token else {})}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    return await asyncio.to_thread(ask)


async def test_over_http_values_are_set_and_read(p: RunningPlatform) -> None:
    """POST changes, GET reads; nobody comes in without an account; markup is kept."""
    assert (await _http(p, "POST", "/config/set", {"path": "a", "value": {"b": "<&>", "c": [1.0, None]}}))[0] == 200
    assert await _http(p, "GET", "/config/get?path=a") == (200, {"b": "<&>", "c": [1.0, None]})
    assert (await _http(p, "GET", "/config/get?path=x"))[0] == 404
    assert (await _http(p, "GET", "/config/get?path=a..b"))[0] == 400
    assert (await _http(p, "GET", "/config/get?path=a", token=False))[0] == 401
    assert (await _http(p, "GET", "/config/set?path=a&value=1"))[0] == 405


async def test_namespaces_have_nothing_in_common(p: RunningPlatform) -> None:
    """Neither values nor history."""
    await p.call("namespaces.create", name="other")
    other = p.options(namespace="other")
    await p.call("config.set", path="a", value=1)
    assert await other.call("config.get") == {}
    await other.call("config.set", path="a", value=2)
    assert await p.call("config.get", path="a") == 1
    assert len(await other.call("config.history")) == 1


async def test_a_watch_tells_leaf_by_leaf_and_nothing_of_elsewhere(p: RunningPlatform) -> None:
    """What is new, different or gone below the path; changes of one commit come together."""
    await p.call("config.set", path="a", value={"b": 1, "c": 2})
    async with aclosing(p.stream("config.watch", path="a")) as updates, asyncio.timeout(20):
        await anext(updates)
        await p.call("config.set", path="b", value=1)
        await p.call("config.set", path="a", value={"b": {"d": 1}, "c": 3})
        while not (update := await anext(updates)).get("settings"):
            pass
        assert {one["path"]: one["value"] for one in update["settings"]} == {"a.b.d": 1, "a.c": 3}
        assert update["gone"] == ["a.b"]


async def test_plans_that_meet_do_not_mix(p: RunningPlatform) -> None:
    """Of two that were made from the same state, the second commit is refused: never a leaf below a leaf."""
    configuration = p._booted.state.configuration
    one = await configuration.plan(ORIGIN, Set(path="a", value=1))
    other = await configuration.plan(ORIGIN, Set(path="a.b", value=1))
    await configuration.engine.commit(Batch("default", one))
    with pytest.raises(errors.Conflict):
        await configuration.engine.commit(Batch("default", other))
    assert await p.call("config.get") == {"a": 1}


async def test_many_at_once_all_come_through(p: RunningPlatform) -> None:
    """Changes wait for each other, and each gets a revision of its own."""
    written = await asyncio.gather(*(p.call("config.set", path=f"a.k{n}", value=n) for n in range(20)))
    assert sorted(one["revision"] for one in written) == list(range(1, 21))
    assert await p.call("config.get", path="a") == {f"k{n}": n for n in range(20)}


async def test_what_changes_nothing_is_no_revision(p: RunningPlatform) -> None:
    """Types count: 1, 1.0 and true are three values."""
    first = await p.call("config.set", path="a", value=1)
    assert await p.call("config.set", path="a", value=1) == {**first, "changed": 0}
    assert (await p.call("config.set", path="a", value=1.0))["revision"] == 2
    assert (await p.call("config.set", path="a", value=True))["revision"] == 3
    assert await p.call("config.get", path="a") is True
    assert await p.call("config.set", path="", value={}) == {"revision": 3, "changed": 0}


async def test_limits_are_told(p: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a value, of one change, of a namespace."""
    with pytest.raises(errors.PayloadTooLarge, match="at most 65536 bytes"):
        await p.call("config.set", path="a", value="x" * 70_000)
    with pytest.raises(errors.PayloadTooLarge, match="make it in parts"):
        await p.call("config.set", path="a", value={f"k{n}": n for n in range(1_000)})
    with pytest.raises(errors.BadRequest, match="the whole configuration is a table"):
        await p.call("config.set", path="", value=1)
    monkeypatch.setattr(planning, "MAX_LEAVES", 2)
    await p.call("config.set", path="a", value={"b": 1, "c": 2})
    with pytest.raises(errors.InsufficientStorage, match="at most 2 leaves"):
        await p.call("config.set", path="d", value=1)
    await p.call("config.set", path="a.b", value=3)


async def test_the_history_has_an_end(p: RunningPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest change goes with the commit of the newest; what is older is told to be unknown."""
    for module in (planning, records):
        monkeypatch.setattr(module, "MAX_HISTORY", 3)
    monkeypatch.setattr("microlite.core.config.history.MAX_HISTORY", 3)
    for number in range(5):
        await p.call("config.set", path="a", value=number)
    assert [one["revision"] for one in await p.call("config.history")] == [5, 4, 3]
    await p.call("config.rollback", revision=2)
    assert await p.call("config.get", path="a") == 1
    with pytest.raises(errors.NotFound, match="no longer known"):
        await p.call("config.rollback", revision=1)


async def test_a_large_document_is_imported_in_several_changes(p: RunningPlatform) -> None:
    """More than one commit takes; and `replace` leaves nothing else."""
    values = {f"k{n}": n for n in range(950)}
    await p.call("config.set", path="old", value=1)
    written = await p.call("config.import", values={"a": values}, replace=True)
    assert written["changed"] == 951
    assert await p.call("config.get") == {"a": values}
    assert await p.call("config.export", path="a.k7") == {"a": {"k7": 7}}


async def test_a_document_that_is_too_large_is_not_imported_in_part(p: RunningPlatform) -> None:
    await p.call("config.set", path="old", value=1)
    with pytest.raises(errors.InsufficientStorage, match="at most 10000 leaves"):
        await p.call("config.import", values={f"k{n}": n for n in range(10_001)}, replace=True)
    assert await p.call("config.get") == {"old": 1}


async def test_a_transaction_may_set_and_unset_what_overlaps(p: RunningPlatform) -> None:
    """Several changes are one plan, with each key in it once."""
    configuration = p._booted.state.configuration
    await p.call("config.set", path="a", value={"x": 1})
    operations = await configuration.plan_all(
        ORIGIN, (Set(path="a.b", value={"c": 1}), Set(path="a", value={"b": 5}), Unset(path="a.x"))
    )
    await configuration.engine.commit(Batch("default", operations))
    assert await p.call("config.get") == {"a": {"b": 5}}
    assert (await p.call("config.history", limit=1))[0]["action"] == "transaction"


def test_a_service_that_never_asks_imports_nothing_of_it() -> None:
    """Neither the snapshot nor `cryptography`; and the command line needs no event loop for it."""
    code = (
        "import sys; from microlite import Service, Context; s = Service('a')\n"
        "import microlite.core.library.node\n"
        "print([n for n in sys.modules if 'core.config' in n or 'library.state' in n or n == 'cryptography'])\n"
        "service = s.config('a', int, default=1)\n"
        "import microlite.core.library.state.config\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('cryptography', 'yaml', 'tomllib')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n[]\n"
    code = (
        "import sys, microlite.cli.config, microlite.core.config.files\n"
        "print(sorted({'asyncio', 'cryptography', 'yaml', 'http.client', 'ssl'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
