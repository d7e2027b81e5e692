"""Values of the configuration as the types that code asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.config.paths import format_path, join, words_of
from microlite.core.config.tree import nest, within
from microlite.core.description.codec import decode_builtin, encode_builtin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.config.api import Setting

T = TypeVar("T")

_AT: Final = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`")
_VALUE: Final = re.compile(r"Invalid enum value '?.*", re.DOTALL)


class MisfitError(Exception):
    """A value is not of the type that code asks for.

    Attributes:
        detail: names the path and the type, never the value.
        at: the canonical path of the leaf that is to blame, or the one asked for.
    """

    def __init__(self, detail: str, at: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.at = at


def to_plain(value: object) -> Any:
    """What JSON can say of a value: what the configuration keeps of it.

    Raises:
        BadRequest: there is no such thing.
    """
    try:
        return msgspec.to_builtins(value, enc_hook=encode_builtin)
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.BadRequest(f"the configuration holds what JSON can say: {error}") from None


def convert(settings: Mapping[str, Setting], path: str, of: Any) -> Any:
    """What stands at a canonical path, as a type.

    Args:
        settings: the leaves at or below it; none at all for the defaults of the type.
        path: what is asked for.
        of: a type that an endpoint could take.

    Raises:
        MisfitError: it is not of that type.
        Unprocessable: a secret cannot be read.
    """
    for setting in settings.values():
        if setting.problem:
            raise errors.Unprocessable(setting.problem)
    plain = nest({one: setting.value for one, setting in settings.items()}, path)
    try:
        return msgspec.convert(plain, of, dec_hook=decode_builtin)
    except msgspec.ValidationError as error:
        raise _misfit(error, settings, path, of) from None


def convert_or_repair(settings: Mapping[str, Setting], path: str, of: Any) -> tuple[Any, list[str]]:
    """As `convert`, but leaves that do not fit are left out, so that the defaults of the type stand in.

    Returns:
        The value, and what is wrong with each leaf that was left out.

    Raises:
        MisfitError: there is no default either.
    """
    rest = dict(settings)
    wrong: list[str] = []
    while True:
        try:
            return convert(rest, path, of), wrong
        except MisfitError as error:
            if error.at == path or error.at not in rest:
                raise
            wrong.append(error.detail)
            del rest[error.at]


def below(settings: Mapping[str, Setting], path: str) -> dict[str, Setting]:
    """The leaves at or below a canonical path."""
    exact = settings.get(path)
    return {path: exact} if exact is not None else within(settings, path)


def type_name(of: Any) -> str:
    """A type, as messages name it."""
    return getattr(of, "__qualname__", None) or str(of)


def _misfit(error: msgspec.ValidationError, settings: Mapping[str, Setting], path: str, of: Any) -> MisfitError:
    text = str(error)
    found = _AT.search(text)
    text = text[: found.start()] if found else text
    place = found["path"] if found else ""
    if missing := _MISSING.fullmatch(text):
        at = join(path, format_path((*_words(place), missing[1])))
        return MisfitError(f"{at}: a value is required, and nothing is set", at)
    at = _leaf(settings, path, place)
    setting = settings.get(at)
    secret = any(one.secret for one in settings.values()) if setting is None else setting.secret
    if secret or error.__cause__ is not None or _VALUE.match(text):
        return MisfitError(f"{at or path}: what is set does not fit {type_name(of)}", at)  # the text may hold the value
    where = join(path, place.removeprefix(".")) if not place.startswith("[") else f"{path}{place}"
    return MisfitError(f"{where}: {text[:1].lower()}{text[1:].replace('`', '')}", at)


def _leaf(settings: Mapping[str, Setting], path: str, place: str) -> str:
    """The leaf that lies on the way to where an error is; the path that was asked for if none does."""
    words = words_of(path)
    for word in ("", *_words(place)):
        words = (*words, word) if word else words
        one = format_path(words)
        if one in settings:
            return one
    return path


def _words(place: str) -> list[str]:
    """The words of a place as errors of msgspec have it, up to the first list: `.a.b[0]`."""
    return [word for word in place.partition("[")[0].split(".") if word]
