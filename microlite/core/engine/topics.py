"""Topics and patterns: words between dots, and which patterns a topic matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

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


class _Branch(Generic[T]):
    """What is common to all patterns with the same first words."""

    __slots__ = ("here", "one", "rest", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Branch[T]] = {}
        self.one: _Branch[T] | None = None
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}

    @property
    def is_bare(self) -> bool:
        return not (self.words or self.one or self.here or self.rest)


class Matcher(Generic[T]):
    """Finds who subscribed to a topic. The cost grows with the words of the topic, not with the number of subscribers.

    Each subscriber has one pattern.
    """

    def __init__(self) -> None:
        self._root: _Branch[T] = _Branch()

    def __bool__(self) -> bool:
        return not self._root.is_bare

    def add(self, words: Sequence[str], subscriber: T) -> None:
        """Enter a subscriber under the words of its pattern."""
        branch = self._root
        for word in words:
            if word == REST:
                branch.rest[subscriber] = None
                return
            if word == ONE:
                if branch.one is None:
                    branch.one = _Branch()
                branch = branch.one
            else:
                following = branch.words.get(word)
                if following is None:
                    following = branch.words[word] = _Branch()
                branch = following
        branch.here[subscriber] = None

    def discard(self, words: Sequence[str], subscriber: T) -> None:
        """Take a subscriber out, with the branches that nobody else needs; one that is not there is no error."""
        way: list[tuple[_Branch[T], str]] = []
        branch = self._root
        for word in words:
            if word == REST:
                branch.rest.pop(subscriber, None)
                break
            way.append((branch, word))
            following = branch.one if word == ONE else branch.words.get(word)
            if following is None:
                return
            branch = following
        else:
            branch.here.pop(subscriber, None)
        while way and branch.is_bare:
            branch, word = way.pop()
            if word == ONE:
                branch.one = None
            else:
                del branch.words[word]

    def find(self, words: Sequence[str]) -> list[T]:
        """All whose pattern matches the words of a topic, each once."""
        found: list[T] = []
        branches = [self._root]
        for word in words:
            following: list[_Branch[T]] = []
            for branch in branches:
                if branch.rest:
                    found.extend(branch.rest)
                exact = branch.words.get(word)
                if exact is not None:
                    following.append(exact)
                if branch.one is not None:
                    following.append(branch.one)
            if not following:
                return found
            branches = following
        for branch in branches:
            found.extend(branch.here)
        return found
