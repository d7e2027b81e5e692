"""Each mistake of `docs/howto/when-something-goes-wrong.md`, made for real: what is said is what the page says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.tutorial_parts import Reader

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "when-something-goes-wrong.md"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PORT = "18080"
"""The port that the page takes, and the test must not."""


def sections() -> dict[str, str]:
    _, *parts = SECTION.split(PAGE.read_text(encoding="utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


class Desk(NamedTuple):
    """Where mistakes are made."""

    environment: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A platform that runs, and a `microlite` on the PATH that knows it."""
    folder = tmp_path_factory.mktemp("mistakes")
    programs = folder / "programs"
    programs.mkdir()
    for name, words in (("microlite", "-m microlite"), ("python3", "")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        script.chmod(0o755)
    environment = {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "MICROLITE_CACHE": str(folder / "cache"),
        "MICROLITE_HOME": str(folder / "home"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "microlite", "server", "--port", "0", "--ready-fd", str(theirs)]
    with subprocess.Popen(command, env=environment, pass_fds=(theirs,), stdout=subprocess.DEVNULL) as server:
        os.close(theirs)
        with os.fdopen(ours) as said:
            assert said.read() == "ready"
        yield Desk(environment, folder)
        server.terminate()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("title", sections())
def test_a_mistake_is_told_in_the_words_of_the_page(desk: Desk, tmp_path: Path, title: str, free_port: int) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    Reader(folder, desk.environment, free_port).follow(sections()[title].replace(PORT, "8080"))


def test_the_page_has_the_twenty_most_likely_mistakes() -> None:
    assert len(sections()) >= 20
