"""The service of the campaign: does what clients ask for, consumes, is called by schedules, and notes it all down."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from microlite import Context, Event, RetryLater, Service
from tests.crash.operations import DATABASE, TOPIC, perform

service = Service("work")

_notes = -1


def note(*words: object) -> None:
    """Write a line that outlives this process: all of it or nothing."""
    global _notes
    if _notes < 0:
        _notes = os.open(os.environ["CRASH_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_notes, (" ".join(map(str, words)) + "\n").encode())


@service.endpoint
async def do(ctx: Context, op: dict[str, Any]) -> dict[str, Any]:
    """Carry an operation out."""
    return await perform(ctx, op)


@service.consume(TOPIC, group="plain", retries=-1, backoff=0.02, max_backoff=0.1)
async def plain(ctx: Context, event: Event[dict[str, Any]]) -> None:
    note("plain", event.position, event.key or "-", time.monotonic())
    if random.random() < 0.05:
        raise RetryLater("not now", after=0.02)


@service.consume(TOPIC, group="effects", retries=-1, backoff=0.02, max_backoff=0.1)
async def effects(ctx: Context, event: Event[dict[str, Any]]) -> None:
    note("effects", event.position, event.key or "-", time.monotonic())
    if random.random() < 0.05:
        raise RetryLater("not now", after=0.02)
    async with ctx.transaction() as tx:
        tx.ack()
        tx.events.publish("effects", event.payload)
        if event.key:
            await tx.store.database(DATABASE).table("effects").increment(event.key)
    note("effected", event.position)
    if random.random() < 0.05:
        raise ValueError("what was acknowledged stays so")


@service.every("1s", missed="all", overlap="queue")
async def second(ctx: Context) -> None:
    note("second", ctx.metadata["schedule-due"])


@service.endpoint
async def called(ctx: Context, id: str) -> None:
    """What the schedules of the load call."""
    note("called", id)
