"""The operating system's notices about folders, through watchfiles. For one thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

# The class under watchfiles' own `watch` and `awatch`: those take their folders once and walk below them, while ours
# come and go and are watched singly.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

if TYPE_CHECKING:
    import threading

MODIFIED: Final = 2
"""watchfiles' number of a changed content; 1 is added, 3 deleted."""

log = logging.getLogger(__name__)


class Notifier:
    """Tells of events in a set of folders, not in those below them.

    Args:
        debounce: after the first event, further ones are awaited for at most so many seconds.
        polling: never ask the operating system. Becomes true by itself when it refuses.
    """

    def __init__(self, debounce: float, *, polling: bool = False) -> None:
        self._debounce = debounce
        self._polling = polling
        self._notify: RustNotify | None = None

    @property
    def armed(self) -> bool:
        """Whether there is something to `wait` for; if not, who wants to know must look."""
        return self._notify is not None

    def rearm(self, folders: frozenset[str]) -> bool:
        """Watch these folders, instead of those before. Events between are lost.

        Returns:
            False if one of the folders does not exist: then none is watched.
        """
        self.close()
        if self._polling or not folders:
            return True
        try:
            self._notify = RustNotify(sorted(folders), False, False, 300, False, True)
        except FileNotFoundError:
            return False
        except (OSError, WatchfilesRustInternalError) as error:
            log.warning("the operating system cannot watch %d folders (%s): polling them", len(folders), error)
            self._polling = True
        return True

    def wait(self, timeout: float, step: float, wake: threading.Event) -> set[tuple[int, str]]:
        """The next events, as (kind, path); none after `timeout` seconds or when `wake` is set.

        Args:
            timeout: in seconds.
            step: events are returned when so many seconds brought no further one.
            wake: ends the waiting.
        """
        assert self._notify is not None, "it is armed"
        seen = self._notify.watch(round(self._debounce * 1000), round(step * 1000), max(1, round(timeout * 1000)), wake)
        return seen if isinstance(seen, set) else set()

    def close(self) -> None:
        """Watch nothing. May be called twice."""
        notify, self._notify = self._notify, None
        if notify is not None:
            notify.close()
