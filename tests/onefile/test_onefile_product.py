"""The product itself in one file; the other tests of this folder use a stand-in."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.onefile.built import ROOT, built, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # the first build fetches packages
    pytest.mark.skipif(not (ROOT / "microlite/__main__.py").is_file(), reason="there is no command line to start yet"),
]


@pytest.fixture(scope="module")
def pyz() -> Path:
    return built(ROOT / "microlite", f"microlite{sys.version_info[0]}.{sys.version_info[1]}")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_prepared_answers_are_those_of_the_command_line(pyz: Path, tmp_path: Path, option: str) -> None:
    """What is printed without unpacking is what the installed command prints."""
    cache = tmp_path / "cache"
    said = start(pyz, option, cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)})
    command = [sys.executable, "-m", "microlite", option]
    installed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (said.returncode, said.stdout) == (0, installed.stdout)
    assert not cache.exists()
