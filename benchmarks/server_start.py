"""Row: from ``microlite server`` to its first answered request, on a home that exists."""

from __future__ import annotations

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, running, spread


def run(options: Options) -> list[Result]:
    """Start it once to create the home and warm the caches, then measure that many starts."""
    times: list[float] = []
    platform = product.Platform(options)
    with running(platform):
        for _ in range(options.pairs):
            platform.stop_server()
            times.append(platform.start())
    return [spread(Result("server, first answer", unit="ms", budget=Budget(must=800, aim=400)), times)]
