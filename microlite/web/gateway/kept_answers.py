"""What was answered to calls with an `Idempotency-Key`, on disk for a day."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Delete, Presence, Put

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

BUCKET: Final = "gateway/answers"
BODIES: Final = "gateway/answer-bodies"

KEPT_SECONDS: Final = 24 * 3_600.0
"""How long an answer is kept, and a key bound to its request."""

MAX_ANSWER: Final = 1 << 20
"""Bytes of the largest answer that is kept."""


class State(StrEnum):
    """How far a call has come."""

    BEGUN = "begun"
    """It was sent to its service, and no answer is known."""
    REPLIED = "replied"
    FAILED = "failed"
    """It was answered with an error."""
    TOO_LARGE = "too-large"
    """It was answered, with more than is kept."""
    UNKNOWN = "unknown"
    """It ended in a way that says nothing about what was done."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a key.

    Attributes:
        fingerprint: of the request that came with it first.
        error: code, status, detail and id of an error.
    """

    state: State
    fingerprint: bytes
    error: tuple[int, str, str, str] = (0, "", "", "")


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended: with a reply as its service wrote it, or an error.

    Attributes:
        repeated: whether it is that of an earlier call.
    """

    reply: bytes = b""
    error: errors.Error | None = None
    repeated: bool = False


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Kept).decode


def name_call(namespace: str, account: str, service: str, endpoint: str, key: str) -> str:
    """The name under which the answer to a call is kept: none but its own account finds it by the same key."""
    parts = (account, service, endpoint, key)
    return f"{namespace}/{hashlib.sha256(''.join(f'{len(part)}:{part}' for part in parts).encode()).hexdigest()}"


def fingerprint(payload: bytes, encoding: int) -> bytes:
    """What tells two requests apart."""
    return hashlib.sha256(b"%d:%b" % (encoding, payload)).digest()


class KeptAnswers:
    """The records.

    Args:
        engine: keeps them.
        clock: for when they go.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def begin(self, name: str, print_: bytes) -> Kept | None:
        """Bind a name to a request, on disk, before it is sent. Returns what is known where that is done already.

        Raises:
            Error: it could not be written, so the call must not be sent.
        """
        kept = Kept(State.BEGUN, print_)
        while True:
            found = await self._engine.get(PLATFORM_NAMESPACE, BUCKET, name)
            if found is not None:
                return _decode(found.value)
            try:
                await self._commit(Put(BUCKET, name, _encode(kept), self._until(), Presence.ABSENT))
            except errors.Conflict:
                continue
            return None

    async def keep(self, name: str, print_: bytes, outcome: Outcome) -> None:
        """Write down how the call ended. Returns when that is on disk."""
        error = outcome.error
        until = self._until()
        if error is None and len(outcome.reply) > MAX_ANSWER:
            kept = Kept(State.TOO_LARGE, print_)
        elif error is None:
            kept = Kept(State.REPLIED, print_)
            await self._commit(Put(BUCKET, name, _encode(kept), until), Put(BODIES, name, outcome.reply, until))
            return
        elif leaves_open(error):
            kept = Kept(State.UNKNOWN, print_)
        else:
            said = (error.code, error.status, error.detail, error.id)
            kept = Kept(State.FAILED, print_, said)
        await self._commit(Put(BUCKET, name, _encode(kept), until))

    async def forget(self, name: str) -> None:
        """The call was provably not started: the next one with this key is as good as the first."""
        await self._commit(Delete(BUCKET, name), Delete(BODIES, name))

    async def recall(self, name: str, kept: Kept) -> Outcome:
        """What the first call was answered.

        Raises:
            Conflict: nobody can know, or nobody kept it.
        """
        if kept.state is State.FAILED:
            return Outcome(error=errors.restore(*kept.error), repeated=True)
        if kept.state is State.REPLIED:
            body = await self._engine.get(PLATFORM_NAMESPACE, BODIES, name)
            if body is not None:
                return Outcome(body.value, repeated=True)
        if kept.state is State.TOO_LARGE:
            raise errors.Conflict(
                f"the call with this Idempotency-Key was done, and its answer was larger than {MAX_ANSWER:,} bytes, "
                "which is not kept",
                id="gateway",
            )
        raise errors.Conflict(
            "outcome unknown: the call with this Idempotency-Key was begun and its end is not known; find out what was "
            "done, and call with a new key if it has to be done again",
            id="gateway",
        )

    async def forget_namespace(self, namespace: str) -> None:
        """Remove all answers to the calls of a namespace, which is being deleted."""
        for bucket in (BUCKET, BODIES):
            after: str | None = ""
            while after is not None:
                page = await self._engine.scan(
                    PLATFORM_NAMESPACE, bucket, prefix=f"{namespace}/", after=after, limit=200, keys_only=True
                )
                after = page.cursor
                if page.records:
                    await self._commit(*(Delete(bucket, record.key) for record in page.records))

    def _until(self) -> float:
        return self._clock.now() + KEPT_SECONDS

    async def _commit(self, *operations: Put | Delete) -> None:
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, operations))


def leaves_open(error: errors.Error) -> bool:
    """Whether an error says nothing about whether the call was done."""
    return isinstance(error, errors.OutcomeUnknown) or error.code in (408, 499, 502, 504)


def proves_unstarted(error: errors.Error) -> bool:
    """Whether an error says that the call was not started, so that it can be sent again."""
    if isinstance(error, errors.OutcomeUnknown):
        return False
    return error.code in (429, 503) or isinstance(error, errors.ServiceNotFound | errors.EndpointNotFound)
