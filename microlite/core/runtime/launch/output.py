"""What a process prints, from its pipes to a callback on the loop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from microlite.core.runtime.launch.api import Stream

if TYPE_CHECKING:
    import asyncio

    from microlite.core.runtime.launch.api import OnOutput

_CHUNK = 64 * 1024
_LAST = 16  # chunks that are read after the end: more than a pipe holds, and a stranger may go on writing


class Output:
    """The pipes for stdout and stderr of one process.

    They are read whenever there is something, so that the process never waits. Their end means nothing, since a
    grandchild may keep them open: the owner calls `finish` when the process has ended.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_output: OnOutput | None) -> None:
        self._loop, self._on_output = loop, on_output
        self._readers: dict[int, Stream] = {}
        self._writers: list[int] = []
        try:
            for stream in Stream:
                reader, writer = os.pipe()
                self._readers[reader] = stream
                self._writers.append(writer)
        except OSError:
            self.close()
            raise
        for reader in self._readers:
            os.set_blocking(reader, False)
            loop.add_reader(reader, self._read, reader)

    @property
    def writers(self) -> tuple[int, int]:
        """The ends for stdout and stderr of the process. Valid until `release`."""
        stdout, stderr = self._writers
        return stdout, stderr

    def release(self) -> None:
        """Close this side's copy of the writing ends, unless they were taken over (`take`). May be called twice."""
        while self._writers:
            os.close(self._writers.pop())

    def take(self) -> tuple[int, int]:
        """The writing ends, which are the caller's to close from now on."""
        writers, self._writers = self.writers, []
        return writers

    def finish(self) -> None:
        """Hand on what is still in the pipes, and close them."""
        for reader in list(self._readers):
            for _ in range(_LAST):
                if not self._read(reader):
                    break
        self.close()

    def close(self) -> None:
        """Close everything, whatever is still in the pipes. May be called twice."""
        self.release()
        for reader in list(self._readers):
            self._drop(reader)

    def _read(self, reader: int) -> bool:
        try:
            content = os.read(reader, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        if not content:
            self._drop(reader)
            return False
        if self._on_output is not None:
            self._on_output(self._readers[reader], content)
        return True

    def _drop(self, reader: int) -> None:
        if self._readers.pop(reader, None) is not None:
            self._loop.remove_reader(reader)
            os.close(reader)
