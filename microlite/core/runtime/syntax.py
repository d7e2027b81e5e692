"""Whether code parses: asked before a node is ended that cannot run beside its successor."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def syntax_error(folder: str, files: Iterable[str]) -> str:
    """The first syntax error in Python files, in one line; empty if they parse. What cannot be read counts as right.

    Reads and compiles: not for the loop.

    Args:
        folder: where relative paths begin.
        files: their paths; those of other kinds are left out.
    """
    for file in files:
        path = Path(folder, file)
        if path.suffix != ".py":
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are shown when the code runs
                compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            return f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
        except (OSError, ValueError):
            continue
    return ""
