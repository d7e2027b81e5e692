"""When a schedule is due, as a person writes it: checked without computing a single date, so that a node can do it."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Final, TypeVar

from microlite.core.description.structs import Every, Missed, Overlap
from microlite.core.durations import parse_duration
from microlite.core.errors import BadRequest

SHORTEST: Final = 1.0
"""Seconds: the shortest interval between two runs."""

LONGEST: Final = 10 * 366 * 86_400.0
"""Seconds: the longest interval, delay, timeout and wait."""

MOST_RETRIES: Final = 100

_MONTHS: Final = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS: Final = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, tuple(_MONTHS)),
    ("day of the week", 0, 7, tuple(_DAYS)),
)
"""The fields of cron in their order: name, lowest and highest number, words for the numbers from the lowest on."""

_TERM: Final = re.compile(r"(\*|(?P<low>[0-9A-Z]+)(?:-(?P<high>[0-9A-Z]+))?)(?:/(?P<step>[0-9]+))?")
_LAST: Final = {"day of the month": re.compile(r"LW?"), "day of the week": re.compile(r"[0-7]L|[0-7A-Z]+#[1-5]")}
Kind = TypeVar("Kind", bound=StrEnum)

_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")


def timing(
    interval: str | float | None = None,
    *,
    cron: str = "",
    zone: str = "UTC",
    missed: str = "once",
    overlap: str = "skip",
    timeout: str | float = 300.0,
    retries: int = 0,
    backoff: str | float = 1.0,
) -> Every:
    """The times and policies of a schedule, checked.

    Args:
        interval: seconds, or a text like `10m`; None where `cron` says when.
        cron: five fields.

    Raises:
        BadRequest: says what cannot be, and what to write instead.
    """
    if (interval is None) == (not cron):
        raise BadRequest('say when it is due, by an interval ("10m") or by cron ("0 6 * * *"), and not by both')
    if zone != "UTC" and not cron:
        raise BadRequest("zone: an interval has no time zone; it belongs to cron")
    every = 0.0 if interval is None else seconds(interval, "every", least=SHORTEST)
    if cron:
        check_cron(cron)
    return Every(
        every=every,
        cron=" ".join(cron.split()),
        zone=check_zone(zone),
        missed=_choice(Missed, "missed", missed),
        overlap=_choice(Overlap, "overlap", overlap),
        timeout=seconds(timeout, "timeout", least=0.001),
        retries=check_retries(retries),
        backoff=seconds(backoff, "backoff", least=0.0),
    )


def check_retries(retries: int) -> int:
    """The number, if so many tries can be.

    Raises:
        BadRequest: they cannot.
    """
    if not 0 <= retries <= MOST_RETRIES:
        raise BadRequest(f"retries: {retries} is not between 0 and {MOST_RETRIES}")
    return retries


def seconds(length: str | float, name: str, *, least: float) -> float:
    """A length of time in seconds, from seconds or a text like `10m`.

    Raises:
        BadRequest: it is none, or out of bounds.
    """
    try:
        found = parse_duration(length) if isinstance(length, str) else float(length)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None
    if not math.isfinite(found) or not least <= found <= LONGEST:
        raise BadRequest(f"{name}: {length!r} is not between {least:g} seconds and ten years")
    return found


def check_cron(cron: str) -> None:
    """Refuse what is no cron expression of five fields: minute, hour, day of the month, month, day of the week.

    Raises:
        BadRequest: says which field is wrong.
    """
    parts = cron.upper().split()
    if len(parts) != len(_FIELDS):
        raise BadRequest(
            f"cron: {cron!r} has {len(parts)} fields, not five: minute, hour, day of the month, month, day of the week"
        )
    for part, (name, low, high, words) in zip(parts, _FIELDS, strict=True):
        for term in part.split(","):
            if not _fits(term, name, low, high, words):
                span = f"{low} to {high}" + (f", or {words[0]} to {words[-1]}" if words else "")
                raise BadRequest(f"cron: {term!r} in {cron!r} is no {name}: write *, a number from {span}, 1-5 or */2")


def check_zone(zone: str) -> str:
    """The name of a time zone, if its form is one; whether there is such a zone the platform knows.

    Raises:
        BadRequest: it is none.
    """
    if len(zone) > 64 or not _ZONE.fullmatch(zone):
        raise BadRequest(f"zone: {zone!r} is no time zone; write one like Europe/Berlin")
    return zone


def _fits(term: str, name: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    special = _LAST.get(name)
    if special is not None and special.fullmatch(term):
        return "#" not in term or _number(term.partition("#")[0], low, high, words) is not None
    match = _TERM.fullmatch(term)
    if match is None or match["step"] in ("0", "00"):
        return False
    if match["low"] is None:
        return True
    first = _number(match["low"], low, high, words)
    last = first if match["high"] is None else _number(match["high"], low, high, words)
    return first is not None and last is not None and first <= last


def _number(text: str, low: int, high: int, words: tuple[str, ...]) -> int | None:
    if text in words:
        return words.index(text) + low
    return int(text) if text.isdigit() and low <= int(text) <= high else None


def _choice(kind: type[Kind], name: str, word: str) -> Kind:
    try:
        return kind(word)
    except ValueError:
        words = [str(one) for one in kind]
        raise BadRequest(f"{name}: {word!r} is none of {', '.join(words)}") from None
