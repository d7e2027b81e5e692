"""What the tests of the broker share: a platform in their own process."""

from __future__ import annotations

from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]
