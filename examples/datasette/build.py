"""Builds timezones.db from the tables of the tz database, which are in the public domain.

    python3 build.py [folder of zone1970.tab and iso3166.tab] [file to write]

The result lies beside this file, so nobody needs to run it; it is here to show where the rows come from.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
create table countries (
    code text primary key,  -- ISO 3166-1
    name text not null
) without rowid;

create table zones (
    name text primary key,
    latitude real not null,  -- of its largest city, in degrees, north is positive
    longitude real not null,  -- in degrees, east is positive
    comment text
) without rowid;

create table zone_countries (
    zone text not null references zones (name),
    country text not null references countries (code),
    primary key (zone, country)
) without rowid;

create index zone_countries_by_country on zone_countries (country);
"""


def rows(table: Path) -> Iterator[list[str]]:
    """The rows of a table of the tz database, without its comments."""
    for line in table.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def degrees(text: str) -> float:
    """A coordinate as ISO 6709 has it, `+DDMM`, `+DDDMM`, `+DDMMSS` or `+DDDMMSS`, in degrees."""
    sign, digits = text[0], text[1:]
    seconds = int(digits[-2:]) if len(digits) > 5 else 0
    rest = digits[:-2] if len(digits) > 5 else digits
    value = int(rest[:-2]) + int(rest[-2:]) / 60 + seconds / 3600
    return round(-value if sign == "-" else value, 4)


def build(source: Path, target: Path) -> None:
    """Write the database anew."""
    target.unlink(missing_ok=True)
    database = sqlite3.connect(target)
    try:
        database.executescript(SCHEMA)
        database.executemany("insert into countries values (?, ?)", rows(source / "iso3166.tab"))
        for codes, place, name, *comment in rows(source / "zone1970.tab"):
            latitude, longitude = re.findall(r"[+-]\d+", place)
            zone = (name, degrees(latitude), degrees(longitude), *(comment or [None]))
            database.execute("insert into zones values (?, ?, ?, ?)", zone)
            pairs = [(name, code) for code in codes.split(",")]
            database.executemany("insert into zone_countries values (?, ?)", pairs)
        database.commit()
        database.execute("vacuum")
    finally:
        database.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/zoneinfo")
    build(folder, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("timezones.db"))
