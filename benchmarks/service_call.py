"""Row: a call from one service to another, 32 at a time, against other ways of asking another process."""

from __future__ import annotations

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, Side, compare
from benchmarks.peers.grpc_aio import GrpcAio
from benchmarks.peers.moleculer_tcp import MoleculerTcp
from benchmarks.peers.nats_rpc import NatsRequestReply


def run(options: Options) -> list[Result]:
    """Measure all four in turn. Every side has one process that calls and one that answers."""
    peers: list[tuple[Side, Budget]] = [
        (GrpcAio(options.python), Budget(must=15, aim=30, at_least=True)),
        (NatsRequestReply(options.python), Budget(must=2.5, aim=4, at_least=True)),
        (MoleculerTcp(), Budget(must=1.2, aim=2, at_least=True)),
    ]
    return compare("service → service", lambda: product.ServiceCall(options), peers, options)
