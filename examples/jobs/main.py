"""A job queue: letters are taken in at once and delivered in the background, with retries and dead letters.

A job that fails comes again, a little later each time; one that fails too often is put aside until somebody has looked at
it. The effect of a job and its acknowledgement are one transaction, so that a crash repeats no letter and loses none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from microlite import Context, Event, Reject, Service, errors

jobs = Service("jobs", version="1.0.0", metadata={"team": "examples"}, doc="Delivers letters in the background.")

KEPT = timedelta(days=7)
"""How long one can ask what became of a job."""


@dataclass(frozen=True)
class Job:
    """A letter on its way.

    Attributes:
        state: `queued`, `failing` or `delivered`.
        attempts: how often its delivery was tried.
        error: why the last attempt failed.
    """

    id: str
    to: str
    text: str
    state: str = "queued"
    attempts: int = 0
    error: str = ""


@jobs.endpoint
async def enqueue(ctx: Context, to: str, text: str, id: str = "") -> Job:
    """Take in a letter, and return at once.

    The record of the job and the event that starts it come together, or not at all.

    Args:
        to: whom it is for. The letters to one person are delivered one after the other.
        text: what it says.
        id: chosen by the caller, who can then call again if an answer is lost: the letter is taken in once.
    """
    job = Job(id or ctx.new_id(), to, text)
    async with ctx.transaction(id=f"enqueue {job.id}") as tx:
        tx.store.write(job.id, job, ttl=KEPT)
        tx.events.publish("letters", job, key=to)
    return job


@jobs.consume("letters", group="postman", retries=3, backoff="250ms", max_backoff="1m", concurrency=8)
async def deliver(ctx: Context, event: Event[Job]) -> None:
    """Deliver one letter. Runs again, a little later, when it fails; after three retries the letter is a dead one."""
    job = event.payload
    if not job.text.strip():
        raise Reject("the letter is empty")  # no retry can help: it is a dead letter at once
    try:
        await put_into_box(ctx, job, event.attempt)
    except errors.NotFound as error:
        ctx.log.info("attempt %d of a letter to %s failed", event.attempt, job.to)
        failed = replace(job, state="failing", attempts=event.attempt, error=str(error))
        await ctx.store.write(job.id, failed, ttl=KEPT)
        raise
    ctx.log.info("delivered a letter to %s", job.to)


async def put_into_box(ctx: Context, job: Job, attempt: int) -> None:
    """The work itself. The letter is in the box, and its job is done, by one commit: neither happens without the other.

    Raises:
        NotFound: nobody of this name has a box.
    """
    delivered = replace(job, state="delivered", attempts=attempt)
    async with ctx.transaction() as tx:
        boxes = tx.store.table("boxes")
        letters = await boxes.read(job.to, list[str])
        boxes.write(job.to, [*letters, job.text])
        tx.store.write(job.id, delivered, ttl=KEPT)
        tx.ack()


@jobs.endpoint(route="GET /jobs/{id}", idempotent=True, reads=True)
async def read(ctx: Context, id: str) -> Job:
    """Say how far a job is."""
    return await ctx.store.read(id, Job)


@jobs.endpoint
async def move_in(ctx: Context, name: str) -> None:
    """Put up a box for somebody.

    Args:
        name: who lives here from now on.
    """
    await ctx.store.table("boxes").write_if_absent(name, [])


@jobs.endpoint(idempotent=True, reads=True)
async def box(ctx: Context, name: str) -> list[str]:
    """Look into a box.

    Args:
        name: whose.
    """
    return await ctx.store.table("boxes").read(name, list[str])


if __name__ == "__main__":
    jobs.run()
