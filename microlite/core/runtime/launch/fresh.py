"""Loads a project's own modules from their source, each time.

A `.pyc` is taken for current when the source's size and its time in whole seconds match, so the second of two quick
saves can be served by the bytecode of the first. Not writing bytecode is no cure, since old files are still read: this
loader neither reads nor writes any. Installed packages keep theirs.
"""

# ruff: noqa: PTH100, PTH118, PTH206 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import importlib.machinery as machinery
import importlib.util
import linecache
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_INSTALLED = ("site-packages", "dist-packages")


class FreshLoader(machinery.SourceFileLoader):
    """Compiles a module, and remembers the source that it compiled for tracebacks."""

    def get_code(self, fullname: str) -> Any:
        """The code of the source as it is now."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        remember(path, source)
        return self.source_to_code(source, path)


def remember(path: str, source: bytes) -> None:
    """Have tracebacks and `inspect` show this source for `path`, whatever the file holds by then."""
    try:
        lines = [line + "\n" for line in importlib.util.decode_source(source).split("\n")]
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return  # the compiler will say so better
    linecache.cache[path] = len(source), None, lines, path  # no time: linecache never looks at the file again


def install(root: str) -> None:
    """Load what lies in or below the folder `root` with `FreshLoader`, but for packages installed there."""
    inside = os.path.join(root, "")
    prefixes = tuple(
        prefix
        for prefix in (os.path.join(sys.prefix, ""), os.path.join(sys.base_prefix, ""))
        if prefix.startswith(inside)
    )  # a venv in the project, or a project that is the home of everything
    find = machinery.FileFinder.path_hook(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (FreshLoader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )

    def is_ours(path: str) -> bool:
        folder = os.path.join(path, "")
        return (
            folder.startswith(inside)
            and not folder.startswith(prefixes)
            and not any(part in _INSTALLED for part in folder[len(inside) :].split(os.sep))
        )

    def hook(path: str) -> Any:
        if not is_ours(os.path.abspath(path)):
            raise ImportError
        return find(path)

    hooks: list[Callable[[str], Any]] = sys.path_hooks
    hooks.insert(0, hook)
    for path, finder in list(sys.path_importer_cache.items()):
        if is_ours(path):
            del sys.path_importer_cache[path]  # found before there was a hook, as a `.pth` into the project is
        elif isinstance(finder, machinery.FileFinder):
            finder.invalidate_caches()  # what was installed a moment ago is there; emptying the dict would cost 20 ms
