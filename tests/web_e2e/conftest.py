"""A platform of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.web_e2e.running import Running

Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a platform with options of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def start(*options: str) -> Running:
            return stack.enter_context(Running(folder, *options))

        yield start
