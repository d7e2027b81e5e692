"""One tree of packages for several Pythons, from hash-locked wheels.

Native modules carry their ABI in the file name (``x.cpython-312-x86_64-linux-gnu.so``), so the trees that an installer
makes for 3.11 to 3.14 merge into one. What no run of microlite reads is left out, native modules are stripped of
symbols, file modes are made equal: the same locks give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FORMAT = 1
"""Raise to have trees of an older form rebuilt."""

# Dragged in by others and not used; the tests of the one file hold that it runs without.
UNUSED_PACKAGES = {"faker", "polyfactory"}
UNUSED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".cpp", ".hpp", ".exe", ".pyc"}
UNUSED_FOLDERS = {"tests", "__pycache__", "bin", "sbom", "sboms"}
# Installers' own records: they differ from one Python to the next, and say nothing about a tree that was merged.
UNUSED_RECORDS = {"RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
# Programs and SQLite extensions that depend on no Python; they differ by build stamps only.
FIRST_ONE_WINS = {"apsw/sqlite_extra_binaries"}


@dataclass(frozen=True)
class Target:
    """What a tree is for: Python minors such as "3.13", and a platform in the words of `uv --python-platform`."""

    pythons: tuple[str, ...]
    platform: str


def _wanted(path: PurePosixPath) -> bool:
    if path.parts[0].partition("-")[0].lower() in UNUSED_PACKAGES:
        return False
    if path.suffix in UNUSED_SUFFIXES or UNUSED_FOLDERS & set(path.parts[:-1]):
        return False
    return not (path.parent.name.endswith(".dist-info") and path.name in UNUSED_RECORDS)


def _install(locks: list[Path], python: str, platform: str, target: Path) -> None:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        sys.exit("uv is missing: install requirements/build.lock (`make` does)")
    words = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    # Copies, not hard links: stripping a link would rewrite uv's cache, and later builds with it.
    words += ["--link-mode", "copy", "--no-config", "--target", str(target)]
    words += ["--python", sys.executable, "--python-version", python, "--python-platform", platform]
    for lock in locks:
        words += ["-r", str(lock)]
    subprocess.run(words, check=True)


def _merge(source: Path, tree: Path) -> None:
    """Add the wanted files of ``source`` to ``tree``; exit where two Pythons want different bytes in one file."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir() or not _wanted(PurePosixPath(relative.as_posix())):
            continue
        target = tree / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & 0o100 and path.suffix not in {".py", ".so"} else 0o644)
        elif path.read_bytes() != target.read_bytes() and relative.parent.as_posix() not in FIRST_ONE_WINS:
            sys.exit(f"{relative} differs between Pythons, and a merged tree can hold only one: fix the pins")


def _strip(tree: Path) -> None:
    """Remove symbols from native code, where binutils are at hand and speak its machine's language."""
    strip = shutil.which("strip")
    if strip is None:
        print("strip is missing (binutils): the file gets bigger", file=sys.stderr)
        return
    native = sorted(path for path in tree.rglob("*") if path.is_file() and _is_elf(path))
    if native:
        modes = {path: path.stat().st_mode for path in native}
        subprocess.run([strip, "--strip-unneeded", "--enable-deterministic-archives", *native], check=True)
        for path, mode in modes.items():
            path.chmod(mode)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def key(locks: list[Path], target: Target) -> str:
    """Return what identifies the tree: locks, target and the rules of this file."""
    seen = hashlib.sha256(repr((FORMAT, target)).encode())
    for path in [Path(__file__), *locks]:
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def build(locks: list[Path], target: Target, work: Path, *, strip: bool) -> Path:
    """Return the tree for ``target``, made below ``work`` unless it is there already."""
    tree = work / f"tree-{key(locks, target)}{'' if strip else '-unstripped'}"
    if tree.is_dir():
        return tree
    aside = work / f"{tree.name}.{os.getpid()}"
    try:
        for python in target.pythons:
            _install(locks, python, target.platform, aside / python)
            _merge(aside / python, aside / "merged")
        if strip:
            _strip(aside / "merged")
        (aside / "merged").rename(tree)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return tree
