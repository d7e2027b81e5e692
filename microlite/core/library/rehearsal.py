"""What a node does first, done beforehand in the fork server, so that its nodes share the memory it takes.

Importing this loads what running a service loads late, and compiles an endpoint that nobody calls.
"""

from __future__ import annotations

from microlite.core.description import compile_endpoint
from microlite.core.library import dispatch, node, peers, service

__all__ = ["dispatch", "node", "peers", "service"]


async def sample(name: str = "world", times: int = 1) -> list[str]:
    """Greet.

    Args:
        name: who is greeted.
        times: how often.
    """
    return [name] * times


for _ in range(20):  # often enough for the interpreter to settle on its fast paths
    _endpoint = compile_endpoint(sample, "sample")
    _endpoint.decode_request(b'{"name":"x"}', 1)
    _endpoint.encode_response([], 1)
    _service = service.Service("sample")
    _service.endpoint(sample)
    _service.describe()
del _endpoint, _service
