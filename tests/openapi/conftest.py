"""The gateway on a real socket, as the tests of `tests/gateway` have it."""

from tests.gateway.gateway_bench import start

__all__ = ["start"]
