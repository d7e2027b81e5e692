"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import msgspec

from benchmarks.harness import Budget, Result

_HEADINGS = ("what", "against", "median", "min … max", "ours", "theirs", "cpu µs ours/theirs", "must", "aim", "")


def failed(results: Sequence[Result]) -> list[Result]:
    """Return the results that have a budget and miss its must, or could not be measured."""
    return [r for r in results if r.budget and (r.median is None or not r.budget.verdict(r.median)[0])]


def table(results: Sequence[Result]) -> str:
    """Return an aligned table; ``✓`` and ``✗`` say whether must and aim are reached. Notes stand below it."""
    notes: list[str] = []
    rows = [_HEADINGS, *(_cells(result, notes) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths).rstrip())
    return "\n".join([*lines, *(f"[{number}] {note}" for number, note in enumerate(notes, 1))])


def as_json(results: Sequence[Result]) -> str:
    """Return the machine and the results, with both verdicts, as one JSON document."""
    document = {
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "results": [_as_document(result) for result in results],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _as_document(result: Result) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(result)
    if result.budget and result.median is not None:
        document["must_reached"], document["aim_reached"] = result.budget.verdict(result.median)
    return document


def _cells(result: Result, notes: list[str]) -> tuple[str, ...]:
    if result.note and result.note not in notes:
        notes.append(result.note)
    must, aim = _bars(result, result.budget)
    return (
        result.what,
        result.against or "–",
        _figure(result.median, result.unit),
        f"{_figure(result.low, '')} … {_figure(result.high, '')}" if result.rounds else "–",
        _figure(result.ours, result.side_unit),
        _figure(result.theirs, result.side_unit),
        f"{_figure(result.cpu_ours, '')} / {_figure(result.cpu_theirs, '')}" if result.cpu_theirs else "–",
        must,
        aim,
        f"[{notes.index(result.note) + 1}]" if result.note else "",
    )


def _bars(result: Result, budget: Budget | None) -> tuple[str, str]:
    if budget is None:
        return "–", "–"
    sign = "≥" if budget.at_least else "≤"
    must, aim = f"{sign} {budget.must:g}", f"{sign} {budget.aim:g}"
    if result.median is None:
        return f"{must} ?", f"{aim} ?"
    reached = budget.verdict(result.median)
    return f"{must} {'✓' if reached[0] else '✗'}", f"{aim} {'✓' if reached[1] else '✗'}"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "/s":
        return f"{value:,.0f}/s"
    return f"{value:,.2f} {unit}".rstrip() if abs(value) < 100 else f"{value:,.0f} {unit}".rstrip()
