"""Row: resident memory of the platform, and what each further plain node adds."""

from __future__ import annotations

import statistics

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, running, spread
from benchmarks.processes import pss_megabytes, rss_megabytes

_NODES = 8


def run(options: Options) -> list[Result]:
    """Measure a platform that has served requests, then the growth when eight more nodes run.

    The growth counts every process, the platform and the fork server too, shared pages once: what a machine really
    needs for one node more. The nodes' own figures are a line that informs.
    """
    gateway = product.Gateway(options)
    with running(gateway):
        platform = gateway.platform
        gateway.measure(1)
        resident = rss_megabytes(platform.pid)
        before = sum(pss_megabytes(pid) for pid in platform.pids())
        platform.deploy_echo("crowd", "--instances", str(_NODES))
        nodes: set[int] = set()

        def all_seen() -> bool:
            nodes.add(int(platform.number("/crowd/pid", {})))
            return len(nodes) == _NODES

        platform.wait(f"{_NODES} nodes answering", all_seen)
        after = sum(pss_megabytes(pid) for pid in platform.pids())
        own = [pss_megabytes(pid) for pid in nodes]
    grown = (after - before) / _NODES
    return [
        spread(Result("platform, RSS", unit="MB", budget=Budget(must=100, aim=70), note="one reading"), [resident]),
        spread(
            Result("each further node, PSS", unit="MB", budget=Budget(must=6, aim=4), note=f"mean of {_NODES}"), [grown]
        ),
        spread(Result("a node's own PSS", unit="MB", note=f"informs; median {statistics.median(own):.1f}"), own),
    ]
