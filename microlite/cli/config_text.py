"""The configuration as text: values, tables, files."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from microlite.cli.failure import CommandError
from microlite.core.durations import format_ago

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNSEEN: Final = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What JSON leaves as it is, and a terminal does not show but obeys."""
_COMMANDS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_WIDEST: Final = 60
"""Characters of a value in a table."""


def plain(value: Any, *, quoted: bool = False) -> str:
    """A value as `config get` prints it: text as it is, everything else as JSON.

    Args:
        value: what JSON can say.
        quoted: whether text is JSON as well.
    """
    if isinstance(value, str) and not quoted:
        return value
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded, indent=2) if isinstance(value, dict) and not quoted else encoded).decode()
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def for_terminal(text: str) -> str:
    """Text that somebody has set, without what a terminal would obey instead of showing it."""
    return _COMMANDS.sub("\ufffd", text)


def explained_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each leaf, and one below it for each that it hides."""
    for one in found:
        setting = one["setting"]
        yield f"{click.style(setting['path'], bold=True)} = {_value(setting)}    {_origin(setting)}"
        for below in one.get("hides", ()):
            at = "" if below["path"] == setting["path"] else f" at {below['path']}"
            yield f"  hides {_value(below)}{at}    {_origin(below)}"


def entry_rows(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The rows of the history: a line for each leaf that changed."""
    now = time.time()
    for entry in entries:
        head = (
            str(entry["revision"]),
            format_ago(now - entry["at"]),
            entry.get("service") or entry.get("author", ""),
            entry.get("action", "set"),
        )
        for change in entry.get("changes", ()):
            old = _cut(plain(change.get("old"), quoted=True)) if change.get("had") else ""
            new = _cut(plain(change.get("new"), quoted=True)) if change.get("has") else ""
            yield (*head, change["path"], old, new)
            head = (" ", " ", " ", " ")


def update_lines(update: Mapping[str, Any]) -> Iterator[str]:
    """A line for each leaf that is different."""
    for path in update.get("gone", ()):
        yield f"{path} is gone"
    for setting in update.get("settings", ()):
        layer = "" if setting.get("layer", "store") == "store" else f"    {_origin(setting)}"
        yield f"{setting['path']} = {_value(setting)}{layer}"


def rendered(values: dict[str, Any], form: str) -> str:
    """A document in a format that `config import` reads."""
    if form == "yaml":
        import yaml

        text: str = yaml.safe_dump(values, allow_unicode=True, sort_keys=True)
        return text
    if form == "toml":
        return "\n".join(_toml(values, ())).strip("\n") + "\n"
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(values, order="sorted"), indent=2).decode() + "\n"
    raise CommandError(f"nothing is exported as {form}: use json, yaml or toml")


def _value(setting: Mapping[str, Any]) -> str:
    return (
        str(setting["problem"])
        if setting.get("problem")
        else plain(setting.get("value"), quoted=not setting.get("secret"))
    )


def _origin(setting: Mapping[str, Any]) -> str:
    layer = setting.get("layer", "store")
    if layer != "store":
        return f"{layer} {setting.get('source', '')}".rstrip()
    author = f" by {setting['author']}" if setting.get("author") else ""
    at = f" {format_ago(time.time() - setting['at'])}" if setting.get("at") else ""
    return f"set{author}{at}, revision {setting.get('revision', 0)}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _toml(table: Mapping[str, Any], words: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its own values first, then the tables in it."""
    values = {key: value for key, value in sorted(table.items()) if not isinstance(value, dict)}
    if words and (values or not table):
        yield ""
        yield f"[{'.'.join(map(_toml_key, words))}]"
    for key, value in values.items():
        yield f"{_toml_key(key)} = {_toml_value(value, (*words, key))}"
    for key, value in sorted(table.items()):
        if isinstance(value, dict):
            yield from _toml(value, (*words, key))


def _toml_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _toml_text(key)


def _toml_value(value: Any, words: tuple[str, ...]) -> str:
    if value is None:
        raise CommandError(f"{'.'.join(words)}: TOML has no null; export as json or yaml")
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(item, words) for item in value)}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_toml_key(key)} = {_toml_value(item, (*words, key))}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def _toml_text(text: str) -> str:
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
