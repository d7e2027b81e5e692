"""What the tests of joining share."""

from __future__ import annotations

from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]
