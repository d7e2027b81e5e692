"""Row: durable events: published 64 at a time, on their way to a handler one at a time, and handled by a group."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from benchmarks.harness import Budget, Options, Result, Side, compare, running, spread
from benchmarks.peers import PeerMissingError
from benchmarks.peers.jetstream import JetStream
from benchmarks.peers.redis_stream import RedisStream
from benchmarks.peers.streaming import StreamingPeer
from benchmarks.product_events import Events


class _Timed(Protocol):
    """What both sides can do besides publishing as fast as they can."""

    def latencies(self, count: int) -> list[float]: ...

    def drain(self, count: int) -> float: ...


_Measure = Callable[[_Timed], list[float]]

EVENTS_ON_THEIR_WAY = 200
"""Timed in each round."""

EVENTS_IN_LINE = 10_000
"""Handled in each round."""


def run(options: Options) -> list[Result]:
    """Measure throughput, delay and draining. Every side has a server, a process that publishes and one that handles."""
    return [*_published(options), *_under_way(options), *_handled(options)]


def _published(options: Options) -> list[Result]:
    peers: list[tuple[Side, Budget]] = [
        (JetStream(options.python, sync=True), Budget(must=5, aim=14, at_least=True)),
        (JetStream(options.python, sync=False), Budget(must=1, aim=2, at_least=True)),
        (RedisStream(options.python), Budget(must=1.5, aim=3, at_least=True)),
    ]
    return compare("events published", lambda: Events(options), peers, options)


def _under_way(options: Options) -> list[Result]:
    """The ms from publish to handler, medians and 99th percentiles of each round."""
    bar = Budget(must=1.5, aim=1)
    results: list[Result] = []
    for peer, budget in ((JetStream(options.python, sync=False), bar), (RedisStream(options.python), None)):
        samples = _in_turn(peer, options, lambda side: side.latencies(EVENTS_ON_THEIR_WAY))
        if isinstance(samples, str):
            results.append(Result("publish → handler p50", peer.name, budget=budget, note=samples))
            continue
        for name, cut, its_budget in (("p50", 49, budget), ("p99", 98, None)):
            ours, theirs = ([statistics.quantiles(round_, n=100)[cut] for round_ in side] for side in samples)
            results.append(
                _ratio(Result(f"publish → handler {name}", peer.name, budget=its_budget), ours, theirs, "ms")
            )
    return results


def _handled(options: Options) -> list[Result]:
    """Events a second through a group, each acknowledged. JetStream acknowledges without an answer."""
    results: list[Result] = []
    for peer in (JetStream(options.python, sync=True), RedisStream(options.python)):
        samples = _in_turn(peer, options, lambda side: [side.drain(EVENTS_IN_LINE)])
        if isinstance(samples, str):
            results.append(Result("events handled", peer.name, note=samples))
            continue
        ours, theirs = ([rates[0] for rates in side] for side in samples)
        results.append(_ratio(Result("events handled", peer.name), ours, theirs, "/s"))
    return results


def _in_turn(
    peer: StreamingPeer, options: Options, measure: _Measure
) -> tuple[list[list[float]], list[list[float]]] | str:
    """What both sides measure, round by round; or why the peer cannot."""
    own = Events(options)
    try:
        with running(peer), running(own):
            measure(peer)
            measure(own)
            pairs = [(measure(own), measure(peer)) for _ in range(options.pairs)]
    except PeerMissingError as missing:
        return str(missing)
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def _ratio(result: Result, ours: Sequence[float], theirs: Sequence[float], unit: str) -> Result:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    filled = msgspec.structs.replace(
        result, unit="×", ours=statistics.median(ours), theirs=statistics.median(theirs), side_unit=unit
    )
    return spread(filled, ratios)
