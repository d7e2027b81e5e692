"""`microlite store`, as it is typed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import microlite
from microlite.core.library.caller import Caller
from microlite.testing import RunningPlatform, SystemClock
from microlite.testing import platform as start
from tests.contract.faces.commands import Said, Terminal, terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[tuple[RunningPlatform, Terminal]]:
    async with start(clock=SystemClock()) as p, terminal(p.home) as commands:
        yield p, commands


@pytest_asyncio.fixture(loop_scope="module")
async def m(running: tuple[RunningPlatform, Terminal]) -> AsyncIterator[Caller]:
    """A script, with an empty store."""
    async with microlite.connect(running[0].home) as m:
        for database in await m.store.databases():
            for table in await m.store.database(database).tables():
                place = m.store.database(database).table(table)
                while keys := await place.list(limit=1000):
                    await place.delete_many(keys)
        yield m


class Store:
    """Runs `microlite store …`."""

    def __init__(self, commands: Terminal) -> None:
        self._commands = commands

    async def __call__(self, *words: str, stdin: bytes = b"") -> Said:
        return await self._commands.run("store", *words, stdin=stdin)

    async def done(self, *words: str, stdin: bytes = b"") -> str:
        """What a command prints that succeeds."""
        said = await self(*words, stdin=stdin)
        assert (said.code, said.err) == (0, "")
        return said.out.decode()


@pytest.fixture
def store(running: tuple[RunningPlatform, Terminal], m: Caller) -> Store:
    return Store(running[1])


async def test_a_text_is_kept_as_a_text_and_json_as_what_it_says(store: Store, m: Caller) -> None:
    assert await store.done("write", "a", "two", "words") == ""
    assert await store.done("write", "n", "5") == ""
    assert await store.done("write", "j", "--json", '{"a":[1,null]}') == ""
    assert await m.store.read_many(["a", "n", "j"]) == {"a": "two words", "n": "5", "j": {"a": [1, None]}}
    assert await store.done("read", "a") == "two words\n"
    assert await store.done("read", "j") == '{"a":[1,null]}\n'
    record = json.loads(await store.done("read", "j", "--output", "json"))
    assert (record["key"], record["value"], record["encoding"]) == ("j", {"a": [1, None]}, "plain")


async def test_bytes_go_in_and_out_as_they_are(store: Store, m: Caller, tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "b").write_bytes(content)
    await store.done("write", "b", "--file", str(tmp_path / "b"))
    await store.done("write", "c", "--file", "-")
    assert await m.store.read("b", bytes) == content
    assert await m.store.read("c", bytes) == b""
    assert (await store("read", "b")).out == content
    assert "256 bytes: 00 01 02" in await store.done("read", "-v", "b", "-p")
    assert json.loads(await store.done("read", "b", "--output", "json"))["encoding"] == "base64"


async def test_reading_by_prefix_and_suffix_is_as_in_micro(store: Store, m: Caller) -> None:
    await m.store.write_many({"a": 1, "a/b": 2, "a/b/a": 3, "b/a": 4})
    for words, values in (
        (("-p", "a"), [1, 2, 3]),
        (("-s", "a"), [1, 3, 4]),
        (("-p", "-s", "a"), [1, 3]),
        (("-p", "a", "-n", "1", "--offset", "1"), [2]),
        (("-p", "a", "--order", "desc"), [3, 2, 1]),
        (("-p", "x"), []),
        (("-p", "a", "--offset", "7"), []),
    ):
        assert (await store.done("read", *words)).split() == [str(value) for value in values]
    assert (await store.done("list", "-p", "a/")).split() == ["a/b", "a/b/a"]
    assert json.loads(await store.done("list", "-s", "a", "--output", "json")) == ["a", "a/b/a", "b/a"]
    assert json.loads(await store.done("list", "-p", "x", "--output", "json")) == []
    assert [one["value"] for one in json.loads(await store.done("read", "-p", "a", "--output", "json"))] == [1, 2, 3]
    assert await store.done("count", "-p", "a") == "3\n"
    said = await store("read", "x")
    assert (said.code, said.err) == (127, "There is no record 'x' in table 'default' of database 'default'")


async def test_a_table_shows_when_a_record_goes(store: Store, m: Caller) -> None:
    await m.store.write("a", "x")
    await m.store.write("b", "two\nlines", expires_at=datetime(2100, 1, 2, tzinfo=UTC))
    head, first, second = (await store.done("read", "-v", "-p", "")).splitlines()
    assert head.split() == ["KEY", "VALUE", "EXPIRY", "REVISION"]
    assert first.split()[:3] == ["a", "x", "None"]
    assert second.split()[:3] == ["b", "two\\nlines", "2100-01-02"]
    await store.done("write", "-e", "1h", "c", "x")
    record = await m.store.get("c")
    assert record is not None
    assert record.expires_at is not None
    said = await store("write", "-e", "soon", "c", "x")
    assert said.code == 2
    assert "no duration" in said.err


async def test_a_write_can_be_bound_to_what_is_there(store: Store, m: Caller) -> None:
    await store.done("write", "--absent", "a", "1")
    assert (await store("write", "--absent", "a", "2")).code == 127
    revision = json.loads(await store.done("read", "a", "--output", "json"))["revision"]
    await store.done("write", "--revision", str(revision), "a", "2")
    said = await store("delete", "--revision", str(revision), "a")
    assert said.code == 127
    assert "a" in said.err
    await store.done("delete", "a", "not-there")
    assert await m.store.count() == 0


async def test_increment_prints_the_sum(store: Store, m: Caller) -> None:
    assert await store.done("increment", "n") == "1\n"
    assert await store.done("increment", "n", "--by", "-2.5") == "-1.5\n"
    assert json.loads(await store.done("increment", "n", "--output", "json"))["value"] == -0.5


async def test_databases_and_tables_are_listed(store: Store, m: Caller) -> None:
    await store.done("write", "-d", "orders", "-t", "open", "a", "1")
    await store.done("write", "a", "1")
    assert (await store.done("databases")).split() == ["default", "orders"]
    assert (await store.done("tables", "-d", "orders")).split() == ["open"]
    assert json.loads(await store.done("tables", "--output", "json")) == ["default"]
    assert await store.done("read", "-d", "orders", "-t", "open", "a") == "1\n"


async def test_watch_prints_changes_as_they_come(
    running: tuple[RunningPlatform, Terminal], store: Store, m: Caller
) -> None:
    await m.store.write("o/0", 0)
    page = await m.store.page()
    await m.store.write("o/1", {"id": 1})
    await m.store.write("p", 1)
    await m.store.delete("o/0")
    async with _watching(running[0].home, "-p", "o/", "--since", str(page.revision)) as out:
        assert [await out.readline() for _ in range(2)] == [b'write   o/1  {"id":1}\n', b"delete  o/0\n"]
        await m.store.write("o/2", "text")
        assert await out.readline() == b"write   o/2  text\n"
    async with _watching(running[0].home, "--state", "--output", "json") as out:
        kinds = [json.loads(await out.readline())["kind"] for _ in range(5)]
        assert kinds == ["reset", "write", "write", "write", "synced"]


@contextlib.asynccontextmanager
async def _watching(home: Path, *words: str) -> AsyncIterator[asyncio.StreamReader]:
    """What `microlite store watch` prints; on leaving it gets Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "microlite", "--home", str(home), "store", "watch", *words),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    yield process.stdout
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130


