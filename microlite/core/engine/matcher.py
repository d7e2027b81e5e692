"""Which patterns a topic matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from microlite.core.topics import ONE, REST

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


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
