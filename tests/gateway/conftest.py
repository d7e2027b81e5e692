"""Makes the fixtures of `gateway_bench` known here."""

from tests.gateway.gateway_bench import bench, pytest_asyncio_loop_factories, start, way, wire

__all__ = ["bench", "pytest_asyncio_loop_factories", "start", "way", "wire"]
