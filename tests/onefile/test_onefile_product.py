"""The product itself in one file; the other tests of this folder use a stand-in."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.examples.conftest import registry
from tests.onefile.built import PYTHON, ROOT, built, start

__all__ = ["registry"]

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


def test_the_dashboard_of_the_one_file_answers(pyz: Path, tmp_path: Path) -> None:
    """Its templates, scripts and libraries are in the file, without what Litestar drags in besides."""
    home, environ = tmp_path / "h", {"MICROLITE_CACHE": str(tmp_path / "cache"), "PATH": os.environ["PATH"]}
    words = [sys.executable, str(pyz), "--home", str(home), "server", "--port", "0"]
    with subprocess.Popen(words, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            said = [server.stdout.readline() for _ in range(3)]
            assert "dashboard" in said[-1], said
            url = json.loads((home / "server.json").read_text())["dashboard"]
            with urllib.request.urlopen(f"{url}/login", timeout=30) as page:
                text = page.read().decode()
            assert "microlite web" in text
            style = text.partition('rel="stylesheet" href="')[2].partition('"')[0]
            with urllib.request.urlopen(url + style, timeout=30) as answer:
                assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        finally:
            server.terminate()
            assert server.wait(30) == 0


def test_a_new_project_is_tested_with_the_one_file_alone(pyz: Path, tmp_path: Path, registry: None) -> None:
    """Nothing is installed on the machine: pytest comes with the first run, into an environment that is kept."""
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    created = start(pyz, "new", "my-2nd-service", cwd=tmp_path, environ=environ)
    assert (created.returncode, created.stderr) == (0, "")
    for said in ("Installing what the tests need, for this time and those to come\n", ""):
        # Without `site` it sees nothing of what is installed here.
        done = start(pyz, "test", cwd=tmp_path / "my-2nd-service", environ=environ, python=(PYTHON, "-S"))
        assert (done.returncode, done.stderr) == (0, said), done.stdout
        assert "3 passed" in done.stdout
