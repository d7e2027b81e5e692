"""The built file, for the tests beside this module: made once per content of its inputs, and kept in .pyz-cache/.

What is packed is a stand-in for the product: its `microlite/onefile` around a `main` that does what a test asks for, so
that these tests hold the file to its word whatever the rest of the product does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".pyz-cache"
PYTHON: str = getattr(sys, "_base_executable", sys.executable)
"""The interpreter outside any virtual environment: it sees none of the development packages."""

MAIN = """
import json, os, sys

def probe():
    import aiohttp, apsw, click, httptools, msgspec, prometheus_client, psutil, uvicorn, uvloop, watchfiles
    from microlite import onefile
    ours = [aiohttp, apsw, click, httptools, msgspec, prometheus_client, psutil, uvicorn, uvloop, watchfiles, onefile]
    return {
        "files": [module.__file__ for module in ours], "path": sys.path, "environ": dict(os.environ),
        "archive": str(onefile.archive()), "extraction": str(onefile.extraction()), "command": onefile.command(),
        "library": str(onefile.library_path()), "argv": sys.argv,
    }

def hold():
    print("ready", flush=True)
    sys.stdin.read()

def clean():
    from microlite.onefile import clean
    return clean()._asdict()

def compile():
    from microlite.onefile.bytecode import compile_in_background
    running = compile_in_background()
    if running is None:
        return None
    try:
        return running.wait(50)
    finally:
        running.close()

def compile_and_hang():
    from microlite.onefile.bytecode import compile_in_background
    running = compile_in_background()
    print(running.pid, flush=True)
    sys.stdin.read()

def main():
    word = "".join(sys.argv[1:])
    if word == "--help":
        print("Usage: stand-in")
    elif word == "fail":
        return 7
    else:
        told = globals()[word]()
        print(json.dumps(told))

if __name__ == "__main__":
    sys.exit(main())
"""


def _inputs(source: Path) -> list[Path]:
    places = [ROOT / "scripts", ROOT / "requirements", source]
    files = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
    return [path for path in files if path.suffix != ".pyc"] + [ROOT / "pyproject.toml", ROOT / "LICENSE"]


def build(source: Path, output: Path, work: Path, **environ: str) -> None:
    """Build the package folder ``source`` for the running Python."""
    words = [sys.executable, str(ROOT / "scripts/build_zipapp.py"), "--python", "current", "--source", str(source)]
    done = subprocess.run(
        [*words, "--output", str(output), "--work", str(work)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def write_stand_in(folder: Path) -> Path:
    """Write the stand-in's package into ``folder`` and return its path."""
    package = folder / "microlite"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "microlite/version.py", package)
    shutil.copytree(ROOT / "microlite/onefile", package / "onefile", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(MAIN)
    return package


def built(source: Path, name: str) -> Path:
    """Return the file built from ``source``, from the cache where its inputs have not changed."""
    seen = hashlib.sha256(repr(sys.version_info[:3]).encode())
    for path in _inputs(source):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel test processes build it once
        file = CACHE / f"{name}-{seen.hexdigest()[:16]}.pyz"
        if not file.exists():
            for old in CACHE.glob(f"{name}-*.pyz"):
                old.unlink()
            build(source, file, CACHE / "work")
    return file


def stand_in(folder: Path) -> Path:
    """Return the built stand-in; ``folder`` is scratch space."""
    return built(write_stand_in(folder), f"standin{sys.version_info[0]}.{sys.version_info[1]}")


def start(
    pyz: Path, *words: str, cwd: Path, environ: Mapping[str, str], python: tuple[str, ...] = (PYTHON,), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the file with nothing but ``environ`` in its environment."""
    command = [*python, str(pyz), *words]
    return subprocess.run(command, cwd=cwd, env=dict(environ), capture_output=True, text=True, check=False, **options)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    """Return what a successful run of the stand-in said."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a run that ended with code 1 and nothing else to say."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip("\n")


def extractions(cache: Path) -> list[Path]:
    """Return the complete extractions in the cache folder."""
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))
