"""`examples/datasette`: a program that knows nothing of microlite, over a real database."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "datasette"
TABLES = Path("/usr/share/zoneinfo")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("registry")
async def test_datasette_is_reached_below_its_path_and_at_its_own_origin(shown: Any) -> None:
    await shown.run("datasette")
    query = {"sql": "select zone from zone_countries where country = 'NZ' order by zone", "_shape": "arrayfirst"}
    zones = ["Pacific/Auckland", "Pacific/Chatham"]
    assert await shown.get("/datasette/timezones.json", params=query) == zones

    page = await shown.get("/datasette/timezones")
    links = re.findall(r'href="(/[^"]*)"', page)
    assert links
    assert all(link.startswith("/datasette/") for link in links), "its links stay below the path"
    assert await shown.get("/datasette/timezones/zones/Europe~2FZurich")

    async with shown.http.get("/datasette/timezones") as answer:
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")

    own = {"Host": f"datasette.localhost:{shown.platform.gateway.port}"}
    assert await shown.get("/timezones.json", params=query, headers=own) == zones
    async with shown.http.get("/timezones", headers=own) as answer:
        assert "Content-Security-Policy" not in answer.headers, "an origin of its own needs no sandbox"
    assert (await shown.get("/datasette/nothing.json", code=404))["ok"] is False


def test_the_database_holds_what_the_script_builds(tmp_path: Path) -> None:
    if not (TABLES / "zone1970.tab").exists():
        pytest.skip("this machine has no tz database")
    built = tmp_path / "timezones.db"
    subprocess.run([sys.executable, EXAMPLE / "build.py", TABLES, built], check=True, timeout=30)
    ours, theirs = _schema(EXAMPLE / "timezones.db"), _schema(built)
    assert ours == theirs
    for path in (EXAMPLE / "timezones.db", built):
        with sqlite3.connect(path) as database:
            (zones,) = database.execute("select count(*) from zones where abs(latitude) <= 90").fetchone()
            (orphans,) = database.execute(
                "select count(*) from zone_countries where country not in (select code from countries)"
            ).fetchone()
        database.close()
        assert zones > 300, "the tables differ from year to year, and not by much"
        assert orphans == 0


def _schema(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    try:
        return [sql for (sql,) in database.execute("select sql from sqlite_master where sql is not null order by name")]
    finally:
        database.close()
