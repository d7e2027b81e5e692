"""Streams that are under way: they end when what they were allowed by is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from microlite.core.context import Account

FEWEST: Final = 64
"""So many are kept before those that are over are looked for; later, twice as many as were found to go on."""


class Stream(NamedTuple):
    """One stream.

    Attributes:
        marks: those of the token that was shown, or of the account.
        end: ends it from outside, with the reason.
        is_over: whether it has ended.
    """

    account: Account | None
    marks: tuple[str, ...]
    namespace: str
    service: str
    endpoint: str
    scopes: Collection[str]
    end: Callable[[errors.Error], None]
    is_over: Callable[[], bool]


class Standing:
    """All streams that came in over HTTP and the wire.

    A stream does not end when its token expires: whoever was let in may go on. It ends when the token, its log-in or its
    account is revoked, and when a rule comes that would not let it begin.

    Args:
        check: lets a call pass, or raises why not; counts nothing.
    """

    def __init__(self, check: Callable[[Account | None, str, str, str, Collection[str]], None]) -> None:
        self._check = check
        self._streams: list[Stream] = []
        self._look_at = FEWEST

    def add(self, stream: Stream) -> None:
        """Keep one, until it is over."""
        self._streams.append(stream)
        if len(self._streams) >= self._look_at:
            self._streams = [one for one in self._streams if not one.is_over()]
            self._look_at = max(FEWEST, 2 * len(self._streams))

    def revoked(self, marks: Collection[str]) -> None:
        """These marks hold no more."""
        gone = set(marks)
        for one in list(self._streams):
            if not gone.isdisjoint(one.marks):
                self._end(one, errors.Unauthorized("what this stream was opened with holds no more; log in again"))

    def ruled(self, namespace: str) -> None:
        """The rules of a namespace have changed."""
        for one in list(self._streams):
            if one.namespace == namespace and not one.is_over():
                try:
                    self._check(one.account, namespace, one.service, one.endpoint, one.scopes)
                except errors.Error as error:
                    self._end(one, error)

    def _end(self, stream: Stream, error: errors.Error) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
        if not stream.is_over():
            stream.end(error)
