"""What microlite is measured against. Each peer is a `benchmarks.harness.Side` in a file of its own."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

PIP = "pip install -r requirements/bench.lock"
NPM = "npm install --prefix benchmarks/peers/moleculer"


class PeerMissingError(Exception):
    """A peer is not installed; the message names the command that installs it."""

    def __init__(self, name: str, install: str) -> None:
        super().__init__(f"peer missing: {name}; `{install}`, or `make bench`")


def require_module(name: str) -> None:
    """Raise `PeerMissingError` when a Python module that only the benchmarks need is not installed."""
    if importlib.util.find_spec(name) is None:
        raise PeerMissingError(name, PIP)


def require_program(name: str, install: str) -> str:
    """Return the path of a program, on PATH, in ``/usr/sbin`` or beside the running Python.

    Raises:
        PeerMissingError: When there is none.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=f"{beside}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise PeerMissingError(name, install)
    return found
