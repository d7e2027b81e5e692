"""How this microlite was started, and the folder of it that a service's own environment gets."""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from microlite.onefile.folder import LIBRARY, choose
from microlite.version import __version__


def archive() -> Path | None:
    """Return the one file this process was started from; None in other processes and for an installed package."""
    start = sys.modules.get("_microlite_onefile.start")
    path: str | None = getattr(start, "ARCHIVE", None)
    return None if path is None else Path(path)


def extraction() -> Path | None:
    """Return the folder the one file was unpacked to, if this package lies in it, in whatever process.

    It holds ``site-packages/`` and ``library/``. The process that `archive` knows holds a lock on it for life; its
    children live no longer than that process and need none.
    """
    tree = Path(__file__).resolve().parents[3]
    return tree if (tree / ".boot").is_file() and (tree / "library").is_dir() else None


def command() -> list[str]:
    """Return the words that start microlite again as this process was, for a `subprocess`; arguments follow."""
    path = archive()
    return [sys.executable, str(path)] if path is not None else [sys.executable, "-P", "-m", "microlite"]


def library_path() -> Path:
    """Return a folder that holds microlite, msgspec and uvloop, and nothing else.

    A ``.pth`` file that names it gives a service's environment what it needs to be a node, without hiding or adding
    any other package. In an extraction it serves all Pythons of the bundle; for an installed package it is a folder of
    links in the cache, for the running Python's minor version.

    Raises:
        CacheError: no cache folder can be written (installed package only).
    """
    tree = extraction()
    if tree is not None:
        return tree / "library"
    targets = _installed()
    key = hashlib.sha256(repr((__version__, sorted(targets.items()))).encode()).hexdigest()[:16]
    folder = Path(choose(os.environ))
    path = folder / f"library-{key}"
    if not path.is_dir():
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
        for name, target in targets.items():
            (aside / name).symlink_to(target)
        try:
            aside.rename(path)
        except OSError:
            shutil.rmtree(aside)
            if not path.is_dir():  # else another process was first
                raise
    return path


def _installed() -> dict[str, Path]:
    """Return the library's packages and their metadata folders, by name."""
    found: dict[str, Path] = {}
    for name in LIBRARY:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            continue  # uvloop is not everywhere
        package = Path(next(iter(spec.submodule_search_locations))).resolve()
        found[name] = package
        for metadata in package.parent.glob(f"{name}-*.dist-info"):
            found[metadata.name] = metadata
    return found
