"""Packages of npm for tests: fetched when a test runs, held to their hashes, kept in a cache and never committed."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest


class Package(NamedTuple):
    """One package: what npm calls it, and the hash of its archive as npm writes it."""

    name: str
    version: str
    integrity: str


MICRO_CLIENT = (
    Package(
        "micro-js-client",
        "0.0.3",
        "sha512-/x6zMWrwecSf/FULUdMxg8Mf0hOLXH/32JH45mvz65rA3hoZm17Qs7B1PRSaEiLa0SIduAah0779sECV1zGlZg==",
    ),
    Package(
        "axios",
        "0.21.4",
        "sha512-ut5vewkiu8jjGBdqpM44XxjuCjq9LAKeHVmoVfHVzy8eHgxxq8SbAVQNovDA8mVi05kP0Ea/n/UzcSHcTJQfNg==",
    ),
    Package(
        "follow-redirects",
        "1.15.9",
        "sha512-gew4GsXizNgdoRyqmyfMHyAmXsZDk6mHkSxZFCzW9gwlbtOW44CDtYavM+y+72qD/Vq2l550kMF52DT8fOLJqQ==",
    ),
    Package(
        "ws",
        "7.5.10",
        "sha512-+dbF1tHwZpXcbOJdVOkzLDxZP1ailvSxM6ZweXTegylPny803bFhA+vqBYw4s31NSAk4S2Qz+AKXK9a4wkdjcQ==",
    ),
)
"""micro's client for JavaScript, unmodified, with what it loads, in the newest versions that it allows."""


def node_modules(packages: tuple[Package, ...]) -> Path:
    """A folder `node_modules` with these packages, fetched where the cache has them not.

    Skips the test where there is no node, or nothing can be fetched.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("not installed: node and npm")
    key = hashlib.sha256(repr(packages).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "microlite-tests", "npm", key)
    target = cache / "node_modules"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fresh = Path(folder, "node_modules")
            for package in packages:
                _unpack(_fetch(package, Path(folder)), fresh / package.name)
            try:
                fresh.rename(target)
            except OSError:
                assert target.is_dir()  # another test was quicker
    return target


def _fetch(package: Package, folder: Path) -> Path:
    said = subprocess.run(
        ["npm", "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    archive = folder / f"{package.name}-{package.version}.tgz"
    if not archive.is_file():
        pytest.skip(f"{package.name} cannot be fetched from here: {said.stderr.strip()[-200:] or said.returncode}")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{found}" == package.integrity, f"{package.name} {package.version} is not what it was"
    return archive


def _unpack(archive: Path, target: Path) -> None:
    """The files of an archive, whose one folder is called `package`."""
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            name = Path(member.name)
            assert ".." not in name.parts
            assert not name.is_absolute()
            content = packed.extractfile(member) if member.isfile() else None
            if content is not None:
                path = target.joinpath(*name.parts[1:])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
