"""One table of scenarios: what holds in the library holds over RPC, HTTP and on the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
import msgspec
import pytest
import pytest_asyncio

import microlite
from microlite import errors
from microlite.core.library.caller import Caller
from microlite.testing import SystemClock, platform
from tests.contract.faces.commands import Terminal, terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Step(msgspec.Struct, frozen=True):
    """One thing that is done, and what comes of it.

    Attributes:
        verb: a method of `Face`.
        arguments: of it. The revision `"last"` is that of the last write.
        outcome: what it returns, or the class of its error; an ellipsis for anything.
    """

    verb: str
    arguments: tuple[Any, ...]
    outcome: Any = ...


def do(verb: str, *arguments: Any, gives: Any = ...) -> Step:
    """A step."""
    return Step(verb, arguments, gives)


FEW = [do("write", key, number) for number, key in enumerate(("a", "a/b", "a/b/a", "b/a", "ä"))]

ZEROS: list[Any] = [0, "", False, None, [], {}]

SCENARIOS: dict[str, list[Step]] = {
    "what was written is read": [
        do("write", "k", {"x": [1, 2.5, None, "é"]}),
        do("read", "k", gives={"x": [1, 2.5, None, "é"]}),
    ],
    "zero values are kept": [do("write", f"k{n}", value) for n, value in enumerate(ZEROS)]
    + [do("read", f"k{n}", gives=value) for n, value in enumerate(ZEROS)],
    "a write takes the place of what was there": [do("write", "k", 1), do("write", "k", 2), do("read", "k", gives=2)],
    "what is not there is not found": [do("read", "k", gives=errors.NotFound)],
    "deleting what is not there is no error": [do("delete", "k", None), do("read", "k", gives=errors.NotFound)],
    "a deleted record is gone": [do("write", "k", 1), do("delete", "k", None), do("read", "k", gives=errors.NotFound)],
    "write-if-absent writes once": [
        do("write", "k", 1, "absent"),
        do("write", "k", 2, "absent", gives=errors.Conflict),
        do("read", "k", gives=1),
        do("delete", "k", None),
        do("write", "k", 3, "absent"),
    ],
    "compare-and-set writes over the revision that was read": [
        do("write", "k", 1),
        do("write", "k", 2, "last"),
        do("write", "k", 3, 1, gives=errors.Conflict),
        do("delete", "k", 1, gives=errors.Conflict),
        do("read", "k", gives=2),
        do("delete", "k", "last"),
    ],
    "a prefix": [*FEW, do("scan", "a", "", gives=[0, 1, 2]), do("list", "a/", "", gives=["a/b", "a/b/a"])],
    "a suffix": [*FEW, do("scan", "", "a", gives=[0, 2, 3]), do("count", "", "a", gives=3)],
    "both at once": [*FEW, do("scan", "a", "a", gives=[0, 2])],
    "nothing begins so": [*FEW, do("scan", "x", "", gives=[]), do("count", "x", "", gives=0)],
    "order, limit and offset": [
        *FEW,
        do("scan", "", "", 2, 1, "asc", gives=[1, 2]),
        do("scan", "", "", 2, 1, "desc", gives=[3, 2]),
        do("scan", "", "", 9, 9, "asc", gives=[]),
        do("list", "", "", 1, 0, "desc", gives=["ä"]),
    ],
    "a number is increased": [
        do("increment", "n", 1, gives=1),
        do("increment", "n", 41, gives=42),
        do("increment", "n", -1.5, gives=40.5),
        do("write", "n", "text"),
        do("increment", "n", 1, gives=errors.BadRequest),
    ],
    "tables are apart": [do("write", "k", 1), do("tables", gives=["scenario"])],
    "a key may hold anything but nothing": [
        do("write", 'a "b"\n/?&=%2F ä', 1),
        do("read", 'a "b"\n/?&=%2F ä', gives=1),
        do("write", "", 1, gives=errors.BadRequest),
        do("write", "k" * 513, 1, gives=errors.BadRequest),
    ],
    "a large value": [do("write", "k", "x" * 60_000), do("read", "k", gives="x" * 60_000)],
}


class Face(Protocol):
    """The store, one way or another. All work on the table `scenario` of the database `faces`."""

    async def write(self, key: str, value: Any, expect: int | str | None = None) -> Any: ...

    async def read(self, key: str) -> Any: ...

    async def delete(self, key: str, expect: int | None) -> Any: ...

    async def scan(
        self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc"
    ) -> list[Any]: ...

    async def list(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any: ...

    async def count(self, prefix: str, suffix: str) -> int: ...

    async def increment(self, key: str, by: float) -> float: ...

    async def tables(self) -> Any: ...


class Library:
    """`ctx.store`."""

    def __init__(self, caller: Caller) -> None:
        self._database = caller.store.database("faces")
        self._table = self._database.table("scenario")

    async def write(self, key: str, value: Any, expect: int | str | None = None) -> Any:
        return await self._table.write(key, value, expect=expect)

    async def read(self, key: str) -> Any:
        return await self._table.read(key)

    async def delete(self, key: str, expect: int | None) -> Any:
        return await self._table.delete(key, expect=expect)

    async def scan(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        found = self._table.scan(prefix=prefix, suffix=suffix, limit=limit or None, offset=offset, order=order)
        return [record.value async for record in found]

    async def list(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        return await self._table.list(prefix, suffix=suffix, limit=limit or None, offset=offset, order=order)

    async def count(self, prefix: str, suffix: str) -> int:
        return await self._table.count(prefix, suffix=suffix)

    async def increment(self, key: str, by: float) -> float:
        return await self._table.increment(key, by)

    async def tables(self) -> Any:
        return await self._database.tables()


class Endpoints:
    """The endpoints, called by name; how, subclasses say."""

    async def call(self, endpoint: str, **fields: Any) -> Any:
        raise NotImplementedError

    async def write(self, key: str, value: Any, expect: int | str | None = None) -> Any:
        return (await self.call("write", key=key, value=value, expect=expect))["revision"]

    async def read(self, key: str) -> Any:
        return (await self.call("read", key=key))["value"]

    async def delete(self, key: str, expect: int | None) -> Any:
        return await self.call("delete", key=key, expect=expect)

    async def scan(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        fields = {"prefix": prefix, "suffix": suffix, "limit": limit, "offset": offset, "order": order}
        return [record["value"] for record in (await self.call("scan", **fields))["records"]]

    async def list(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        fields = {"prefix": prefix, "suffix": suffix, "limit": limit, "offset": offset, "order": order}
        return (await self.call("list", **fields))["keys"]

    async def count(self, prefix: str, suffix: str) -> Any:
        return await self.call("count", prefix=prefix, suffix=suffix)

    async def increment(self, key: str, by: float) -> Any:
        return (await self.call("increment", key=key, by=by))["value"]

    async def tables(self) -> Any:
        return await self.call("tables")


class Rpc(Endpoints):
    """Over RPC."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def call(self, endpoint: str, **fields: Any) -> Any:
        table = {} if endpoint == "tables" else {"table": "scenario"}
        return await self._caller.call(f"store.{endpoint}", {**fields, **table, "database": "faces"})


