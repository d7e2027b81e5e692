"""Topics as channels."""

from __future__ import annotations

from typing import Any, NamedTuple

from microlite.core.description.structs import Consume, Subscribe
from microlite.core.topics import ONE, REST

EVENTS = "events"
MESSAGES = "messages"


class Channel(NamedTuple):
    """Where something comes from.

    Attributes:
        kind: `events`, which are durable, or `messages`, which are not.
        topic: the topic or pattern.
    """

    kind: str
    topic: str

    @property
    def key(self) -> str:
        """Its name in the document: letters, digits and `._-`."""
        words = {ONE: "_any", REST: "_rest"}
        text = ".".join(words.get(word, word) for word in self.topic.split("."))
        return f"{self.kind}." + "".join(
            letter if letter.isascii() and (letter.isalnum() or letter in "._-") else f"_{ord(letter):x}"
            for letter in text
        )

    @property
    def words(self) -> dict[str, str]:
        """The parameters of its address, which stand for the wildcards, with what each is for."""
        found: dict[str, str] = {}
        for word in self.topic.split("."):
            if word == ONE:
                found[f"word{len(found) + 1}"] = "One word, without dots."
            elif word == REST:
                found["rest"] = "One or more words, with dots between them."
        return found

    def describe(self) -> dict[str, Any]:
        """The channel, without messages yet."""
        if self.kind == EVENTS:
            about = (
                f"Durable events. Publish with `POST /events/publish` and follow with "
                f"`GET /events/follow?topic={self.topic}`."
            )
        else:
            about = (
                f"Ephemeral messages. Publish with `POST /broker/publish` and listen with "
                f"`GET /broker/subscribe?topic={self.topic}`."
            )
        described: dict[str, Any] = {"address": self._address(), "description": about, "messages": {}}
        if self.words:
            described["parameters"] = {name: {"description": text} for name, text in self.words.items()}
        return described

    def _address(self) -> str:
        names = iter(self.words)
        return ".".join(f"{{{next(names)}}}" if word in (ONE, REST) else word for word in self.topic.split("."))


def channel_of(trigger: Consume | Subscribe) -> Channel:
    """The channel that a trigger takes from."""
    return Channel(EVENTS if isinstance(trigger, Consume) else MESSAGES, trigger.topic)
