"""What nodes write, as lines: split from bytes, stamped with time and origin."""

from __future__ import annotations

import enum
import re
from datetime import UTC, datetime
from typing import Final

import msgspec

LONGEST: Final = 64 * 1024
"""No line is longer than this many bytes; a longer one becomes several."""

# CSI (colours, cursor), OSC (titles, links) and the two-byte forms, by ECMA-48 §5 and §8.3.
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

# All of it but colours (SGR, ECMA-48 §8.3.117): further strings for the terminal itself, and control characters.
_UNSAFE: Final = re.compile(
    r"\x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b(?!\[[0-9;:]*m)[ -/]*[0-~]?"
    r"|[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]"
)


class Stream(enum.StrEnum):
    """Where a line comes from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    PLATFORM = "microlite"
    """The platform speaks about the node: it restarted, lines were dropped."""


class Line(msgspec.Struct, frozen=True):
    """One line of a service's log.

    Attributes:
        at: when it arrived, in seconds since the Unix epoch.
        service: who wrote it.
        node: which of its nodes; empty for what concerns the service as a whole.
        stream: where the node wrote it.
        text: without its line end; colours, as escape sequences, are kept.
    """

    at: float
    service: str
    node: str
    stream: Stream
    text: str

    def plain(self) -> Line:
        """The same line without escape sequences, for what is no terminal: JSON, the dashboard."""
        if "\x1b" not in self.text:
            return self
        return msgspec.structs.replace(self, text=strip_ansi(self.text))

    def as_text(self, *, colour: bool = False, stamp: bool = False) -> str:
        """The line for a person.

        Args:
            colour: keep the colours.
            stamp: put the time (UTC) and the node in front.
        """
        text = for_terminal(self.text if colour else strip_ansi(self.text))
        if not stamp:
            return text
        at = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        return f"{at}Z {self.node or '-'} {text}"


def strip_ansi(text: str) -> str:
    """The text without escape sequences of terminals."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def for_terminal(text: str) -> str:
    """The text with its colours, and without all else that a terminal would obey.

    What a service writes is often what somebody has sent it: it must not clear the screen, write to the clipboard, or
    overwrite what stands before it.
    """
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: " " if found[0] == "\r" else "", text)


class LineSplitter:
    r"""Bytes in pieces of any size become lines.

    Lines end with `\n` or `\r\n`; text is UTF-8, what is none becomes U+FFFD. What has no end yet is kept, never more
    than the limit.

    Args:
        limit: bytes of the longest line.
    """

    def __init__(self, limit: int = LONGEST) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that this piece completes."""
        rest = self._rest
        if not rest and len(data) <= self._limit and data.endswith(b"\n"):
            pieces = data.split(b"\n")  # the usual case: whole lines, and nothing kept from before
            pieces.pop()
            return [piece.removesuffix(b"\r").decode(errors="replace") for piece in pieces]
        lines: list[str] = []
        start = 0
        while True:
            end = data.find(b"\n", start)
            rest += data[start:] if end < 0 else data[start:end]
            while len(rest) > self._limit:
                cut = self._boundary()
                lines.append(rest[:cut].decode(errors="replace"))
                del rest[:cut]
            if end < 0:
                return lines
            lines.append(rest.removesuffix(b"\r").decode(errors="replace"))
            rest.clear()
            start = end + 1

    def flush(self) -> list[str]:
        """What came after the last line end, as a line; none if nothing did."""
        if not self._rest:
            return []
        line = self._rest.removesuffix(b"\r").decode(errors="replace")
        self._rest.clear()
        return [line]

    def _boundary(self) -> int:
        """Where to cut an overlong line: at the limit, or up to three bytes before it, never inside a character."""
        cut = self._limit
        while cut > self._limit - 3 and cut > 1 and self._rest[cut] & 0xC0 == 0x80:
            cut -= 1
        return cut
