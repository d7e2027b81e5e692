"""The command line that `ps` shows for this process.

The kernel reads it from the place where it was put at exec, so writing there changes what is shown. Whoever starts a
program that wants a title gives it a long last argument as room.
"""

# ruff: noqa: PTH123 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os

from . import life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ROOM = 256
"""Bytes of padding that a starter appends to the arguments of a program that shows a title."""


class Title:
    """The place of this process's arguments in its memory; a fork may go on using its parent's."""

    def __init__(self) -> None:
        self._start = self._room = 0
        try:
            with open("/proc/self/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49 of proc(5)
        except (OSError, ValueError, IndexError):
            return  # no /proc, or another system: the title stays as it is
        if 0 < start < end:
            self._start, self._room = start, end - start

    def show(self, name: str, words: Sequence[str]) -> None:
        """Show `words` as the command line, as far as there is room, and `name` as the name of the process."""
        life.call_me(name)
        if self._room:
            text = b"\0".join(os.fsencode(word) for word in words)[: self._room - 1]
            life.write_memory(self._start, text.ljust(self._room, b"\0"))
