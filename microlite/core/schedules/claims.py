"""What becomes of a schedule that is due: which runs there are, and when it is due next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from microlite.core.description.structs import Missed, Overlap
from microlite.core.schedules.api import MAX_WAITING, Outcome, Run, Source
from microlite.core.schedules.planner import times_of
from microlite.core.schedules.records import Stored, run_id

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: Final = 60.0
"""Seconds after its time during which a run is in time, and not missed."""

_AT_ONCE: Final = 100
"""Most missed due times that are made up for one by one."""


class Claim(NamedTuple):
    """What is to be written before anything is called.

    Attributes:
        stored: the schedule with its next due time; none where there is none, and the record goes.
        runs: those that wait to begin, then those that never will and only stand in the history.
        order: whether each of those that wait begins after the one before it has ended.
    """

    stored: Stored | None
    runs: tuple[Run, ...]
    order: bool


def claim(stored: Stored, now: float, *, unfinished: int, waiting: int, new_id: Callable[[], str]) -> Claim | None:
    """Claim all due times up to now. None where there is none yet.

    Args:
        stored: the schedule.
        now: seconds since the Unix epoch.
        unfinished: its runs that have not ended.
        waiting: those of them that have not begun.
        new_id: makes ids.
    """
    if stored.paused or not stored.due or stored.due > now:
        return None
    times = times_of(stored)
    due, count = times.between(stored.due, now, _AT_ONCE)
    following = msgspec.structs.replace(stored, due=times.after(now, stored.due))
    if stored.source is Source.ONCE:
        return Claim(None, (_run(stored, due[-1], new_id, Outcome.WAITING),), order=False)
    in_time = now - due[-1] <= GRACE
    made_up = _made_up(stored.missed, due, in_time)
    left_out = 0 if stored.missed is Missed.ONCE else count - len(made_up)
    runs: list[Run] = []
    lost: list[Run] = []
    order = len(made_up) > 1 and stored.overlap is not Overlap.ALLOW
    for moment in made_up:
        covers = count if stored.missed is Missed.ONCE else 1
        if order and waiting + len(runs) < MAX_WAITING:
            runs.append(_run(stored, moment, new_id, Outcome.WAITING, count=covers))
            continue
        reason = _hindrance(stored.overlap, unfinished, waiting + len(runs))
        if reason:
            lost.append(_run(stored, moment, new_id, Outcome.SKIPPED, now, reason, covers))
        else:
            runs.append(_run(stored, moment, new_id, Outcome.WAITING, count=covers))
    if left_out:
        last = next((moment for moment in reversed(due) if moment not in made_up), due[0])
        word = "1 due time" if left_out == 1 else f"{left_out} due times"
        reason = f"{word} passed while the platform, or all nodes of {stored.service}, were down"
        lost.append(_run(stored, last, new_id, Outcome.MISSED, now, reason, left_out))
    return Claim(following, (*runs, *lost), order=order or stored.overlap is Overlap.QUEUE)


def claim_now(stored: Stored, now: float, by: str, *, unfinished: int, waiting: int, id: str) -> tuple[Run, str]:
    """A run that somebody asks for, whatever time it is, and why it cannot be, if so."""
    run = msgspec.structs.replace(_run(stored, now, lambda: id, Outcome.WAITING), by=by)
    return run, _hindrance(stored.overlap, unfinished, waiting)


def _made_up(missed: Missed, due: tuple[float, ...], in_time: bool) -> tuple[float, ...]:
    if missed is Missed.ALL:
        return due
    if missed is Missed.ONCE or in_time:
        return due[-1:]
    return ()


def _hindrance(overlap: Overlap, unfinished: int, waiting: int) -> str:
    if not unfinished and not waiting:
        return ""
    if overlap is Overlap.SKIP:
        return "the run before has not ended"
    if overlap is Overlap.QUEUE and waiting >= MAX_WAITING:
        return f"{waiting} runs wait already"
    return ""


def _run(
    stored: Stored,
    due: float,
    new_id: Callable[[], str],
    outcome: Outcome,
    ended: float = 0.0,
    error: str = "",
    count: int = 1,
) -> Run:
    return Run(
        id=run_id(due, new_id()),
        schedule=stored.name,
        due=due,
        outcome=outcome,
        ended=ended,
        error=error,
        count=count,
    )
