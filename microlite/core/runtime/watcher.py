"""Saved files become changes: one notifier of the operating system, shared by all services that are watched.

Only source folders are watched, each by itself: a virtual environment or `node_modules` below a service costs nothing.
What counts is content: a file that was touched, or written twice with the same bytes, has not changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final, Self, TypeVarTuple, Unpack

import msgspec

from microlite.core.runtime.notifier import MODIFIED, Notifier
from microlite.core.runtime.snapshot import Snapshot
from microlite.core.runtime.tree import EXTENSIONS, may_be_source_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from microlite.core.clock import Clock

_CHECK_ROOTS: Final = 1.0  # seconds between looks whether the folders are still the ones that are watched
_ROOT_MISSING: Final = 0.1  # the same while one is gone
_GRACE: Final = 0.1  # seconds in which a deleted file may come back: some editors delete before they rename
_QUIET_STEP: Final = 0.02
_LIVELY: Final = 120.0  # seconds after a change in which the next one is expected, and looked for often

_Arguments = TypeVarTuple("_Arguments")

log = logging.getLogger(__name__)


class Change(msgspec.Struct, frozen=True):
    """Source files that changed at about the same time, or while the reader was busy with the change before.

    Attributes:
        paths: absolute, sorted; deleted files among them.
        at: when the first of them was seen, in seconds since the Unix epoch.
    """

    paths: tuple[str, ...]
    at: float


class Watch:
    """The changes below the folders of one service, as an async iterator. Comes from `Watcher.watch`.

    Saves that come while the reader is busy coalesce to one change. Deleting a whole root is no change: it may be a
    checkout that puts it back, and what differs then is.
    """

    def __init__(self, snapshot: Snapshot, leave: Callable[[Watch], None]) -> None:
        self.snapshot = snapshot
        """Belongs to the watcher's thread."""
        self.missing: dict[str, float] = {}
        """Files that vanished, with the time on the watcher's scale when that becomes a change; the thread's, too."""
        self._leave = leave
        self._paths: set[str] = set()
        self._at = 0.0
        self._arrived = asyncio.Event()
        self._closed = False
        self._failure: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while (change := self.take()) is None:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return change

    def take(self) -> Change | None:
        """What has changed and was not read yet."""
        if not self._paths:
            return None
        change = Change(tuple(sorted(self._paths)), self._at)
        self._paths.clear()
        return change

    def close(self) -> None:
        """Stop watching; the iterator ends. May be called twice."""
        if not self._closed:
            self._closed = True
            self._arrived.set()
            self._leave(self)

    def deliver(self, paths: Iterable[str], at: float) -> None:
        """Files have changed."""
        if not self._paths:
            self._at = at
        self._paths.update(paths)
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """The watcher cannot go on."""
        self._failure = error
        self._arrived.set()


