"""Bytecode for an extraction, compiled in the background after its first long start.

Python writes the bytecode of what it imports by itself; this does the rest (the server's later imports, other
commands), so that a second start of anything is a quick one. It is a child at the lowest priority, bound to its parent:
it ends when the parent closes its end of a pipe, or dies.
"""

import os
import subprocess
import sys
from pathlib import Path

from microlite.onefile.library import extraction

_CHILD = Path(__file__).with_name("compile_tree.py")


def _note(tree: Path) -> Path:
    return tree / f".compiled-{sys.implementation.cache_tag}"


class Compilation:
    """The running child. Its owner calls `close`; a parent that dies ends it too."""

    def __init__(self, tree: Path) -> None:
        """Start compiling the extraction ``tree``."""
        # -I: nothing of the user's environment reaches the child, and -B is not inherited.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD), str(tree), str(_note(tree))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the platform, which then closes this
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all is compiled, at most ``timeout`` seconds; return the exit code, 0 when done."""
        return self._process.wait(timeout)

    def close(self) -> None:
        """End the child, done or not. Idempotent; takes as long as one file's compilation, at most a second."""
        assert self._process.stdin is not None  # a pipe, see above
        self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def compile_in_background() -> Compilation | None:
    """Start compiling this process's extraction, if there is one and it lacks bytecode.

    Returns:
        The child to close, or None: not started from the one file, compiled already, the cache is read-only, or the
        user wants no bytecode there (PYTHONDONTWRITEBYTECODE, PYTHONPYCACHEPREFIX).
    """
    tree = extraction()
    if tree is None or sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return None
    if _note(tree).exists() or not os.access(tree, os.W_OK):
        return None
    return Compilation(tree)
