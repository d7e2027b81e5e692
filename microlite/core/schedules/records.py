"""What is on disk of schedules: three kinds of records in the namespace, and the list of namespaces that have any."""

from __future__ import annotations

from typing import Final

import msgspec

from microlite.core.context import Account
from microlite.core.description.structs import Missed, Overlap
from microlite.core.schedules.api import Run, Source

SCHEDULES: Final = "schedules/schedules"
"""By name: each schedule, with the time at which it is due next. Claiming that time is a compare-and-set of this record."""

RUNS: Final = "schedules/runs"
"""By `<schedule>/<run>`: the history, runs that have not ended included."""

OPEN: Final = "schedules/open"
"""By the same keys: the runs that have not ended, so that a platform that starts finds them without a search."""

LATEST: Final = "schedules/latest"
"""By name: the latest run that has ended, so that a list need not search the history."""

NAMESPACES: Final = "schedules/namespaces"
"""In the platform's own namespace: the names of those that have schedules."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule on disk; see `api.Schedule` for what both have.

    Attributes:
        service: whose endpoint is called.
        endpoint: its normalised name.
        payload: the request as JSON.
        at: when a single call is due; 0 for others.
        due: when it is due next; 0 when no further time comes.
        account: as whom the call is made.
    """

    name: str
    service: str
    endpoint: str
    payload: bytes = b"{}"
    source: Source
    every: float = 0.0
    cron: str = ""
    zone: str = "UTC"
    at: float = 0.0
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.SKIP
    timeout: float = 300.0
    retries: int = 0
    backoff: float = 1.0
    paused: bool = False
    due: float = 0.0
    created: float = 0.0
    account: Account

    @property
    def target(self) -> str:
        """What is called, in one word."""
        return f"{self.service}.{self.endpoint}"

    @property
    def owner(self) -> str:
        """Who added it, or the service that declares it."""
        return self.service if self.source is Source.CODE else self.account.id


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended, with all that its call needs: its schedule may change or go meanwhile.

    Attributes:
        order: whether it waits for the runs of its schedule that came before it.
        idempotent: whether the endpoint was declared so when the latest try began.
    """

    run: Run
    service: str
    endpoint: str
    payload: bytes
    timeout: float
    retries: int
    backoff: float
    account: Account
    order: bool = False
    idempotent: bool = False
    single: bool = False


def run_key(run: Run) -> str:
    """The key of a run among `RUNS` and `OPEN`."""
    return f"{run.schedule}/{run.id}"


def run_id(due: float, id: str) -> str:
    """The id of a run for a due time: sorts by that time."""
    return f"{max(0, round(due * 1000)):014d}-{id[-8:]}"


encode: Final = msgspec.msgpack.Encoder().encode
decode_stored: Final = msgspec.msgpack.Decoder(Stored).decode
decode_open: Final = msgspec.msgpack.Decoder(OpenRun).decode
decode_run: Final = msgspec.msgpack.Decoder(Run).decode