class Watcher:
    """Watches folders for as long as it is entered (`async with`).

    Args:
        clock: stamps the changes.
        debounce: after the first event, further ones are awaited for at most so many seconds.
        step: a change is reported when so many seconds brought no further event. Also how often the notifier is asked:
            5 ms cost 1.2 % of a core, so it is 20 ms when nothing has changed for two minutes.
        polling: look at the files instead of asking the operating system; needed on some network and shared file
            systems, and done by itself where the system's limit of watched folders is reached.
        interval: seconds between two looks at the files, where that is done.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        debounce: float = 0.03,
        step: float = 0.005,
        polling: bool = False,
        interval: float = 0.5,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._step = step
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._joining: list[tuple[Watch, asyncio.Future[None]]] = []
        self._leaving: list[Watch] = []
        self._closing = False
        self._thread: threading.Thread | None = None
        # What follows belongs to the thread alone.
        self._watches: list[Watch] = []
        self._notifier = Notifier(debounce, polling=polling)
        self._folders: frozenset[str] = frozenset()
        self._identities: dict[str, tuple[int, int] | None] = {}
        self._lively_until = 0.0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="runtime watcher", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all watches and the thread. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing = True
            self._wake.set()
            await asyncio.to_thread(thread.join)

    async def watch(self, *roots: Path, extensions: Iterable[str] = (), single: Iterable[str] = ()) -> Watch:
        """Start to watch folders; returns when every later save is noticed.

        Args:
            roots: absolute paths; one may not exist yet.
            extensions: of the files that count, with their dot; the usual ones (`tree.EXTENSIONS`) if none is given.
            single: absolute paths of files elsewhere that count too; they may not exist.
        """
        if self._thread is None:
            raise RuntimeError("the watcher is not running")
        snapshot = Snapshot([str(root) for root in roots], frozenset(extensions) or EXTENSIONS, single)
        watch = Watch(snapshot, self._leave)
        ready: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            self._joining.append((watch, ready))
        self._wake.set()
        try:
            await ready
        except asyncio.CancelledError:
            watch.close()
            raise
        return watch

    def _leave(self, watch: Watch) -> None:
        with self._lock:
            self._leaving.append(watch)
        self._wake.set()

    # From here on: the thread. What it measures is the time of a file system, so it is real time, not the clock's.

    def _run(self) -> None:
        try:
            while True:
                self._wake.clear()  # before what it announces is read, so that nothing is overlooked
                if self._closing:
                    return
                self._let_in_and_out()
                self._turn()
        except BaseException as error:  # the edge of the thread: who waits is told, instead of waiting for ever
            log.exception("the watcher failed")
            for watch in self._watches:
                self._post(watch.fail, error)
            self._refuse(error)
        finally:
            self._notifier.close()
            for watch in self._watches:
                self._post(watch.close)
            self._refuse(RuntimeError("the watcher is closed"))

    def _turn(self) -> None:
        timeout = _CHECK_ROOTS
        if any(watch.missing for watch in self._watches):
            timeout = _GRACE / 4
        elif None in self._identities.values():
            timeout = _ROOT_MISSING
        if not self._watches:
            self._wake.wait()
        elif not self._notifier.armed:
            if not self._wake.wait(min(timeout, self._interval)):
                self._rebuild()
        else:
            lively = time.monotonic() < self._lively_until
            seen = self._notifier.wait(timeout, self._step if lively else max(self._step, _QUIET_STEP), self._wake)
            if seen:
                self._look(seen)
        self._give_up_missing()
        if self._identities != {root: _identity(root) for root in self._identities}:
            self._rebuild()

    def _let_in_and_out(self) -> None:
        with self._lock:
            joining, self._joining = self._joining, []
            leaving, self._leaving = self._leaving, []
        self._watches = [watch for watch in self._watches if watch not in leaving]
        new = [(watch, ready) for watch, ready in joining if watch not in leaving]
        if not (joining or leaving):
            return
        for watch, _ in new:
            watch.snapshot.scan()
            self._watches.append(watch)
        self._lively_until = time.monotonic() + _LIVELY
        self._rebuild()
        for _, ready in joining:
            self._post(_resolve, ready, None)

    def _look(self, seen: set[tuple[int, str]]) -> None:
        """Something happened to these paths."""
        paths = {path for _, path in seen}
        if any(path in self._folders or (kind != MODIFIED and _may_be_folder(path)) for kind, path in seen):
            self._rebuild()
        for watch in self._watches:
            difference = watch.snapshot.check(paths)
            self._report(watch, difference.changed, difference.missing)

    def _rebuild(self) -> None:
        """Watch the folders that are there now, and find what changed while that was being arranged."""
        for _ in range(10):
            # The identities first: a folder that is replaced from here on is found by the next look at them.
            self._identities = {root: _identity(root) for watch in self._watches for root in watch.snapshot.roots}
            self._scan()
            wanted = frozenset[str]().union(*(watch.snapshot.folders for watch in self._watches))
            self._folders = wanted
            if not self._notifier.rearm(wanted):
                continue  # a folder vanished meanwhile
            if not self._notifier.armed:
                return
            self._scan()
            # A folder that appeared between the walk and the watching is not watched: walk again.
            if wanted == frozenset[str]().union(*(watch.snapshot.folders for watch in self._watches)):
                return

    def _scan(self) -> None:
        for watch in self._watches:
            difference = watch.snapshot.scan()
            self._report(watch, difference.changed, difference.missing)

    def _report(self, watch: Watch, changed: frozenset[str], missing: frozenset[str]) -> None:
        now = time.monotonic()
        for path in missing:
            watch.missing.setdefault(path, now + _GRACE)
        for path in changed:
            watch.missing.pop(path, None)
        if changed:
            self._lively_until = now + _LIVELY
            self._post(watch.deliver, changed, self._clock.now())

    def _give_up_missing(self) -> None:
        now = time.monotonic()
        for watch in self._watches:
            due = [path for path, deadline in watch.missing.items() if deadline <= now]
            if not due:
                continue
            for path in due:
                del watch.missing[path]
            back = watch.snapshot.check(due)
            absent = [f"{root}{os.sep}" for root in watch.snapshot.roots if _identity(root) is None]
            gone = {path for path in back.missing if not path.startswith(tuple(absent))}
            watch.snapshot.forget(gone)
            self._report(watch, back.changed | gone, frozenset())

    def _refuse(self, error: BaseException) -> None:
        with self._lock:
            joining, self._joining = self._joining, []
        for _, ready in joining:
            self._post(_resolve, ready, error)

    def _post(self, callback: Callable[[Unpack[_Arguments]], object], *arguments: *_Arguments) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed over our head: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


def _identity(root: str) -> tuple[int, int] | None:
    """Tells a folder from another one of the same name; None if there is none."""
    try:
        status = os.stat(root)  # noqa: PTH116 - a text
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _may_be_folder(path: str) -> bool:
    return may_be_source_folder(os.path.basename(path)) and os.path.isdir(path)  # noqa: PTH112, PTH119 - a text


def _resolve(ready: asyncio.Future[None], error: BaseException | None) -> None:
    if ready.done():
        return
    if error is None:
        ready.set_result(None)
    else:
        ready.set_exception(error)
