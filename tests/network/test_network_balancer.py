"""The choice among nodes: the faster and the less busy one, none that fails, each of them now and then."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from microlite.core.network.balancer import EJECT_AFTER, EJECT_FOR, MAX_EJECTION, choose, left_out
from microlite.core.network.table import Link

if TYPE_CHECKING:
    from microlite.core.rpc.connection import Connection


def link(name: str, *, load: int = 0, latency: float = 0.0, failures: int = 0) -> Link:
    """A way to a node of which this is known."""
    connection = SimpleNamespace(load=load, latency=latency, failures=failures)
    return Link(name, generation=0, version="1", address="", connection=cast("Connection", connection))


def known(link: Link) -> Any:
    """What a test changes about a node."""
    return link.connection


def chosen(links: list[Link], *, now: float = 100.0, times: int = 400) -> Counter[str]:
    """How often each node is chosen within an instant."""
    chance = random.Random(1)
    return Counter(choose(links, now, chance.random).node for _ in range(times))


def test_a_single_node_takes_everything() -> None:
    assert chosen([link("a")]) == {"a": 400}


def test_equal_nodes_share_alike() -> None:
    shares = chosen([link(name, load=1, latency=0.01) for name in "abcd"])
    assert set(shares) == set("abcd")
    assert max(shares.values()) < 2 * min(shares.values())


def test_the_faster_node_is_preferred_and_so_is_the_less_busy_one() -> None:
    assert chosen([link("fast", latency=0.001), link("slow", latency=0.1)])["fast"] > 390
    assert chosen([link("idle", load=1, latency=0.01), link("busy", load=50, latency=0.01)])["idle"] > 390
    even = [link("fast but busy", load=9, latency=0.001), link("slow but idle", load=0, latency=0.01)]
    assert min(chosen(even).values()) > 0 or len(chosen(even)) == 1


def test_of_three_the_slowest_gets_least() -> None:
    shares = chosen([link("a", latency=0.001), link("b", latency=0.002), link("c", latency=0.003)])
    assert shares["a"] > shares["b"] > shares["c"]


def test_a_node_that_has_not_answered_yet_is_measured_by_its_load_alone() -> None:
    fresh, old = link("fresh", load=3), link("old", load=2, latency=0.5)
    assert chosen([fresh, old]) == {"old": 400}
    known(fresh).load = 1
    assert chosen([fresh, old]) == {"fresh": 400}


def test_a_node_that_was_slow_once_is_tried_again_after_a_while() -> None:
    slow, fast = link("slow", latency=0.05), link("fast", latency=0.001)
    chance = random.Random(1)
    choose([slow, fast], 0.0, chance.random)
    assert choose([slow, fast], 1.0, chance.random).node == "fast"
    choices = []
    for second in range(2, 30):
        choices += [choose([slow, fast], second + turn / 10, chance.random).node for turn in range(10)]
    assert 1 <= choices.count("slow") <= 20


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_a_failing_node_is_left_out_and_comes_back(nodes: int) -> None:
    links = [link(str(number), latency=0.01) for number in range(nodes)]
    known(links[0]).latency = 0.0001  # it fails fast
    known(links[0]).failures = EJECT_AFTER - 1
    assert chosen(links)["0"] > 0, "not yet"
    known(links[0]).failures = EJECT_AFTER
    shares = chosen(links, now=100)
    assert "0" not in shares
    assert len(shares) == nodes - 1
    assert "0" not in chosen(links, now=100 + EJECT_FOR - 0.01)
    assert chosen(links, now=100 + EJECT_FOR + 0.01)["0"] > 0


def test_one_more_failure_ejects_it_again_for_longer_and_an_answer_forgives_all() -> None:
    node = link("a", failures=EJECT_AFTER)
    now, times = 0.0, []
    for _ in range(6):
        assert left_out(node, now)
        times.append(node.ejected_until - now)
        now = node.ejected_until
        assert not left_out(node, now), "its time is over"
        known(node).failures += 1
    assert times == [EJECT_FOR, 2 * EJECT_FOR, 4 * EJECT_FOR, 8 * EJECT_FOR, MAX_EJECTION, MAX_EJECTION]
    known(node).failures = 0
    assert not left_out(node, now)
    known(node).failures = EJECT_AFTER
    assert left_out(node, now)
    assert node.ejected_until - now == EJECT_FOR


def test_where_all_nodes_fail_all_are_used() -> None:
    links = [link(name, failures=EJECT_AFTER, latency=0.01) for name in "abc"]
    assert set(chosen(links)) == set("abc")


def test_programs_are_chosen_by_the_requests_that_run_on_them() -> None:
    one, other = [Link(name, generation=0, version="1", address="http://x") for name in "ab"]
    one.leases = 3
    assert chosen([one, other]) == {"b": 400}
