"""Which part of a project's tree is source: what is searched for services, and what is watched for changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from microlite.core.settings import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXTENSIONS: Final = frozenset(
    {
        ".cfg",
        ".env",
        ".graphql",
        ".htm",
        ".html",
        ".ini",
        ".j2",
        ".jinja",
        ".jinja2",
        ".json",
        ".lock",
        ".mako",
        ".po",
        ".proto",
        ".py",
        ".pyi",
        ".sql",
        ".tmpl",
        ".toml",
        ".txt",
        ".xml",
        ".yaml",
        ".yml",
    }
)
"""Extensions of files that a service reads when it starts, as a rule. A project can name its own (`watch`)."""

_FOREIGN: Final = ("pyvenv.cfg", DATABASE)
"""A folder with one of these files is a virtual environment or the home of a platform, whatever its name is."""

_NO_SOURCE: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "virtualenv", "__pypackages__"})


def may_be_source_folder(name: str) -> bool:
    """Whether a folder of this name can be one whose content counts: not hidden, no cache, no packages of others."""
    return not (name.startswith(".") or name in _NO_SOURCE or name.endswith((".egg-info", ".dist-info")))


def is_source_folder(entry: os.DirEntry[str]) -> bool:
    """A folder whose content counts, by its name, and neither virtual environment nor home by what lies in it.

    Symbolic links to folders are not followed: they can form circles.
    """
    if not may_be_source_folder(entry.name):
        return False
    if not entry.is_dir(follow_symlinks=False):
        return False
    return not any(os.path.lexists(f"{entry.path}{os.sep}{name}") for name in _FOREIGN)


def is_source_file(name: str, extensions: frozenset[str] = EXTENSIONS) -> bool:
    """A file whose change matters, by its name.

    Hidden files, what editors write beside a file (`4913`, `main.py~`, `.main.py.swp`, `#main.py#`), bytecode,
    databases and logs are none; `.env` and `.env.local` are, where `.env` is among the extensions.
    """
    if name.startswith("."):
        return ".env" in extensions and (name == ".env" or name.startswith(".env."))
    return os.path.splitext(name)[1].lower() in extensions  # noqa: PTH122 - called for every event of the watcher


def folders(root: Path | str, *, depth: int | None = None) -> Iterator[str]:
    """The root, if it is a folder, and every source folder below it, each before its own sub-folders, by name.

    What cannot be read, or vanishes on the way, is left out.

    Args:
        root: where to start; it counts whatever its name is.
        depth: how many levels below the root; all if None.
    """
    try:
        with os.scandir(root) as entries:
            below = sorted(entry.path for entry in entries if is_source_folder(entry))
    except OSError:
        return
    yield os.fspath(root)
    if depth is None or depth > 0:
        for folder in below:
            yield from folders(folder, depth=None if depth is None else depth - 1)
