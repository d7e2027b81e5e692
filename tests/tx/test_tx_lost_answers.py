"""A commit whose answer was lost takes place once, and its caller learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from microlite import errors
from microlite.core.library.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Lossy(Caller):
    """Loses the answers of transactions, after they took place or before they arrived.

    Attributes:
        lost: what still happens to calls: `after` or `before`, `gone` for a platform that is not there any more.
    """

    __slots__ = ("lost",)

    lost: list[str]

    @classmethod
    def over(cls, caller: Caller, *lost: str) -> Lossy:
        made = cls(caller._transport, namespace=caller._namespace)
        made.lost = list(lost)
        return made

    def call_raw(
        self, service: str, endpoint: str, payload: bytes, *, idempotent: bool = False
    ) -> Coroutine[Any, Any, bytes]:
        call = super().call_raw(service, endpoint, payload, idempotent=idempotent)
        return self._lose(call) if service == "tx" else call

    async def _lose(self, call: Coroutine[Any, Any, bytes]) -> bytes:
        what = self.lost.pop(0) if self.lost else ""
        if what == "gone":
            call.close()
            raise errors.ServiceUnavailable("nobody listens")
        if what == "before":
            call.close()
            raise errors.OutcomeUnknown("the connection broke")
        answer = await call
        if what == "after":
            raise errors.OutcomeUnknown("the connection broke")
        return answer


@pytest.mark.parametrize("lost", [("after",), ("before",), ("before", "after", "after"), ("after",) * 4])
async def test_it_is_sent_again_and_takes_place_once(m: Caller, lost: tuple[str, ...]) -> None:
    caller = Lossy.over(m, *lost)
    async with caller.transaction() as tx:
        await tx.store.increment("n")
        tx.events.publish("t", 1)
    assert await m.store.read("n") == 1
    assert [event["id"] for event in await m.call("events.read", topic="t")] == [tx.published[0].id]
    record = await m.store.get("n")
    assert record is not None
    assert (record.revision, tx.repeated) == (tx.revision, False)


@pytest.mark.parametrize("lost", [("after",) * 5, ("before",) * 5, ("after", "gone"), ("before", "gone")])
async def test_what_cannot_be_learned_is_told_and_can_be_asked_later(m: Caller, lost: tuple[str, ...]) -> None:
    caller = Lossy.over(m, *lost)
    tx = caller.transaction()
    tx.store.write("a", 1)
    with pytest.raises(errors.OutcomeUnknown, match=f"tx.outcome knows it by its id {tx.id}"):
        await tx.commit()
    if lost[0] == "after":
        assert (await m.call("tx.outcome", id=tx.id))["revision"] > 0
    else:
        with pytest.raises(errors.NotFound):
            await m.call("tx.outcome", id=tx.id)


async def test_one_that_was_not_started_says_so(m: Caller) -> None:
    caller = Lossy.over(m, "gone")
    tx = caller.transaction()
    tx.store.write("a", 1)
    with pytest.raises(errors.ServiceUnavailable) as said:
        await tx.commit()
    assert not isinstance(said.value, errors.OutcomeUnknown)