class Http(Endpoints):
    """Over HTTP."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, endpoint: str, **fields: Any) -> Any:
        table = {} if endpoint == "tables" else {"table": "scenario"}
        async with self._session.post(f"/store/{endpoint}", json={**fields, **table, "database": "faces"}) as answer:
            body = await answer.json()
            if answer.status >= 400:
                raise errors.Error(code=body["code"], detail=body["detail"])
            return body


class Query(Http):
    """Over HTTP, what reads by GET."""

    async def call(self, endpoint: str, **fields: Any) -> Any:
        if endpoint in ("write", "delete", "increment"):
            return await super().call(endpoint, **fields)
        table = {} if endpoint == "tables" else {"table": "scenario"}
        async with self._session.get(f"/store/{endpoint}", params={**fields, **table, "database": "faces"}) as answer:
            body = await answer.json()
            if answer.status >= 400:
                raise errors.Error(code=body["code"], detail=body["detail"])
            return body


class CommandLine:
    """`microlite store`."""

    def __init__(self, commands: Terminal) -> None:
        self._commands = commands

    async def run(self, *words: str) -> str:
        """What it prints.

        Raises:
            Error: it failed; 500 stands for any code, since a command only says the detail.
        """
        table = () if words[0] == "tables" else ("--table", "scenario")
        said = await self._commands.run("store", words[0], "--database", "faces", *table, *words[1:])
        if said.code:
            raise errors.Error(said.err)
        return said.out.decode()

    async def write(self, key: str, value: Any, expect: int | str | None = None) -> Any:
        only = () if expect is None else ("--absent",) if expect == "absent" else ("--revision", str(expect))
        assert await self.run("write", "--json", *only, "--", key, json.dumps(value)) == ""
        return json.loads(await self.run("read", "--output", "json", "--", key))["revision"]

    async def read(self, key: str) -> Any:
        return json.loads(await self.run("read", "--output", "json", "--", key))["value"]

    async def delete(self, key: str, expect: int | None) -> Any:
        assert await self.run("delete", *(() if expect is None else ("--revision", str(expect))), "--", key) == ""

    async def scan(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        if prefix and suffix and prefix != suffix:
            raise AssertionError("the command takes one KEY for both")
        flags = [*(["-p"] if prefix or not suffix else []), *(["-s"] if suffix else [])]
        words = (*(("-l", str(limit)) if limit else ()), "--offset", str(offset), "--order", order, *flags)
        found = json.loads(await self.run("read", "--output", "json", *words, "--", prefix or suffix))
        return [record["value"] for record in found]

    async def list(self, prefix: str, suffix: str, limit: int = 0, offset: int = 0, order: str = "asc") -> Any:
        words = (*(("-l", str(limit)) if limit else ()), "--offset", str(offset), "--order", order)
        return json.loads(await self.run("list", "--output", "json", "-p", prefix, "-s", suffix, *words))

    async def count(self, prefix: str, suffix: str) -> Any:
        return json.loads(await self.run("count", "-p", prefix, "-s", suffix))

    async def increment(self, key: str, by: float) -> Any:
        return json.loads(await self.run("increment", "--by", str(by), key))

    async def tables(self) -> Any:
        return (await self.run("tables")).split()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faces() -> AsyncIterator[dict[str, Face]]:
    async with (
        platform(clock=SystemClock()) as p,
        microlite.connect(p.home) as caller,
        terminal(p.home) as commands,
        aiohttp.ClientSession(p.http, headers={"Authorization": f"Bearer {p.token}"}) as session,
    ):
        yield {
            "library": Library(caller),
            "RPC": Rpc(caller),
            "HTTP": Http(session),
            "HTTP query": Query(session),
            "command line": CommandLine(commands),
        }


@pytest.mark.parametrize("name", ["library", "RPC", "HTTP", "HTTP query", "command line"])
@pytest.mark.parametrize("says", SCENARIOS)
async def test_each_face_does_the_same(faces: dict[str, Face], says: str, name: str) -> None:
    face, other = faces[name], faces["library"]
    for key in await other.list("", ""):
        await other.delete(key, None)
    last: Any = 0
    for step in SCENARIOS[says]:
        arguments = [last if argument == "last" else argument for argument in step.arguments]
        failure: errors.Error | None = None
        outcome: Any = None
        try:
            outcome = await getattr(face, step.verb)(*arguments)
        except errors.Error as error:
            failure = error
        if isinstance(step.outcome, type) and issubclass(step.outcome, errors.Error):
            assert failure is not None, step
            assert failure.code in (step.outcome.code, 500), step
            assert failure.detail, step
            continue
        assert failure is None, step
        assert step.outcome is ... or outcome == step.outcome, step
        last = outcome if step.verb == "write" else last
