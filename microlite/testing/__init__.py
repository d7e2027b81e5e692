"""Tests of services: a whole platform within the test's own process.

    async with microlite.testing.platform() as p:
        await p.serve(greeter)
        assert await p.call("greeter.hello", name="Ann") == "Hello Ann"

What pytest loads of it at its start is this file and `plugin`: everything else comes with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microlite.core.clock import ManualClock, SystemClock
    from microlite.testing.faults import Fault, Faults
    from microlite.testing.harness import RunningPlatform, platform
    from microlite.testing.served import Served
    from microlite.testing.threaded import blocking_platform

_PLACES = {
    "Fault": "microlite.testing.faults",
    "Faults": "microlite.testing.faults",
    "ManualClock": "microlite.core.clock",
    "RunningPlatform": "microlite.testing.harness",
    "Served": "microlite.testing.served",
    "SystemClock": "microlite.core.clock",
    "blocking_platform": "microlite.testing.threaded",
    "platform": "microlite.testing.harness",
}

__all__ = [
    "Fault",
    "Faults",
    "ManualClock",
    "RunningPlatform",
    "Served",
    "SystemClock",
    "blocking_platform",
    "platform",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'microlite.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value
