"""Files with a configuration: TOML, YAML, JSON and .env, told apart by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.config.tree import flatten

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

FORMATS: Final = ("toml", "yaml", "json", "env")
"""What is read, by the word that names it."""

MAX_FILE: Final = 1 << 20
"""Bytes of the largest file that is read."""

_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(?P<value>.*)")
_QUOTED: Final = re.compile(r"(?P<quote>['\"])(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)\s*(?:#.*)?")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def format_of(name: str) -> str:
    """The format of a file, by its name: one of `FORMATS`.

    Raises:
        BadRequest: the name says none.
    """
    base = name.rpartition("/")[2].lower()
    if base == ".env" or base.startswith(".env.") or base.endswith(".env"):
        return "env"
    found = {"toml": "toml", "yaml": "yaml", "yml": "yaml", "json": "json"}.get(base.rpartition(".")[2])
    if found is None:
        raise errors.BadRequest(f"{name}: cannot tell its format; it ends with .toml, .yaml, .yml, .json or .env")
    return found


def read_file(path: Path) -> dict[str, Any]:
    """What a configuration file holds.

    Raises:
        BadRequest: it cannot be read, or holds what the configuration cannot keep.
    """
    form = format_of(path.name)
    try:
        with path.open("rb") as file:
            content = parse(file.read(MAX_FILE + 1), form, str(path))
    except OSError as error:
        raise errors.BadRequest(f"the configuration file {path} cannot be read: {error.strerror}") from None
    if form != "env":
        try:
            flatten(content)
        except errors.Error as error:
            raise errors.BadRequest(f"{path}: {error.detail}") from None
    return content


def parse(text: bytes, form: str, name: str) -> dict[str, Any]:
    """The table that a file holds. Of a .env file: texts, by path; whoever knows their types converts them.

    Args:
        text: its content.
        form: one of `FORMATS`.
        name: of the file, for errors.

    Raises:
        BadRequest: it cannot be read; the detail never repeats a value.
    """
    if len(text) > MAX_FILE:
        raise errors.PayloadTooLarge(f"{name}: a configuration file has at most {MAX_FILE} bytes, not {len(text)}")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.BadRequest(f"{name}: is not UTF-8 (byte {error.start})") from None
    if form == "env":
        return parse_env(decoded, name)
    value = _PARSERS[form](decoded, name)
    if not isinstance(value, dict):
        raise errors.BadRequest(f"{name}: expected a table at the top, got a {type(value).__name__}")
    return _plain(value, name)  # type: ignore[no-any-return]  # a table stays a table


def parse_env(text: str, name: str) -> dict[str, str]:
    """The variables of a .env file: `NAME=value` a line, with quotes as in a shell, comments, and `export`.

    Raises:
        BadRequest: a line is none of this.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise errors.BadRequest(f"{name}, line {number}: expected NAME=value")
        value = match["value"]
        if value[:1] in ("'", '"'):
            quoted = _QUOTED.fullmatch(value)
            if quoted is None:
                raise errors.BadRequest(f"{name}, line {number}: the quote is not closed")
            value = quoted["text"]
            if quoted["quote"] == '"':
                value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), value)
        else:
            value = re.split(r"\s+#", value, maxsplit=1)[0].strip()
        found[match["name"]] = value
    return found


def from_variables(variables: Iterable[tuple[str, str]]) -> dict[tuple[str, ...], tuple[str, str]]:
    """What variables say: `LIMITS__MAX_SIZE` is `limits.max_size`. By words of the path, name and text."""
    return {words: (name, text) for name, text in variables if all(words := tuple(name.lower().split("__")))}


def text_value(text: str) -> Any:
    """The value of a text as the command line takes it: what is JSON is read as such, everything else is text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _toml(text: str, name: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at (.*)\)", str(error))
        raise errors.BadRequest(f"{name}: is not valid TOML" + (f", {place[1]}" if place else "")) from None


def _yaml(text: str, name: str) -> Any:
    import yaml  # late: it takes 20 ms, and few need it

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise errors.BadRequest(f"{name}: is not valid YAML{place}") from None
    except (ValueError, RecursionError):
        raise errors.BadRequest(f"{name}: is not valid YAML") from None


def _json(text: str, name: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        place = re.search(r"\(byte \d+\)", str(error))
        raise errors.BadRequest(f"{name}: is not valid JSON" + (f" {place[0]}" if place else "")) from None


_PARSERS: Final = {"toml": _toml, "yaml": _yaml, "json": _json}


def _plain(value: Any, name: str, depth: int = 64) -> Any:
    """The same in what JSON can say: dates become texts, numbers as names too."""
    if not depth:
        raise errors.BadRequest(f"{name}: nested too deeply")
    if isinstance(value, dict):
        return {_key(key, name): _plain(inner, name, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, name, depth - 1) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return msgspec.to_builtins(value)
    except TypeError:
        raise errors.BadRequest(
            f"{name}: holds a {type(value).__name__}, which the configuration cannot keep"
        ) from None


def _key(key: object, name: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise errors.BadRequest(f"{name}: the names in a table are texts, and a {type(key).__name__} must stand in quotes")
