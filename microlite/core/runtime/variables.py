"""`.env`: variables for a service in a file beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from pathlib import Path

_LINE: Final = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?:'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^'"\s#][^\n]*?|))
    (?:\s+\#.*|\s*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def read_variables(path: Path) -> dict[str, str]:
    r"""The variables of a file; none if there is no such file.

    A line is `NAME=value`, with `export` before it or not; blank lines and what follows a `#` at the beginning or after a
    blank count for nothing. In single quotes everything stands for itself, in double quotes `\n`, `\t`, `\"` and `\\`
    do not. Nothing is expanded, and a value ends with its line.

    Raises:
        BadRequest: a line is something else; names it, without its value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise errors.BadRequest(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.BadRequest(f"{path}: is not UTF-8 text") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\0" in line:
            raise errors.BadRequest(f"{path}, line {number}: is no variable: write NAME=value")
        found[match["name"]] = _value(match)
    return found


def _value(match: re.Match[str]) -> str:
    if match["literal"] is not None:
        return match["literal"]
    if match["quoted"] is not None:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), match["quoted"])
    plain: str = match["plain"]
    return plain
