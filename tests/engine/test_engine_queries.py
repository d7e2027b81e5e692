"""No statement of the engine walks through a table: each finds its rows by a key or an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from microlite.core.engine import queries
from microlite.core.engine.migrations import migrate
from microlite.core.engine.queries import with_rows

NAMES = sorted(queries.queries())
SCAN = re.compile(r"^SCAN (?!\w+ VIRTUAL TABLE|\d+-ROW VALUES CLAUSE|\(subquery)")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(tmp_path / "plans.db"))
    migrate(connection, "plans.db")
    yield connection
    connection.close()


def plan(connection: apsw.Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    bindings = (None,) * (max(numbers) if numbers else statement.count("?"))
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, bindings)]


SMALL = {"stream_to_sweep": "streams_to_sweep"}
"""Statements that walk through an index which holds nothing but what they look for."""


WHOLE = {"usage"}
"""Statements that read all of a small table: a row for each namespace, once when the engine opens."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SMALL and name not in WHOLE])
def test_no_table_is_scanned_or_sorted(database: apsw.Connection, name: str) -> None:
    steps = plan(database, with_rows(name, 3))
    assert not [step for step in steps if SCAN.match(step) or "TEMP B-TREE FOR ORDER" in step], steps


@pytest.mark.parametrize(("name", "index"), SMALL.items())
def test_the_exceptions_stay_within_their_index(database: apsw.Connection, name: str, index: str) -> None:
    assert [step.split(" USING INDEX ")[-1] for step in plan(database, with_rows(name, 1))] == [index]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("get", "SEARCH records USING INDEX records_by_key (bucket=? AND key=?)"),
        ("scan", "SEARCH records USING INDEX records_by_key (bucket=? AND key>? AND key<?)"),
        ("scan_back", "SEARCH records USING INDEX records_by_key (bucket=? AND key>? AND key<?)"),
        ("get_many", "SEARCH records USING INDEX records_by_key (bucket=? AND key=?)"),
        ("current_revisions", "SEARCH records USING INDEX records_by_key (bucket=? AND key=?)"),
        ("delete_records", "SEARCH records USING COVERING INDEX records_by_key (bucket=? AND key=?)"),
        ("changes_after", "SEARCH changes USING INTEGER PRIMARY KEY (rowid>?)"),
        ("read_entries", "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("read_entries_back", "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("stream_state", "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("entry_total", "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"),
        ("sweep_entries", "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("expired", "SEARCH records USING INDEX records_by_expiry (expires_at<?)"),
    ],
)
def test_hot_statements_use_their_index(database: apsw.Connection, name: str, step: str) -> None:
    assert step in plan(database, with_rows(name, 1))


def test_the_scans_regex_would_find_one(database: apsw.Connection) -> None:
    assert [step for step in plan(database, "SELECT value FROM records WHERE revision = ?1") if SCAN.match(step)]


def test_every_statement_is_used() -> None:
    folder = Path(queries.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    assert [name for name in NAMES if f'"{name}"' not in source] == []


def test_rows_are_repeated() -> None:
    assert with_rows("log_changes", 3).count("(?, ?, ?, ?, ?, ?)") == 3
    assert with_rows("put_records", 2).count("(?, ?, ?, ?, ?)") == 2
