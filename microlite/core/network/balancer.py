"""The choice among the nodes of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.network.table import Link

EJECT_AFTER: Final = 5
"""Failures in a row after which a node is left out."""

EJECT_FOR: Final = 5.0
"""Seconds for which it is left out the first time; each further time is twice as long, up to a minute."""


def choose(links: Sequence[Link], now: float, random: Callable[[], float]) -> Link:
    """The better one of two nodes picked by chance: the one that should answer sooner.

    "Power of two choices" (Mitzenmacher, 2001) on load times latency. Nodes that failed repeatedly are left out for a
    while, unless all did.

    Args:
        links: at least one.
        now: loop time, in seconds.
        random: gives numbers in [0, 1).
    """
    count = len(links)
    if count == 1:
        return links[0]
    healthy = [link for link in links if link.ejected_until <= now]
    if healthy:
        links = healthy
        count = len(links)
        if count == 1:
            return links[0]
    first = int(random() * count)
    second = int(random() * (count - 1))
    if second >= first:
        second += 1
    one, other = links[first], links[second]
    return one if one.cost() <= other.cost() else other


def note_failure(link: Link, now: float) -> None:
    """A call on this node broke or timed out."""
    link.failures += 1
    if link.failures >= EJECT_AFTER:
        link.failures = 0
        link.ejections += 1
        link.ejected_until = now + min(60.0, EJECT_FOR * 2.0 ** (link.ejections - 1))


def note_success(link: Link) -> None:
    """A call on this node was answered."""
    link.failures = 0
    link.ejections = 0
    link.ejected_until = 0.0
