"""The thread that moves pages from the write-ahead log into the database, so that no commit has to."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Final

import apsw

from microlite.core.engine.connection import BUSY_MILLISECONDS, open_checkpointer

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSIVE_PAGES: Final = 2_000
"""New pages in the log (8 MiB) after which the thread copies them, without holding anybody up."""

RESTART_PAGES: Final = 8_192
"""Pages in the log (32 MiB) from which on the writer lets it begin anew, as soon as no reader needs it. The file keeps its
size: to write over what is there is cheaper for a file system than to let it grow."""

TRUNCATE_PAGES: Final = 16_384
"""Pages in the log (64 MiB) from which on it is cut as well, and the writer waits for the thread to do so."""

_logger = logging.getLogger("microlite.engine")


class Checkpointer:
    """Keeps the log short. `note` and `bound` are for the writer thread.

    While writes keep coming, copying alone never empties the log: somebody has to hold the writes for the moment in which
    the last pages are copied and the log begins again from its start. The writer does that itself, between two groups.
    """

    def __init__(self, path: str, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._held = 0
        self._behind = False  # what gathered while it was held is still to be copied, by the thread alone
        self._pages = 0
        self._copied = 0
        self._retry_at = RESTART_PAGES
        self._closing = False
        self._wake = threading.Event()
        self._copying = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it opens its connection with the first work."""
        self._thread = threading.Thread(target=self._run, name="microlite-checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the copy it is at; a second time does nothing."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let the log grow while somebody reads one moment for long. On the event loop.

        What gathers meanwhile is copied afterwards by the thread, and no write waits for it.
        """
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._behind = True
            self._wake.set()

    def note(self, pages: int) -> None:
        """Say how many pages the log has after a commit."""
        if pages < self._pages:  # the log began anew
            self._copied, self._retry_at = 0, RESTART_PAGES
        self._pages = pages
        if pages - self._copied >= PASSIVE_PAGES and not self._held and not self._wake.is_set():
            self._wake.set()

    def bound(self, connection: apsw.Connection) -> None:
        """Let a log that is past its bound begin anew, if no reader needs it; called between two groups.

        A reader that stays long only puts it off: it is tried again each `PASSIVE_PAGES`.
        """
        if self._pages < self._retry_at or self._held or self._behind:
            return
        # One that is twice too long has outrun the thread: wait for it, and so slow down who writes.
        too_long = self._pages >= TRUNCATE_PAGES
        if not self._copying.acquire(blocking=too_long):
            return
        try:
            connection.set_busy_timeout(0)
            connection.wal_checkpoint(
                mode=apsw.SQLITE_CHECKPOINT_TRUNCATE if too_long else apsw.SQLITE_CHECKPOINT_RESTART
            )
            self._pages, self._copied, self._retry_at = 0, 0, RESTART_PAGES
        except apsw.BusyError:
            self._retry_at = self._pages + PASSIVE_PAGES
        except apsw.Error:
            self._retry_at = self._pages + PASSIVE_PAGES
            _logger.warning("a checkpoint of %s failed; the log keeps its pages", self._path, exc_info=True)
        finally:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            self._copying.release()

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        before = 0
        try:
            while True:
                self._wake.wait()
                # Cleared before looking: what is set from here on brings another round.
                self._wake.clear()
                if self._closing:
                    return
                self._copied = self._pages
                try:
                    connection = connection or open_checkpointer(self._path, self._vfs)
                    with self._copying:
                        pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                    if self._behind and not self._held:
                        self._behind = copied < pages - PASSIVE_PAGES and copied > before
                        before = copied if self._behind else 0
                        if self._behind:
                            self._wake.set()
                except apsw.Error:
                    self._behind = False
                    _logger.warning("a checkpoint of %s failed; the log keeps its pages", self._path, exc_info=True)
        finally:
            if connection is not None:
                connection.close()
