"""Measure sides in turn (A B A B …) and judge the medians of their ratios against a budget."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from benchmarks.peers import PeerMissingError

ENOUGH_PAIRS = 10
"""Single pairs swing by half on a busy machine: a result of fewer pairs than this says so."""


class Options(msgspec.Struct, frozen=True):
    """What the command line says.

    Attributes:
        pairs: Interleaved rounds; single measurements are repeated as often.
        seconds: Length of one measurement of throughput.
        python: The interpreter for the product and for the peers written in Python.
        pyz: A built one-file ``microlite``; empty for the source tree.
        peers_only: Measure only what we compare with.
    """

    pairs: int
    seconds: float
    python: str
    pyz: str = ""
    peers_only: bool = False


class Sample(msgspec.Struct, frozen=True):
    """One measurement: a rate per second, or a duration in ms; and the processor time in µs for each operation."""

    value: float
    cpu_us: float = 0.0


class Startable(Protocol):
    """Something with processes."""

    def start(self) -> object:
        """Bring it up, ready for work. Raises `PeerMissingError` when it is not installed."""

    def stop(self) -> None:
        """End all its processes. May be called twice, and before `start`."""


class Side(Startable, Protocol):
    """One of the programs that are compared."""

    name: str

    def measure(self, seconds: float) -> Sample:
        """Keep it busy for about ``seconds`` and say what it did."""


_S = TypeVar("_S", bound=Startable)


class Budget(msgspec.Struct, frozen=True):
    """The bar: ``must`` be reached, ``aim`` is what a prototype says can be; ``at_least`` when more is better."""

    must: float
    aim: float
    at_least: bool = False

    def verdict(self, value: float) -> tuple[bool, bool]:
        """Return whether a value reaches must and aim."""
        if self.at_least:
            return value >= self.must, value >= self.aim
        return value <= self.must, value <= self.aim


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the table.

    Attributes:
        what: What was measured.
        against: The peer, empty when there is none.
        unit: Of ``median``, ``low``, ``high`` and the budget: ``×``, ``ms``, ``MB``, or ``calls``.
        median: Of the rounds' ratios, differences or values; none when nothing could be measured.
        low: The least of the rounds.
        high: The greatest of the rounds.
        rounds: How many there were.
        budget: The bar, none for a line that only informs.
        ours: Median of our own values, in ``side_unit``.
        theirs: Median of the peer's values, in ``side_unit``.
        side_unit: ``/s`` or ``ms``.
        cpu_ours: Median processor time of our processes in µs for each operation.
        cpu_theirs: The same of the peer's processes.
        note: What a reader must know, such as how to install a peer that is missing.
    """

    what: str
    against: str = ""
    unit: str = ""
    median: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    budget: Budget | None = None
    ours: float | None = None
    theirs: float | None = None
    side_unit: str = ""
    cpu_ours: float | None = None
    cpu_theirs: float | None = None
    note: str = ""


def compare(
    what: str,
    ours: Callable[[], Side],
    peers: Sequence[tuple[Side, Budget]],
    options: Options,
) -> list[Result]:
    """Measure our throughput and each peer's in turn; one result, a ratio, for each peer.

    All sides are up all the time and idle while another is measured. Each gets one short measurement first that does
    not count. A peer that is not installed yields a result whose note says how to install it.
    """
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        present: list[tuple[Side, Budget]] = []
        for peer, budget in peers:
            try:
                stack.enter_context(running(peer))
            except PeerMissingError as missing:
                results.append(Result(what, peer.name, budget=budget, note=str(missing)))
            else:
                present.append((peer, budget))
        if not present:
            return results
        sides = [peer for peer, _ in present]
        own: Side | None = None
        if not options.peers_only:
            own = stack.enter_context(running(ours()))
            sides.insert(0, own)
        samples = interleave(sides, options)
    for peer, budget in present:
        theirs = samples[peer.name]
        if own is None:
            results.append(
                Result(
                    what, peer.name, theirs=_median(theirs), side_unit="/s", cpu_theirs=_cpu(theirs), note="peer only"
                )
            )
            continue
        mine = samples[own.name]
        ratios = [a.value / b.value for a, b in zip(mine, theirs, strict=True)]
        results.append(
            spread(
                Result(
                    what,
                    peer.name,
                    unit="×",
                    budget=budget,
                    ours=_median(mine),
                    theirs=_median(theirs),
                    side_unit="/s",
                    cpu_ours=_cpu(mine),
                    cpu_theirs=_cpu(theirs),
                ),
                ratios,
            )
        )
    return results


def interleave(sides: Sequence[Side], options: Options) -> dict[str, list[Sample]]:
    """Measure the sides in turn, round by round, after one warm-up each. Keys are the sides' names."""
    for side in sides:
        side.measure(min(0.5, options.seconds))
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for _ in range(options.pairs):
        for side in sides:
            samples[side.name].append(side.measure(options.seconds))
    return samples


def spread(result: Result, values: Sequence[float]) -> Result:
    """Fill in median, least and greatest of the rounds, and a note when they are too few to trust."""
    note = result.note
    if len(values) < ENOUGH_PAIRS and not note:
        note = f"only {len(values)} rounds, {ENOUGH_PAIRS} make a result"
    return msgspec.structs.replace(
        result, median=statistics.median(values), low=min(values), high=max(values), rounds=len(values), note=note
    )


@contextlib.contextmanager
def running(side: _S) -> Iterator[_S]:
    """Start a side, or a part of one, and stop it whatever happens, a failed start included."""
    try:
        side.start()
        yield side
    finally:
        side.stop()


def _median(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.value for sample in samples)


def _cpu(samples: Sequence[Sample]) -> float:
    return statistics.median(sample.cpu_us for sample in samples)
