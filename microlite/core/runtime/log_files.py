"""The log of one service on disk: NDJSON that rotates. Blocking; whoever calls it does so from a thread."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.runtime.lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BLOCK: Final = 256 * 1024
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


class LogFile:
    """`<service>.log` and its predecessors `<service>.log.1`, `<service>.log.2` …, oldest last.

    Not for two threads at once. A line torn by a crash or a full disk is skipped when reading, and never joined with
    the next one.

    Args:
        path: of the newest file; its folder is made when something is written.
        limit: bytes after which a file is followed by the next.
        keep: how many predecessors are kept.
    """

    def __init__(self, path: Path, *, limit: int = 4 * 1024 * 1024, keep: int = 2) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return any(path.exists() for path in self._newest_first())

    def append(self, lines: Iterable[Line]) -> None:
        """Write the lines behind those that are there, and rotate where a file is full.

        Raises:
            OSError: they could not be written, or only in part.
        """
        waiting = bytearray()
        size = self._path.stat().st_size if self._path.exists() else 0
        for line in lines:
            encoded = _encoder.encode(line)
            if size + len(waiting) + len(encoded) >= self._limit and size + len(waiting):
                self._write(waiting)
                waiting.clear()
                self._rotate()
                size = 0
            waiting += encoded
            waiting += b"\n"
        self._write(waiting)

    def read(self, *, last: int | None = None, since: float | None = None, node: str = "") -> list[Line]:
        """The lines, oldest first.

        Args:
            last: at most so many, the newest.
            since: only lines that arrived then or later, in seconds since the Unix epoch.
            node: only those of this node.
        """
        found: list[Line] = []
        if last is not None and last <= 0:
            return found
        for line in self._backwards():
            if since is not None and line.at < since:
                break
            if node and line.node != node:
                continue
            found.append(line)
            if len(found) == last:
                break
        found.reverse()
        return found

    def delete(self) -> None:
        """Remove all files; none being there is no error."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        return [self._path, *(self._path.with_name(f"{self._path.name}.{age}") for age in range(1, self._keep + 1))]

    def _rotate(self) -> None:
        paths = self._newest_first()
        for younger, older in reversed(list(itertools.pairwise(paths))):
            if younger.exists():
                younger.replace(older)
        if not self._keep:
            self._path.unlink(missing_ok=True)

    def _write(self, data: bytearray) -> None:
        if not data:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data[:0] = b"\n"  # a torn line stands there: end it
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            view.release()
        finally:
            os.close(descriptor)

    def _backwards(self) -> Iterator[Line]:
        for path in self._newest_first():
            for raw in _lines_backwards(path):
                try:
                    yield _decoder.decode(raw)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file from its end, reading only as much of it as is asked for."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position:
            start = max(0, position - _BLOCK)
            file.seek(start)
            first, *lines = (file.read(position - start) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest, position = first, start
        if rest:
            yield rest
