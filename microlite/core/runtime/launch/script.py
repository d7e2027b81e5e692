"""The user's Python file as the program of this process, as if the interpreter had been started with it."""

# ruff: noqa: PTH100, PTH109, PTH120, PTH123 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os
import sys
from types import ModuleType

from . import child, fresh, ticket, user_trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Script:
    """A Python file as `__main__` of this process.

    Args:
        path: the file, absolute.
        argv: the arguments after it.
        root: the folder whose modules are always compiled from source.
        library: a folder for the end of `sys.path`, or "".
        folders: further ones for `sys.path`, behind that of the file, whose modules are compiled from source too.
        last: the same, for its very end.
    """

    def __init__(
        self,
        path: str,
        argv: Sequence[str],
        root: str,
        library: str,
        folders: Sequence[str] = (),
        last: Sequence[str] = (),
    ) -> None:
        self._path = path
        ticket.hide()
        self._module = ModuleType("__main__")
        sys.modules["__main__"] = self._module
        sys.argv[:] = [path, *argv]
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = [sys.executable, path, *argv]
        folder = os.path.dirname(os.path.realpath(path))
        if not getattr(sys.flags, "safe_path", False):
            sys.path[0:0] = [folder, *folders]
        else:
            sys.path[0:0] = folders
        if library and library not in sys.path:
            sys.path.append(library)
        sys.path.extend(folder for folder in last if folder not in sys.path)
        for ours in (os.path.abspath(root) if root else folder, *folders, *last):
            fresh.install(ours)
        _forget_start(sys.modules.get("multiprocessing.process"))

    def run(self) -> None:
        """Compile and execute; to be called from the top of the program that is `__main__` so far.

        What the script raises goes on to the interpreter, which ends as it always does; only the traceback that it
        prints is cut to what its author wrote.
        """
        try:
            with open(self._path, "rb") as file:
                source = file.read()
        except OSError as error:
            child.fail(f"can't open file {self._path!r}: [Errno {error.errno}] {error.strerror}")
        scope = self._module.__dict__
        scope.update(
            __file__=self._path,
            __cached__=None,
            __loader__=fresh.FreshLoader("__main__", self._path),
            __package__=None,
            __spec__=None,
        )
        fresh.remember(self._path, source)
        try:
            exec(compile(source, self._path, "exec", dont_inherit=True), scope)  # noqa: S102 - this is the program
        except SystemExit:
            raise
        except BaseException as error:
            user_trace.cut(error)
            raise


def _forget_start(module: Any) -> None:
    """Let a multiprocessing that was preloaded start from this process's folder and with a key of its own."""
    if module is not None:
        module.ORIGINAL_DIR = os.getcwd()
        module.current_process().authkey = os.urandom(32)
