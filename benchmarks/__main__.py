"""``python -m benchmarks [ROW …]``: measure the rows, print the table, say which budgets are reached."""

from __future__ import annotations

import argparse
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    backup,
    cli_start,
    config_change,
    decision,
    events,
    gateway,
    harness_start,
    memory,
    reload,
    report,
    scale,
    server_start,
    service_call,
    store,
)
from benchmarks.harness import Options, Result

Row = Callable[[Options], list[Result]]

ROWS: dict[str, Row] = {
    "gateway": gateway.run,
    "service_call": service_call.run,
    "events": events.run,
    "store_write": store.run_write,
    "store_read": store.run_read,
    "cli_start": cli_start.run,
    "server_start": server_start.run,
    "harness_start": harness_start.run,
    "reload": reload.run,
    "config_change": config_change.run,
    "decision": decision.run,
    "memory": memory.run,
    "backup": backup.run,
    "scale": scale.run,
}

_WITH_PEERS = ("gateway", "service_call", "events")


def main() -> int:
    """Run the rows that are named, all when none is. Returns 1 with ``--check`` when a must is missed."""
    arguments = _parse()
    options = Options(
        pairs=arguments.pairs,
        seconds=arguments.seconds,
        python=arguments.python,
        pyz=str(Path(arguments.pyz).resolve()) if arguments.pyz else "",
        peers_only=arguments.peers_only,
    )
    signal.signal(signal.SIGTERM, _leave)
    names = arguments.rows or (_WITH_PEERS if options.peers_only else tuple(ROWS))
    results: list[Result] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            measured = ROWS[name](options)
        except Exception as error:  # an edge: the failure of one row must not lose the figures of the others
            measured = [Result(name, note=f"not measured: {str(error) or type(error).__name__}")]
        results += measured
    print(report.as_json(results) if arguments.output == "json" else report.table(results))
    unmeasured = [result for result in results if result.note.startswith("not measured")]
    return 1 if arguments.check and (unmeasured or report.failed(results)) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*ROWS, []], help=", ".join(ROWS))
    parser.add_argument("--pairs", type=int, default=10, help="interleaved rounds, also repeats (default 10)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="length of one measurement of throughput (default 1)"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter of the product and of the Python peers")
    parser.add_argument("--pyz", default="", help="measure this built file instead of the source tree")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--peers-only", action="store_true", help="measure only what we compare with")
    parser.add_argument("--check", action="store_true", help="end with 1 when a must is missed or not measured")
    return parser.parse_args()


def _leave(number: int, frame: types.FrameType | None) -> None:
    """Leave by an exception, so that every `finally` ends its processes."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
