"""Topics and patterns: words between dots."""

from __future__ import annotations

from typing import Final

from microlite.core import errors

MAX_TOPIC_BYTES: Final = 256
"""Longest topic or pattern, in bytes of UTF-8."""

MAX_WORDS: Final = 32
"""Most words of a topic or pattern."""

ONE: Final = "*"
"""Stands for exactly one word."""

REST: Final = ">"
"""Stands for one or more words, at the end."""


def check_topic(topic: str) -> list[str]:
    """The words of a topic that something is published on.

    Raises:
        BadRequest: it is empty, too long, has an empty word, a wildcard, or a character that cannot be seen.
    """
    words = _words(topic, "topic")
    for word in words:
        if ONE in word or REST in word:
            raise errors.BadRequest(
                f"{topic!r} is a pattern: `*` and `>` are for those who subscribe; publish on one topic, as in prices.eur"
            )
    return words


def check_pattern(pattern: str) -> list[str]:
    """The words of a pattern: a topic in which `*` may stand for a word, and `>` for the rest.

    Raises:
        BadRequest: as for a topic; or a wildcard is a part of a word, or `>` is not at the end.
    """
    words = _words(pattern, "pattern")
    for place, word in enumerate(words):
        if word == REST and place < len(words) - 1:
            raise errors.BadRequest(f"{pattern!r} is no pattern: `>` stands for all that follows, so it comes last")
        if len(word) > 1 and (ONE in word or REST in word):
            raise errors.BadRequest(f"{pattern!r} is no pattern: `*` and `>` stand for whole words, as in prices.*.eur")
    return words


def _words(text: str, kind: str) -> list[str]:
    if not text:
        raise errors.BadRequest(f"a {kind} must not be empty; write words between dots, as in prices.eur")
    if len(text.encode(errors="replace")) > MAX_TOPIC_BYTES:
        raise errors.BadRequest(f"a {kind} has at most {MAX_TOPIC_BYTES} bytes: {text[:60]!r}…")
    if not text.isprintable() or " " in text:
        raise errors.BadRequest(f"{text!r} is no {kind}: it has a space or a character that cannot be seen")
    words = text.split(".")
    if "" in words:
        raise errors.BadRequest(f"{text!r} is no {kind}: there is a dot without a word beside it")
    if len(words) > MAX_WORDS:
        raise errors.BadRequest(f"{text!r} is no {kind}: it has more than {MAX_WORDS} words")
    return words
