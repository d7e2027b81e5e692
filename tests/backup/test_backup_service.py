"""The service `backup`: a whole, checked copy comes out while everybody goes on; and what is wrong is said."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from microlite.core import errors
from microlite.core.backup.api import Stage
from microlite.core.backup.service import backup_service
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Append, Batch, Put
from microlite.core.engine.migrations import newest_version
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.testing import RunningPlatform, platform
from tests.engine.test_engine_faults import damage


async def fill(engine: SQLiteEngine, megabytes: int = 3) -> int:
    """Put values that differ; return the last revision."""
    revision = 0
    for number in range(megabytes):
        operations = (Put("b", f"k{number}", os.urandom(1 << 20)), Append("s", b"%d" % number))
        revision = (await engine.commit(Batch("default", operations))).revision
    return revision


def left_behind(p: RunningPlatform) -> list[str]:
    return [one.name for one in p.home.iterdir() if ".copy-" in one.name]


async def test_the_stream_is_progress_then_bytes_then_what_it_was(
    p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path
) -> None:
    revision = await fill(engine)
    parts: list[Any] = [part async for part in p.stream("backup.create")]
    kinds = [part["type"] for part in parts]
    assert kinds == sorted(kinds, key=["progress", "chunk", "finished"].index)
    data = b"".join(part["data"] for part in parts if part["type"] == "chunk")
    finished = parts[-1]
    assert finished["size"] == len(data)
    assert finished["digest"] == hashlib.sha256(data).hexdigest()
    assert (finished["version"], finished["revision"]) == (newest_version(), revision + 1)  # the audit log says who
    assert parts[0]["stage"] in set(Stage)
    (tmp_path / "copy.db").write_bytes(data)
    async with SQLiteEngine(tmp_path / "copy.db", ManualClock()) as copy:
        for number in range(3):
            record = await copy.get("default", "b", f"k{number}")
            assert record == await engine.get("default", "b", f"k{number}")
        assert await copy.read("default", "s") == await engine.read("default", "s")
    assert left_behind(p) == []


async def test_curl_gets_the_bytes_and_only_an_admin_does(p: RunningPlatform, engine: SQLiteEngine) -> None:
    await fill(engine, 1)
    async with httpx.AsyncClient(base_url=p.http, headers={"Authorization": f"Bearer {p.token}"}) as client:
        answer = await client.get("/backup/download")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/vnd.sqlite3"
        assert answer.content.startswith(b"SQLite format 3\0")
        lines = (await client.post("/backup/create", headers={"Accept": "application/x-ndjson"})).text.splitlines()
        parts = [json.loads(line) for line in lines]
        data = b"".join(base64.b64decode(part["data"]) for part in parts if part["type"] == "chunk")
        assert parts[-1]["digest"] == hashlib.sha256(data).hexdigest()
        assert (await client.get("/backup/check")).json()["sound"] is True
        del client.headers["Authorization"]
        for path in ("/backup/download", "/backup/create", "/backup/check"):
            assert (await client.get(path)).status_code == 401


async def test_who_leaves_in_the_middle_leaves_nothing_behind(p: RunningPlatform, engine: SQLiteEngine) -> None:
    await fill(engine)
    for leave_at in ("progress", "chunk"):
        async with p.stream("backup.create") as parts:
            async for part in parts:
                if part["type"] == leave_at:
                    break
        async with asyncio.timeout(10):
            while left_behind(p):
                await asyncio.sleep(0.001)
    assert [part["type"] async for part in p.stream("backup.create")][-1] == "finished"


async def test_one_who_does_not_read_on_holds_up_nobody(p: RunningPlatform, engine: SQLiteEngine) -> None:
    await fill(engine)
    async with p.stream("backup.create") as slow:
        async for part in slow:
            if part["type"] == "chunk":
                break
        before = await fill(engine, 1)
        quick = [part async for part in p.stream("backup.create")]
        assert quick[-1]["revision"] == before + 1
        rest = [part["type"] async for part in slow]
        assert rest[-1] == "finished"
    assert left_behind(p) == []


async def test_a_look_through_the_database_tells_its_state(p: RunningPlatform, engine: SQLiteEngine) -> None:
    revision = await fill(engine)
    for full in (False, True):
        health = await p.call("backup.check", full=full)
        assert health["sound"] is True
        assert health["problems"] == []
        assert health["size"] > 3 << 20
        assert (health["version"], health["revision"]) == (newest_version(), revision)


async def test_damage_is_found_and_no_backup_is_made_of_it(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    async with SQLiteEngine(path, ManualClock()) as engine:
        await engine.commit(Batch("default", tuple(Put("b", f"k{number}", b"x" * 100) for number in range(500))))
    damage(path)
    async with SQLiteEngine(path, ManualClock()) as engine, platform() as p:
        p._booted._serve(
            backup_service(engine, p._booted.state.audit)
        )  # a platform over a damaged database, as far as `backup` sees
        health = await p.call("backup.check")
        assert not health["sound"]
        assert health["problems"]
        with pytest.raises(errors.InternalServerError, match=r"damaged.*doctor"):
            async for _ in p.stream("backup.create"):
                pass
    assert not list(tmp_path.glob("*.copy-*"))
