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

MAX_EJECTION: Final = 60.0
"""Seconds that it is left out at most."""


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
    first = int(random() * count)
    second = int(random() * (count - 1))
    if second >= first:
        second += 1
    one, other = links[first], links[second]
    if left_out(one, now):
        if not left_out(other, now):
            other.chosen = now
            return other
        healthy = [link for link in links if not left_out(link, now)]
        if healthy:
            one = healthy[int(random() * len(healthy))]
    elif not left_out(other, now) and _is_better(other, one, now):
        one = other
    one.chosen = now
    return one


def left_out(link: Link, now: float) -> bool:
    """Whether a node is ejected: the last calls there all failed on its side, or were not answered in time.

    When its time is over, one more failure ejects it again, for twice as long; an answer makes it as good as new.
    """
    connection = link.connection
    if connection is None:
        return False
    if link.ejected_until:
        if link.ejected_until > now:
            return True
        link.ejected_until = 0.0
        connection.failures = EJECT_AFTER - 1
        return False
    if connection.failures < EJECT_AFTER:
        if not connection.failures:
            link.ejections = 0
        return False
    link.ejected_until = now + min(MAX_EJECTION, EJECT_FOR * 2.0**link.ejections)
    link.ejections += 1
    return True


def _is_better(one: Link, other: Link, now: float) -> bool:
    first, second = one.connection, other.connection
    if first is None or second is None:
        return one.load < other.load
    if not first.latency or not second.latency:
        return first.load < second.load  # one of them has not answered yet: nothing to compare but this
    return one.cost(now) < other.cost(now)
