"""What the load does, as data: an operation is a dict that a client carries out itself, or has a service carry out.

Each names the *facts* that hold once it took place: `record/…`, `config/…`, `blob/…` with their values or None for gone,
`event/…` for an event in its topic, `delayed/…` for one that comes, `call/…` for a call that is made.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

Operation: TypeAlias = dict[str, Any]
Facts: TypeAlias = dict[str, Any]

DATABASE = "crash"
TOPIC = "jobs"
ACCOUNTS = 5
BALANCE = 1_000


class Broken(Exception):
    """The source of an upload broke off, as was meant."""


def content(seed: int, size: int) -> bytes:
    """The content of a blob."""
    return random.Random(seed).randbytes(size)


def job(lane: str, number: int) -> dict[str, Any]:
    """The payload of an event."""
    return {"lane": lane, "number": number}


def key_of(lane: str, number: int) -> str:
    """The key of an event; a lane has three."""
    return f"{lane}.{number % 3}"


async def perform(m: Any, op: Operation) -> dict[str, Any]:
    """Carry an operation out, with a client or the context of a handler; what came of it."""
    return await _PERFORMERS[op["kind"]](m, op) or {}


# -- records ------------------------------------------------------------------------------------------------------------


def _facts(m: Any) -> Any:
    return m.store.database(DATABASE).table("facts")


async def _write(m: Any, op: Operation) -> dict[str, Any]:
    return {"revision": await _facts(m).write(op["key"], op["value"], expect=op["expect"])}


async def _delete(m: Any, op: Operation) -> None:
    await _facts(m).delete(op["key"], expect=op["expect"])


async def _write_many(m: Any, op: Operation) -> dict[str, Any]:
    return {"revision": await _facts(m).write_many(op["items"])}


async def _delete_many(m: Any, op: Operation) -> None:
    await _facts(m).delete_many(op["keys"])


async def _increment(m: Any, op: Operation) -> dict[str, Any]:
    return {"value": await m.store.database(DATABASE).table("counters").increment(op["counter"])}


# -- transactions -------------------------------------------------------------------------------------------------------


async def _tx(m: Any, op: Operation) -> dict[str, Any]:
    staged = {}
    for name, (seed, size) in op["blobs"].items():
        staged[name] = await m.store.database(DATABASE).blobs.stage(content(seed, size))
    tx = m.transaction(id=op["id"]) if op["id"] else m.transaction()
    async with tx:
        database = tx.store.database(DATABASE)
        table = database.table("facts")
        for key, value in op["records"].items():
            if value is None:
                table.delete(key)
            else:
                table.write(key, value)
        if op["count"]:
            await table.increment(op["count"])
        for lane, number in op["events"]:
            tx.events.publish(TOPIC, job(lane, number), key=key_of(lane, number))
        for lane, number, delay in op["delayed"]:
            tx.events.publish(TOPIC, job(lane, number), delay=delay)
        for path, value in op["config"].items():
            tx.config.set(path, value, secret=isinstance(value, str))
        for call, delay in op["calls"]:
            tx.schedules.call("work.called", {"id": call}, id=call, delay=delay)
        for name, upload in staged.items():
            database.blobs.publish(upload, name)
        if op["delivery"]:
            tx.ack(op["delivery"])
            await database.table("pulled").increment(op["pulled"])
    return {"repeated": tx.repeated}


async def _transfer(m: Any, op: Operation) -> None:
    async def change(tx: Any) -> None:
        database = tx.store.database(DATABASE)
        accounts = database.table("accounts")
        one, other = op["accounts"]
        accounts.write(one, await accounts.read(one) - op["amount"])
        accounts.write(other, await accounts.read(other) + op["amount"])
        await database.table("facts").increment(op["count"])

    await m.transact(change)


# -- events -------------------------------------------------------------------------------------------------------------


async def _publish(m: Any, op: Operation) -> dict[str, Any]:
    lane, number = op["event"]
    done = await m.events.publish(
        TOPIC,
        job(lane, number),
        key="" if op["delay"] else key_of(lane, number),
        delay=op["delay"],
        deduplication_id=op["deduplication"],
    )
    return {"position": done.position, "duplicate": done.duplicate}


async def _publish_many(m: Any, op: Operation) -> dict[str, Any]:
    events = [m.events.event(TOPIC, job(*one), key=key_of(*one)) for one in op["events"]]
    done = await m.events.publish_many(events)
    return {"positions": [one.position for one in done]}


async def _pull(m: Any, op: Operation) -> dict[str, Any]:
    found = await m.events.pull(TOPIC, op["group"], max=op["max"], wait=0.1)
    return {"got": [[one.event.position, one.payload["lane"], one.payload["number"], one.id] for one in found]}


async def _ack(m: Any, op: Operation) -> None:
    await m.events.ack(*op["deliveries"])


async def _nack(m: Any, op: Operation) -> None:
    await m.events.nack(op["deliveries"][0], "not now", delay=0.05)


# -- configuration, blobs, schedules ------------------------------------------------------------------------------------


async def _set(m: Any, op: Operation) -> dict[str, Any]:
    written = await m.config.set(op["path"], op["value"], secret=op["secret"])
    return {"revision": written.revision, "changed": written.changed}


async def _unset(m: Any, op: Operation) -> dict[str, Any]:
    written = await m.config.unset(op["path"])
    return {"revision": written.revision, "changed": written.changed}


async def _blob(m: Any, op: Operation) -> dict[str, Any]:
    whole = content(op["seed"], op["size"])

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 100_000):
            if op["broken"] and start > len(whole) // 2:
                raise Broken
            yield whole[start : start + 100_000]

    try:
        blob = await m.store.database(DATABASE).blobs.write(op["name"], pieces())
    except Broken:
        return {"broken": True}
    return {"digest": blob.digest, "revision": blob.revision}


async def _delete_blob(m: Any, op: Operation) -> None:
    await m.store.database(DATABASE).blobs.delete(op["name"])


async def _call(m: Any, op: Operation) -> None:
    await m.schedules.call("work.called", {"id": op["id"]}, id=op["id"], delay=op["delay"])


async def _cancel(m: Any, op: Operation) -> dict[str, Any]:
    return {"canceled": await m.schedules.cancel(op["id"])}


_PERFORMERS: dict[str, Any] = {
    "write": _write,
    "delete": _delete,
    "write-many": _write_many,
    "delete-many": _delete_many,
    "increment": _increment,
    "tx": _tx,
    "transfer": _transfer,
    "publish": _publish,
    "publish-many": _publish_many,
    "pull": _pull,
    "ack": _ack,
    "nack": _nack,
    "set": _set,
    "unset": _unset,
    "blob": _blob,
    "delete-blob": _delete_blob,
    "call": _call,
    "cancel": _cancel,
}
