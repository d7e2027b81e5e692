"""Which batches of a group may happen, and what is left to write when they do. Pure: reads come in, rows go out.

Batches are judged one after the other, each on what those before it leave behind. A refused one leaves nothing, so
nothing has to be rolled back and the whole group is written by a few statements with many rows. That took a fifth less
time than a savepoint and single statements for each batch, and asks for the interpreter a tenth as often, which counts
while the event loop is busy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.engine.api import Delete, Presence, Put

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from microlite.core.engine.api import Batch, Expectation, Operation

Place = tuple[int, str]
"""The number of a bucket, and a key."""


@dataclass(slots=True, eq=False)
class Job:
    """A batch on its way to the disk, with the future of who waits for it, and what became of it.

    Attributes:
        size: bytes that it holds in memory, about.
        changed: the operations that changed something, in order; set with `revision`.
    """

    batch: Batch
    size: int
    future: asyncio.Future[int]
    revision: int = 0
    changed: Sequence[Put | Delete] = ()
    error: errors.Error | None = None

    def reset(self) -> None:
        """Forget what became of it, to be tried again."""
        self.revision, self.changed, self.error = 0, (), None


@dataclass(slots=True, eq=False)
class Group:
    """Jobs that are committed together, taken apart into places."""

    jobs: Sequence[Job]
    steps: list[list[tuple[Place, Operation]]] = field(default_factory=list)
    questions: list[Place] = field(default_factory=list)
    """Places whose revision on disk has to be known; may hold one twice."""

    @classmethod
    def of(cls, jobs: Sequence[Job], number_of: Callable[[str, str, bool], int]) -> Group:
        """Find the places. `number_of(namespace, bucket, create)` gives a bucket's number, 0 where there is none."""
        group = cls(jobs)
        for job in jobs:
            namespace = job.batch.namespace
            steps: list[tuple[Place, Operation]] = []
            for operation in job.batch.operations:
                is_put = isinstance(operation, Put)
                place = (number_of(namespace, operation.bucket, is_put), operation.key)
                steps.append((place, operation))
                if not is_put or operation.expect is not None:
                    group.questions.append(place)
            group.steps.append(steps)
        return group

    def judge(self, on_disk: Mapping[Place, int], revision: int, now: float) -> Writes:
        """Give each job its revision, or its error, and return what is to be written.

        Args:
            on_disk: the revisions of the records that are alive; for the places in `questions`.
            revision: the last one given out.
            now: seconds since the Unix epoch.
        """
        writes = Writes(revision)
        for job, steps in zip(self.jobs, self.steps, strict=True):
            changing: list[tuple[Place, Put | Delete]] = []
            for place, operation in steps:
                if isinstance(operation, Put) and operation.expect is None:
                    changing.append((place, operation))
                    continue
                current = writes.revision_at(place, now)
                if current is None:
                    current = on_disk.get(place, 0)
                refusal = _refusal(operation.expect, current)
                if refusal:
                    job.error = errors.Conflict(f"{operation.bucket}/{operation.key}: {refusal}")
                    break
                if isinstance(operation, Put) or (isinstance(operation, Delete) and current):
                    changing.append((place, operation))
            else:
                writes.add(changing)
                job.revision = writes.revision
                job.changed = [operation for _, operation in changing]
        return writes


class Writes:
    """What a group leaves behind: for each place only the last change.

    Args:
        revision: the last one given out before; each job that changes something takes the next.
    """

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.last: dict[Place, tuple[int, Put | Delete]] = {}
        """For each place the revision of its last change, and the operation."""

    def revision_at(self, place: Place, now: float) -> int | None:
        """The revision at a place that the group changes, 0 if nothing is there any more; none elsewhere."""
        change = self.last.get(place)
        if change is None:
            return None
        revision, operation = change
        alive = isinstance(operation, Put) and (operation.expires_at is None or operation.expires_at > now)
        return revision if alive else 0

    def add(self, changing: Sequence[tuple[Place, Put | Delete]]) -> None:
        """Add the changes of one job, under a revision of its own."""
        if not changing:
            return
        self.revision += 1
        for place, operation in changing:
            # Behind all others, so that the revisions stand in order.
            self.last.pop(place, None)
            self.last[place] = (self.revision, operation)


def _refusal(expect: Expectation, current: int) -> str:
    if expect is None:
        return ""
    if expect is Presence.ABSENT:
        return f"is there already, at revision {current}" if current else ""
    if expect is Presence.PRESENT:
        return "" if current else "is not there"
    if expect == current:
        return ""
    return (
        f"expected at revision {expect}, is at {current}" if current else f"expected at revision {expect}, is not there"
    )
