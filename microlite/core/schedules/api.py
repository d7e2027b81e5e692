"""The contract of the built-in service `schedules`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from microlite.core.description.structs import Missed, Overlap

MAX_REQUEST_BYTES: Final = 64 << 10
"""Largest request, as JSON, that a scheduled call can carry."""

MAX_SCHEDULES: Final = 100_000
"""Most schedules of one namespace."""

KEPT_RUNS: Final = 100
"""Runs of each schedule that its history keeps."""

KEPT_SECONDS: Final = 30 * 86_400.0
"""How long a run is kept there, in seconds."""

MAX_WAITING: Final = 100
"""Most runs of one schedule that wait for those before them."""


class Add(msgspec.Struct, frozen=True, kw_only=True, tag="schedules.add", forbid_unknown_fields=True):
    """A change: there is a schedule from now on. Exactly one of `every`, `cron`, `delay` and `at` says when it is due.

    Attributes:
        target: what is called, `orders.expire`.
        request: the fields of the call.
        id: its name: letters, digits, `_` and `-`. What a service adds is its own: `shop` names its schedules `shop:<id>`.
            Without one it gets a new one.
        every: seconds between two runs.
        cron: five fields.
        zone: the time zone of `cron`.
        delay: seconds from now until the one call.
        at: when the one call is, in seconds since the Unix epoch.
        missed: what becomes of due times that passed while nothing could run them. A single call is always made up for.
        overlap: what happens when the run before has not ended.
        timeout: seconds that a run may take.
        retries: how often a run that failed is tried again.
        backoff: seconds before the first such try; each next one waits twice as long, an hour at most.
        replace: whether a schedule of this name gives way; without it that is a conflict.
    """

    target: str
    request: dict[str, Any] = {}
    id: str = ""
    every: float = 0.0
    cron: str = ""
    zone: str = "UTC"
    delay: float | None = None
    at: float = 0.0
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.SKIP
    timeout: float = 300.0
    retries: int = 0
    backoff: float = 1.0
    replace: bool = False


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="schedules.cancel", forbid_unknown_fields=True):
    """A change: a schedule, or a single call that was not made yet, is gone. A run that has begun goes on.

    Attributes:
        id: its name, as it was added or in full.
        required: whether it is an error that there is none, as after a single call was made.
    """

    id: str
    required: bool = False


class Source(StrEnum):
    """Where a schedule comes from."""

    CODE = "code"
    """A service declares it, by `@service.every`."""
    ADDED = "added"
    """Somebody added it."""
    ONCE = "once"
    """Somebody added it, for a single call."""


class Outcome(StrEnum):
    """Where a run stands, or how it ended."""

    WAITING = "waiting"
    """It is to begin: after the runs before it, after a pause before it is tried again, or when a node is there."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """The endpoint answered with an error, or not in time, and no try is left."""
    INTERRUPTED = "interrupted"
    """Its node or the platform ended in the middle: it may have done its work, or a part of it."""
    SKIPPED = "skipped"
    """It did not run, since the one before had not ended."""
    MISSED = "missed"
    """It did not run, since nothing could run it at its time."""


ENDED: Final = frozenset({Outcome.DONE, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.SKIPPED, Outcome.MISSED})
"""The outcomes after which nothing comes."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a schedule.

    Attributes:
        id: of the run, within its schedule; later ones sort behind.
        schedule: the name of the schedule.
        due: the time that it is for, in seconds since the Unix epoch.
        outcome: where it stands, or how it ended.
        started: when its latest try began; 0 before.
        ended: when it ended; 0 before.
        attempt: which try it is, from 1 on; 0 before the first.
        next_try: when it is tried again; 0 when it is not.
        error: why it failed, was skipped or interrupted.
        by: who asked for it, by `run`; empty when its time had come.
        count: how many due times it stands for: more than one when it makes up for missed ones.
    """

    id: str
    schedule: str
    due: float
    outcome: Outcome
    started: float = 0.0
    ended: float = 0.0
    attempt: int = 0
    next_try: float = 0.0
    error: str = ""
    by: str = ""
    count: int = 1

    @property
    def duration(self) -> float:
        """Seconds from the begin of the latest try to the end; 0 before."""
        return self.ended - self.started if self.ended and self.started else 0.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands.

    Attributes:
        name: `orders.expire` for one that a service declares, else what it was added as.
        target: what is called.
        request: the fields of the call.
        source: where it comes from.
        every: seconds between two runs; 0 where something else says when.
        cron: five fields; empty where something else says when.
        zone: the time zone of `cron`.
        missed: what becomes of due times that passed while nothing could run them.
        overlap: what happens when the run before has not ended.
        timeout: seconds that a run may take.
        retries: how often a run that failed is tried again.
        backoff: seconds before the first such try.
        paused: whether it is not run, but by `run`.
        next: when it is due next, in seconds since the Unix epoch; 0 when it is not. In the past while it waits for a node.
        trouble: why it does not run although it is due.
        running: how many of its runs have begun and not ended.
        waiting: how many more wait.
        last: its latest run that has ended.
        created: when it was added or first declared.
        owner: the account that added it, or the service that declares it.
    """

    name: str
    target: str
    request: dict[str, Any] = {}
    source: Source
    every: float = 0.0
    cron: str = ""
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.SKIP
    timeout: float = 300.0
    retries: int = 0
    backoff: float = 1.0
    paused: bool = False
    next: float = 0.0
    trouble: str = ""
    running: int = 0
    waiting: int = 0
    last: Run | None = None
    created: float = 0.0
    owner: str = ""
