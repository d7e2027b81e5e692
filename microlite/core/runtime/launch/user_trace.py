"""What a script's author sees of an exception that ends it: the author's own frames, and none of ours."""

# ruff: noqa: PTH100, PTH120 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException
    from types import TracebackType
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def cut(error: BaseException) -> None:
    """Have `sys.excepthook` show `error` so. A hook that the script has put there itself still shows it its own way."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    # Before it goes on: an import that runs `eval` makes the interpreter forget that it ends by Ctrl-C.
    from traceback import TracebackException

    hook: Any = sys.excepthook
    own = hook is not sys.__excepthook__

    def show(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        value = value.with_traceback(trace)
        if own:
            hook(kind, value, trace)
            return
        shown = TracebackException(kind, value, trace, compact=True)
        declaration = _is_declaration(value)
        _keep_own(shown, _our_folders())
        for line in _declaration(shown, value) if declaration else shown.format():
            sys.stderr.write(line)

    sys.excepthook = show


def _is_declaration(error: BaseException) -> bool:
    """Whether it says what is wrong with a declaration, where, and what to write instead: its text is enough."""
    kind = type(error)
    return kind.__name__ == "DeclarationError" and kind.__module__.startswith("microlite.")


def _declaration(shown: TracebackException, error: BaseException) -> list[str]:
    return [*shown.stack.format()[-1:], f"DeclarationError: {error}\n"]


def _our_folders() -> tuple[str, ...]:
    """Where the launcher's files are, and the library's, which may be another copy."""
    library = getattr(sys.modules.get("microlite"), "__file__", None)
    return (_HERE, os.path.dirname(library) + os.sep) if library else (_HERE,)


def _keep_own(shown: TracebackException, ours: tuple[str, ...]) -> None:
    """Take our frames out of a traceback, and out of those of its causes; one that is ours alone stays as it is."""
    kept = [frame for frame in shown.stack if not frame.filename.startswith(ours)]
    if kept:
        shown.stack[:] = kept
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if other is not None:
            _keep_own(other, ours)
