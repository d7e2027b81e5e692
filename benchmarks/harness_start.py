"""Row: the test harness, from ``async with platform()`` to a platform that is up."""

from __future__ import annotations

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, spread


def run(options: Options) -> list[Result]:
    """Boot it in one process, as a test run does; the first boot, which imports, is a line of its own."""
    first, *others = product.harness_times(options, options.pairs + 1)
    return [
        spread(Result("test harness, platform up", unit="ms", budget=Budget(must=150, aim=60)), others),
        spread(Result("test harness, first in its process", unit="ms", note="informs"), [first]),
    ]
