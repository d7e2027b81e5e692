"""What the last words of a process mean: why it did not come up, in one line that says what to do."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.runtime.sources import Source

_FRAME: Final = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
_RAISED: Final = re.compile(r"(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?")
_MISSING: Final = re.compile(r"No module named '(?P<module>[^']+)'")
_CIRCULAR: Final = re.compile(
    r"cannot import name '(?P<name>[^']+)' from partially initialized module '(?P<module>[^']+)'"
)

_HOPELESS: Final = frozenset(
    {
        *("SyntaxError", "IndentationError", "TabError", "DeclarationError"),
        *("ModuleNotFoundError", "ImportError", "NameError"),
    }
)
"""What no second start of the same code cures."""

_LONGEST: Final = 300


class Diagnosis(msgspec.Struct, frozen=True):
    """Why a process ended before it served.

    Attributes:
        reason: in one line, with file and line where they are known.
        hopeless: whether it will end so each time until somebody changes something.
    """

    reason: str
    hopeless: bool = False


def diagnose(lines: Sequence[str], source: Source, service: str, python: str = "") -> Diagnosis | None:
    """Read what a Python program said on stderr before it ended; None where that is no traceback and no word of ours.

    Args:
        lines: its last ones, without escapes.
        source: what was run.
        service: the name under which it ran.
        python: the interpreter of the environment that its user is in, if it is in one.
    """
    said = [line.rstrip() for line in lines if line.strip()]
    if said and said[-1].startswith(f"{service}: "):  # the library's own last word
        return Diagnosis(said[-1].removeprefix(f"{service}: ")[:_LONGEST])
    if said and said[-1].startswith("microlite: "):  # the launcher's
        return Diagnosis(said[-1].removeprefix("microlite: ")[:_LONGEST], hopeless=True)
    at = next((at for at in range(len(said) - 1, -1, -1) if _FRAME.match(said[at])), None)
    if at is None:
        return None
    raised = next((found for line in said[at + 1 :] if (found := _RAISED.fullmatch(line))), None)
    frame = _FRAME.match(said[at])
    if raised is None or frame is None:
        return None
    kind = raised["kind"].rpartition(".")[2]
    text = (raised["text"] or "").replace(source.folder + os.sep, "")
    place = f"{frame['file'].removeprefix(source.folder + os.sep)}:{frame['line']}"
    return Diagnosis(_reason(kind, text, place, source, python)[:_LONGEST], kind in _HOPELESS)


def did_not_serve(source: Source, variable: str) -> Diagnosis:
    """It ended, content with itself, before it had served.

    Args:
        source: what was run.
        variable: that holds the service in its code, as far as that could be read.
    """
    call = f"{variable or 'service'}.run()"
    return Diagnosis(
        f'{source.entry} ended without serving: put `if __name__ == "__main__": {call}` at its end', hopeless=True
    )


def _reason(kind: str, text: str, place: str, source: Source, python: str) -> str:
    if kind == "DeclarationError":
        return text  # which begins with the place
    if kind == "ModuleNotFoundError" and (missing := _MISSING.match(text)):
        where = source.requirements or "a requirements.txt beside it"
        itself = f", or install it yourself with `{python} -m pip`" if python and not source.requirements else ""
        return f"{place}: {missing[0]}; name its package in {where}, and it is installed{itself}"
    if kind == "ImportError" and (circle := _CIRCULAR.match(text)):
        return (
            f"{place}: cannot import {circle['name']} from {circle['module']}, which is being imported itself: "
            "the two import each other; import one inside the function that needs it"
        )
    return f"{place}: {kind}: {text}" if text else f"{place}: {kind}"
