"""Paths of the configuration: `database.pool.size`.

A path is words with dots between them. A word that has a dot, a blank or a quote in it, or nothing at all, stands in double
quotes, written as in JSON: `hosts."example.org".port`. Each path has one canonical form, which quotes only where it must;
that is what records, histories and answers carry. Below `a` lies exactly what begins with `a.`.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PATH_BYTES: Final = 512
"""Longest path in its canonical form, in bytes of UTF-8."""

MAX_DEPTH: Final = 32
"""Most words of a path."""

_BARE: Final = re.compile(r'[^\s."\\\x00-\x1f\x7f]+')
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def parse_path(text: str) -> tuple[str, ...]:
    """The words of a path; none for the empty path, which stands for the whole configuration.

    Raises:
        BadRequest: it is malformed; the detail says where.
    """
    if not text:
        return ()
    words: list[str] = []
    at = 0
    while True:
        word, at = _word(text, at)
        words.append(word)
        if at == len(text):
            break
        if text[at] != ".":
            raise BadRequest(f"{text!r} is no path: expected a dot at character {at + 1}; quote words as in {_EXAMPLE}")
        at += 1
    return check_words(words)


def format_path(words: Sequence[str]) -> str:
    """The canonical form of a path."""
    return ".".join(map(_format_word, words))


def canonical(text: str) -> str:
    """The canonical form of a path that somebody wrote.

    Raises:
        BadRequest: it is malformed.
    """
    return format_path(parse_path(text))


def check_words(words: Sequence[str]) -> tuple[str, ...]:
    """The same words, if they make a path that can be kept.

    Raises:
        BadRequest: too many of them, or too long together.
    """
    if len(words) > MAX_DEPTH:
        raise BadRequest(f"a path has at most {MAX_DEPTH} words, not {len(words)}: {format_path(words[:3])}…")
    try:
        size = len(format_path(words).encode())
    except UnicodeEncodeError as error:
        raise BadRequest(f"a path must be valid Unicode: {error.reason}") from None
    if size > MAX_PATH_BYTES:
        raise BadRequest(f"a path has at most {MAX_PATH_BYTES} bytes, not {size}: {format_path(words)[:40]}…")
    return tuple(words)


@functools.lru_cache(maxsize=16_384)
def words_of(path: str) -> tuple[str, ...]:
    """The words of a canonical path."""
    return parse_path(path)


@functools.lru_cache(maxsize=16_384)
def ancestors(path: str) -> tuple[str, ...]:
    """The canonical paths above a canonical path, the shortest first; without the empty one."""
    words = words_of(path)
    return tuple(format_path(words[:count]) for count in range(1, len(words)))


def lies_within(path: str, top: str) -> bool:
    """Whether a canonical path is another one or lies below it. Everything lies within the empty path."""
    return not top or path == top or path.startswith(f"{top}.")


def join(top: str, path: str) -> str:
    """The canonical path of `path` below `top`."""
    return f"{top}.{path}" if top and path else top or path


_EXAMPLE: Final = 'hosts."example.org".port'


def _word(text: str, at: int) -> tuple[str, int]:
    if text.startswith('"', at):
        match = _QUOTED.match(text, at)
        try:
            if match is None:
                raise ValueError
            word = msgspec.json.decode(match[0].encode(), type=str)
        except (ValueError, UnicodeEncodeError):
            raise BadRequest(
                f"{text!r} is no path: the quote at character {at + 1} opens no text as JSON has it, such as in {_EXAMPLE}"
            ) from None
        return word, match.end()
    match = _BARE.match(text, at)
    if match is None:
        found = f"{text[at]!r}" if at < len(text) else "nothing"
        raise BadRequest(
            f"{text!r} is no path: expected a word at character {at + 1}, found {found}; "
            f"quote what is no plain word, as in {_EXAMPLE}"
        )
    return match[0], match.end()


def _format_word(word: str) -> str:
    return word if _BARE.fullmatch(word) else msgspec.json.encode(word).decode()
