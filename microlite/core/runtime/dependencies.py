"""Which services need which: what is wrong about it, and in which order they end. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    Needs = Mapping[str, Collection[str]]
    """Each service with the names of those that it depends on."""


def check_needs(wanted: Needs, others: Needs) -> None:
    """Refuse services that could never start.

    Args:
        wanted: the services that are to be started.
        others: those that are there already.

    Raises:
        BadRequest: one of them depends on a service that is in neither, or on itself by way of others; names them.
    """
    needs = {**others, **wanted}
    for name, needed in wanted.items():
        for other in needed:
            if other not in needs:
                near = difflib.get_close_matches(other, needs, n=1)
                hint = f"; did you mean {near[0]}?" if near else f": run it first, or along with {name}"
                raise errors.BadRequest(
                    f"{name} depends on {other}, which neither is among the services to run nor runs already{hint}"
                )
    for name in wanted:
        circle = _circle(name, needs)
        if circle:
            raise errors.BadRequest(f"services depend on each other in a circle: {' → '.join(circle)}")


def _circle(name: str, needs: Needs) -> Sequence[str]:
    """The shortest way from a service back to itself; empty if there is none."""
    ways = [[name, other] for other in needs.get(name, ())]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        if way[-1] == name:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, other] for other in needs.get(way[-1], ())]
    return ()


def start_order(needs: Needs) -> list[str]:
    """The services so that each comes behind what it depends on; a circle is cut somewhere."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name in needs and name not in entered:
            entered.add(name)
            for other in needs[name]:
                yield from visit(other)
            yield name

    for name in needs:
        order.update(dict.fromkeys(visit(name)))
    return list(order)


def ends_before(needs: Needs) -> dict[str, list[str]]:
    """For each service, those that have to end before it does: what depends on it, circles aside."""
    order = start_order(needs)
    rank = {name: number for number, name in enumerate(order)}
    return {name: [other for other in order if name in needs[other] and rank[other] > rank[name]] for name in order}
