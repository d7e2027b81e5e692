"""The gateway on a real socket, as the tests of `tests/gateway` have it; and a session's loop for what needs a browser."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.dashboard.conftest import contexts, desk, enter
from tests.gateway.gateway_bench import bench, start, way, wire

__all__ = ["bench", "contexts", "desk", "enter", "start", "way", "wire"]

_WITH_PLATFORM = ("test_attack_browser.py", "test_attack_dashboard.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser or a whole platform runs in the session's loop, where these are."""
    for item in items:
        here = item.path.parent == Path(__file__).parent and item.path.name in _WITH_PLATFORM
        if here and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
