"""Row: what it costs to decide about a call, and how many can log in."""

from __future__ import annotations

import statistics

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, interleave, running, spread


def run(options: Options) -> list[Result]:
    """Measure decisions in a process of their own, then log-ins over HTTP.

    A log-in costs what a hash of a secret has to cost. Two are made at the same time, and 32 are made or wait: whoever
    comes then is told to come again (429), as is who tries more than ten times a minute for one account without success.
    """
    cached, anew = product.decision_times(options, options.pairs)
    log_ins = product.LogIns(options)
    with running(log_ins):
        samples = interleave([log_ins], options)[log_ins.name]
    cost = statistics.median(sample.cpu_us for sample in samples) / 1000
    return [
        spread(Result("decision, made before", unit="µs", budget=Budget(must=5, aim=1)), cached),
        spread(
            Result("decision, anew, 1,000 rules", unit="µs", note="informs; once for each account and endpoint"), anew
        ),
        spread(
            Result(
                "log-ins, 4 at a time",
                unit="/s",
                note=f"informs; {cost:.0f} ms of a core for each; two hashes are made at the same time",
            ),
            [sample.value for sample in samples],
        ),
    ]
