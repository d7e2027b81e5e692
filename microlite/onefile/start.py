"""The start of the one file: from an archive to a running `microlite.__main__.main`.

The usual start finds an extraction and goes straight on; `unpack` is imported only where there is none. The build
copies this module into microlite.pyz as ``_microlite_onefile.start``: standard library only, few imports.
"""
# pathlib alone costs as much as all the rest of a warm start.
# ruff: noqa: PTH100, PTH118, PTH119

from __future__ import annotations

import os
import sys

from .folder import CacheError, candidates, trusted
from .tree import hold, settled

TYPE_CHECKING = False  # type checkers take it for true; to import typing costs a start 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

ARCHIVE: str | None = None
"""Absolute path of the one file this process was started from; `microlite.onefile.archive` reads it."""

_held: int | None = None
"""Descriptor of the extraction, with a shared lock on it for the life of the process: no cleaning removes it."""


def find(name: str) -> tuple[str, int] | None:
    """Return path and lock of the extraction called ``name`` in the cache folders, or None."""
    for folder in candidates(os.environ):
        tree = os.path.join(folder, name)
        if trusted(folder) and (descriptor := hold(tree)) is not None:
            if settled(tree):
                try:
                    os.utime(descriptor)  # last use: cleaning spares what is used
                except OSError:
                    pass
                return tree, descriptor
            os.close(descriptor)
    return None


def arranged(path: Sequence[str], archive: str, bundle: str, pythonpath: str) -> list[str]:
    """Return the module search path of the platform.

    The standard library first, then the bundle, the host's packages behind it, and what PYTHONPATH names last: nothing
    on the machine may replace a module of ours. The variable itself stays as it is, for the user's own services.

    Args:
        path: `sys.path` as the interpreter made it.
        archive: path of the one file, which leaves the search path.
        bundle: the extraction's site-packages.
        pythonpath: value of the environment variable.
    """
    named = {os.path.abspath(entry) for entry in pythonpath.split(os.pathsep)} if pythonpath else set()
    own = [entry for entry in path if os.path.abspath(entry) != archive]
    late = [entry for entry in own if os.path.abspath(entry) in named]
    rest = [entry for entry in own if os.path.abspath(entry) not in named]
    packages = [at for at, entry in enumerate(rest) if os.path.basename(entry) in ("site-packages", "dist-packages")]
    at = packages[0] if packages else len(rest)
    return [*rest[:at], bundle, *rest[at:], *late]


def start(archive: str, build: Mapping[str, object]) -> NoReturn:
    """Run microlite from ``archive``, unpacking it first where that has not been done; ends the process.

    ``build`` holds the facts the build wrote: ``name`` of the extraction, ``payload`` id, ``unpacked`` size in bytes.
    """
    global ARCHIVE, _held
    # shiv's own switches would redirect the program, here and in everything it starts.
    for variable in [name for name in os.environ if name.startswith("SHIV_")]:
        del os.environ[variable]
    try:
        found = find(str(build["name"]))
        if found is None:
            from .unpack import unpack

            found = unpack(archive, build)
    except CacheError as error:
        sys.stderr.write(f"microlite: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    tree, _held = found
    ARCHIVE = archive
    pythonpath = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    sys.path[:] = arranged(sys.path, archive, os.path.join(tree, "site-packages"), pythonpath)
    from microlite.__main__ import main

    sys.exit(main())
