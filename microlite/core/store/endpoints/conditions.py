"""The conditions that a caller states in headers of HTTP, `If-Match` and `If-None-Match` (RFC 9110, section 13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from microlite.core import errors
from microlite.core.store.api import Expectation, Presence

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from microlite.core.library.context import Context

T = TypeVar("T")

_TAG: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,15})"')


class Condition:
    """What must hold of a record, from the request or from its headers.

    Headers count only of whoever asks the store itself: those that a service passes on with its calls were meant for the
    service.

    Args:
        ctx: of the call.
        expect: what the request says.

    Raises:
        BadRequest: both say something, or a header names no revision.
    """

    __slots__ = ("by_header", "expect")

    def __init__(self, ctx: Context, expect: Expectation) -> None:
        self.expect = expect
        self.by_header = False
        metadata = ctx.metadata
        if ("if-match" in metadata or "if-none-match" in metadata) and not ctx.calling_service:
            if expect is not None:
                raise errors.BadRequest("expect: leave it out where If-Match or If-None-Match says what is expected")
            self.expect = _from_headers(metadata.get("if-match"), metadata.get("if-none-match"))
            self.by_header = True

    def hold(self, change: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """A change that is made under this condition; to be awaited.

        Raises:
            Conflict: it does not hold, and the request said it.
            PreconditionFailed: it does not hold, and a header said it.
        """
        return _fail_by_header(change) if self.by_header else change


def last_event(ctx: Context) -> int | None:
    """What a browser that opens an event stream again says that it had last; None for nothing of ours."""
    text = ctx.metadata.get("last-event-id", "")
    return int(text) if text.isdecimal() and len(text) <= 15 and not ctx.calling_service else None


async def _fail_by_header(change: Coroutine[Any, Any, T]) -> T:
    try:
        return await change
    except errors.Conflict as error:
        raise errors.PreconditionFailed(error.detail) from None


def _from_headers(if_match: str | None, if_none_match: str | None) -> Expectation:
    if if_none_match is not None:
        if if_none_match.strip() == "*" and if_match is None:
            return Presence.ABSENT
        raise errors.BadRequest("If-None-Match: for a change only * is possible, alone: the record must not be there")
    assert if_match is not None
    if if_match.strip() == "*":
        return Presence.PRESENT
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise errors.BadRequest('If-Match: give the ETag of the record, one revision in quotes as in "42", or *')
    return int(tag[1])