VALUES: dict[str, Any] = {
    "text": "a",
    "bytes": b"\x00\xff",
    "nested": {"photo": b"\x00", "at": datetime(2026, 1, 1, tzinfo=UTC), 5: [None, 1.5]},
    "none": None,
    "large": (1 << 64) - 1,
    "nan-like": float("inf"),
    'odd "key"\n': "é",
}


async def test_what_was_exported_is_imported_as_it_was(store: Store, m: Caller, tmp_path: Path) -> None:
    await m.store.write_many(VALUES)
    await m.store.table("more").write("goes", 1, expires_at=4e9)
    await m.store.table("more").write("gone", 1, ttl=3600)
    file = tmp_path / "records.ndjson"
    said = await store("export", str(file))
    assert (said.code, said.err) == (0, "exported 9 records")
    lines = file.read_bytes().splitlines()
    gone = msgspec.json.decode(lines[-1])
    assert gone["key"] == "gone"
    lines[-1] = msgspec.json.encode({**gone, "expires_at": 5.0})
    said = await store("import", "-d", "copy", stdin=b"\n".join(lines))
    assert (said.code, said.err) == (0, "imported 8 records")
    copy = m.store.database("copy")
    assert {record.key: record.value async for record in copy.scan()} == VALUES
    record = await copy.table("more").get("goes")
    assert record is not None
    assert record.expires_at == 4e9
    assert await copy.table("more").list() == ["goes"]


