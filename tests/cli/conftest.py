"""Fixtures of the command line's tests."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from microlite.cli.entry import run
from tests.cli.stand_in import StandIn

UNSET = (
    *("MICROLITE_HOME", "MICROLITE_NAMESPACE", "MICROLITE_ACCOUNT", "MICROLITE_TOKEN"),
    *("MICROLITE_DEBUG", "NO_COLOR"),
)
"""Variables that a test's command lines must not find."""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Microlite = Callable[..., Said]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def platform(home: Path) -> Iterator[StandIn]:
    with StandIn(home) as platform:
        yield platform


@pytest.fixture
def microlite(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microlite:
    """Runs a command line on the test's home, in this process."""
    for variable in UNSET:
        monkeypatch.delenv(variable, raising=False)

    def call(*words: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run(["--home", str(home), *words])
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return call
