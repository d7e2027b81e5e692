"""Row: gateway to a user's service, JSON, 32 connections, against a bare ASGI app alone and behind nginx."""

from __future__ import annotations

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, Side, compare
from benchmarks.peers.bare_asgi import BareAsgi
from benchmarks.peers.nginx import Nginx


def run(options: Options) -> list[Result]:
    """Measure all three in turn. The bare app does the service's work without any hop."""
    budget = Budget(must=1.0, aim=1.3, at_least=True)
    peers: list[tuple[Side, Budget]] = [(BareAsgi(options.python), budget), (Nginx(options.python), budget)]
    return compare("gateway → service", lambda: product.Gateway(options), peers, options)
