"""A new key for the secrets of a namespace: everything encrypted anew, in batches, at any moment safe against a crash.

The new key is on disk, and used, before anything is encrypted with it; the old ones go when nothing is encrypted with them
any more. In between both are there. A rotation that was cut off is gone on with by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.config.api import Rotation
from microlite.core.config.records import (
    HEAD,
    HISTORY,
    LEAVES,
    Kept,
    Past,
    Sealed,
    decode_kept,
    decode_past,
    encode,
)
from microlite.core.engine.api import Batch, Presence, Put

if TYPE_CHECKING:
    from microlite.core.config.configuration import Configuration
    from microlite.core.config.keys import Keys
    from microlite.core.engine.api import Record

BATCH: Final = 20
"""Records that are encrypted anew in one commit; one of the history may have a megabyte."""

TRIES: Final = 100


async def rotate(configuration: Configuration, namespace: str) -> Rotation:
    """Make a new key, encrypt all secrets of a namespace with it, and forget the keys before.

    Raises:
        NotFound: there are no secrets, and no key.
        Unprocessable: the key of a secret is lost; the others are encrypted anew, and no key is forgotten.
    """
    keys = configuration.keys
    known = keys.known(namespace)
    if not known:
        raise errors.NotFound("there is no key yet: it is made with the first secret")
    key = keys.add(namespace)
    await _new_head(configuration, namespace, key)
    values = 0
    lost: list[str] = []
    for bucket in (LEAVES, HISTORY):
        values += await _reseal_bucket(configuration, namespace, bucket, key, lost)
    if lost:
        raise errors.Unprocessable(
            f"{values} values are encrypted with the new key {key}; no key was forgotten, since these cannot be read: "
            f"{', '.join(sorted(set(lost))[:10])}"
        )
    return Rotation(key=key, values=values, retired=keys.retire(namespace))


async def _new_head(configuration: Configuration, namespace: str, key: str) -> None:
    """Let every change be refused that was made ready before, and may hold a value under the old key."""
    for _ in range(TRIES):
        state = await configuration.state(namespace)
        head = msgspec.structs.replace(state.head, key=key)
        put = Put(LEAVES, HEAD, encode(head), expect=state.expect or Presence.ABSENT)
        try:
            await configuration.engine.commit(Batch(namespace, (put,)))
        except errors.Conflict:
            continue
        return
    raise errors.Conflict("the configuration is being changed all the time; rotate the key again")


async def _reseal_bucket(configuration: Configuration, namespace: str, bucket: str, key: str, lost: list[str]) -> int:
    engine, values, after = configuration.engine, 0, ""
    while True:
        page = await engine.scan(namespace, bucket, after=after, limit=BATCH)
        for _ in range(TRIES):
            puts: list[Put] = []
            count = 0
            missing: list[str] = []
            for record in page.records:
                resealed = _reseal(configuration.keys, namespace, bucket, record, key, missing)
                if resealed is not None:
                    puts.append(Put(bucket, record.key, resealed[0], expect=record.revision))
                    count += resealed[1]
            if not puts:
                break
            try:
                await engine.commit(Batch(namespace, tuple(puts)))
            except errors.Conflict:
                page = await engine.scan(namespace, bucket, after=after, limit=BATCH)
                continue
            values += count
            break
        else:
            raise errors.Conflict("the configuration is being changed all the time; rotate the key again")
        lost += missing
        if page.cursor is None:
            return values
        after = page.cursor


def _reseal(
    keys: Keys, namespace: str, bucket: str, record: Record, key: str, lost: list[str]
) -> tuple[bytes, int] | None:
    """A record with its secrets under the new key, and how many they are; None where there is nothing to do."""
    count = 0

    def anew(path: str, kept: Kept | None) -> Kept | None:
        nonlocal count
        if kept is None or kept.sealed is None or kept.sealed.key == key:
            return kept
        try:
            sealed: Sealed = keys.seal(namespace, path, keys.open(namespace, path, kept.sealed))
        except errors.Unprocessable:
            lost.append(path)
            return kept
        count += 1
        return msgspec.structs.replace(kept, sealed=sealed)

    new: Kept | Past | None
    if bucket == LEAVES:
        new = anew(record.key, decode_kept(record.value)) if record.key != HEAD else None
    else:
        past = decode_past(record.value)
        steps = tuple(
            msgspec.structs.replace(step, old=anew(step.path, step.old), new=anew(step.path, step.new))
            for step in past.steps
        )
        new = msgspec.structs.replace(past, steps=steps)
    return (encode(new), count) if count else None
