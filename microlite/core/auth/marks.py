"""Marks: what a token carries, and what is said to hold no more.

The truth about an account, a log-in or a token is its record, which each proof of a token asks. Marks are for what was
proven before, and is remembered here and at nodes: they are kept in memory until the last token that could carry them has
expired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from microlite.core.clock import Clock

LONGEST: Final = 3600.0
"""Seconds that a signed token holds at most, and so a mark that it may carry."""


_PERSONAL: Final = "personal:"


def account_mark(stamp: str) -> str:
    """Of all tokens of an account, until its stamp changes."""
    return f"account:{stamp}"


def family_mark(family: str) -> str:
    """Of the tokens of one log-in."""
    return f"family:{family}"


def personal_mark(id: str) -> str:
    """Of a personal access token, and of those that are signed in its place."""
    return f"{_PERSONAL}{id}"


def is_personal(mark: str) -> bool:
    """Whether it is that of a personal access token."""
    return mark.startswith(_PERSONAL)


def token_mark(id: str) -> str:
    """Of one signed token."""
    return f"token:{id}"


class Marks:
    """The marks that hold no more.

    Args:
        clock: says which need not be remembered any more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # in the order of their ends, since all last equally long
        self._listeners: list[Callable[[tuple[str, ...]], None]] = []

    def subscribe(self, listener: Callable[[tuple[str, ...]], None]) -> None:
        """Call `listener` with marks at the moment at which they hold no more."""
        self._listeners.append(listener)

    def revoke(self, marks: Iterable[str]) -> None:
        """Say that tokens with one of these marks hold no more."""
        gone = tuple(marks)
        self._prune()
        until = self._clock.now() + LONGEST
        for mark in gone:
            self._until.pop(mark, None)
            self._until[mark] = until
        for listener in self._listeners:
            listener(gone)

    def are_revoked(self, marks: Iterable[str]) -> bool:
        """Whether one of them holds no more."""
        return any(mark in self._until for mark in marks)

    def live(self) -> tuple[str, ...]:
        """All of them."""
        self._prune()
        return tuple(self._until)

    def _prune(self) -> None:
        now = self._clock.now()
        while self._until:
            mark = next(iter(self._until))
            if self._until[mark] > now:
                return
            del self._until[mark]
