"""A home, a folder and a `microlite` on the PATH for those who follow a page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.docs.tutorial_parts import Reader

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Somebody in an empty folder, with a platform folder of his own and a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    programs = tmp_path / "programs"
    programs.mkdir()
    script = programs / "microlite"
    # The page uses the usual port; a test must not.
    script.write_text(
        "#!/bin/sh\n"
        f'case "$1" in run) shift; exec {sys.executable} -m microlite run --port {port} "$@";; esac\n'
        f'exec {sys.executable} -m microlite "$@"\n'
    )
    script.chmod(0o755)
    python = programs / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link to it would not find its environment
    python.chmod(0o755)
    environment = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "MICROLITE_CACHE": str(tmp_path / "cache"),
        "MICROLITE_HOME": str(tmp_path / "home"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    installed = subprocess.run([sys.executable, "-c", "import microlite"], cwd="/", capture_output=True, check=False)
    if installed.returncode:
        environment["PYTHONPATH"] = str(ROOT)
    if not entry_points(group="pytest11", name="microlite"):
        environment["PYTEST_ADDOPTS"] = "-p microlite.testing.plugin"
    folder = tmp_path / "greeter"
    folder.mkdir()
    return Reader(folder, environment, port)
