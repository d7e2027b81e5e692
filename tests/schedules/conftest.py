"""Fixtures of the tests of schedules."""

from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]