async def test_an_export_is_lines_that_other_tools_read(store: Store, m: Caller) -> None:
    await m.store.write("a", {"x": 1})
    await m.store.write("b", b"x")
    said = await store("export", "-p", "a")
    assert said.out == b'{"key":"a","value":{"x":1},"table":"default"}\n'
    said = await store("export", "-t", "default", "-p", "b")
    assert said.out == b'{"key":"b","value":"eA==","table":"default","encoding":"base64"}\n'


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{}", "line 1201: it is no record: Object missing required field `key`"),
        (b"nonsense", "line 1201: it is no record: JSON is malformed"),
        (b'{"key":"","value":1}', "line 1201: a key must not be empty"),
        (b'{"key":"a","value":"%","encoding":"base64"}', "line 1201: value: with this `encoding`"),
    ],
)
async def test_an_import_that_breaks_off_says_where_to_go_on(
    store: Store, m: Caller, tmp_path: Path, bad: bytes, reason: str
) -> None:
    good = [msgspec.json.encode({"key": f"k{n:04}", "value": n}) for n in range(1, 1201)]
    file = tmp_path / "in"
    file.write_bytes(b"\n".join([*good, bad, b'{"key":"last","value":0}']))
    said = await store("import", str(file))
    assert said.code == 1
    assert reason.lower() in said.err.lower()
    assert said.err.endswith(f"go on with: microlite store import {file} --from-line 1201")
    assert await m.store.count() == 1200
    file.write_bytes(b"\n".join([*good, b'{"key":"mended","value":0}', b'{"key":"last","value":0}']))
    said = await store("import", str(file), "--from-line", "1201")
    assert said.err == "imported 2 records"
    assert await m.store.count() == 1202


async def test_of_a_key_that_stands_in_a_file_twice_the_later_line_holds(store: Store, m: Caller) -> None:
    said = await store("import", stdin=b'{"key":"a","value":1}\n\n{"key":"a","value":2}\n')
    assert said.err == "imported 2 records"
    assert await m.store.read("a") == 2


@pytest.mark.parametrize(
    "words",
    [
        ("write", "a"),
        ("write", "a", "b", "--file", "-"),
        ("write", "a", "b", "--absent", "--revision", "1"),
        ("delete",),
        ("delete", "a", "b", "--revision", "1"),
        ("watch", "--state", "--since", "1"),
        ("read", "-l", "0", "a"),
    ],
)
async def test_what_makes_no_sense_is_a_usage_error(store: Store, words: tuple[str, ...]) -> None:
    assert (await store(*words)).code == 2


async def test_the_commands_load_no_event_loop(running: tuple[RunningPlatform, Terminal], m: Caller) -> None:
    words = ["--home", str(running[0].home), "store", "list"]
    script = f"import sys\nfrom microlite.cli.entry import run\nrun({words!r})\nprint(*sys.modules)"
    said = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(said.stdout.split())
    assert not loaded & {"asyncio", "ssl", "http", "logging", "uvloop", "aiohttp", "apsw"}
    assert not [name for name in loaded if name.startswith(("microlite.web", "microlite.core.engine"))]
