"""What the tests of the harness share: the fixture that they test."""

from __future__ import annotations

from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]
