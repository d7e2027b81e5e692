"""The configurations that somebody follows, kept up to date in memory for as long as somebody does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.config.api import Update
from microlite.core.config.configuration import is_empty, stored_leaf
from microlite.core.config.layers import show
from microlite.core.config.paths import canonical, lies_within
from microlite.core.config.records import HEAD, LEAVES, decode_head, decode_kept, encode
from microlite.core.config.tree import overlay
from microlite.core.engine.api import ChangeKind, Resync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.core.config.configuration import Configuration
    from microlite.core.config.layers import Leaf
    from microlite.core.engine.api import Change, Record

PART: Final = 200
"""Settings in one update; a larger one comes in several."""

log = logging.getLogger("microlite.config")


class Views:
    """One view for each namespace that is followed.

    Args:
        configuration: what is followed.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._views: dict[str, _View] = {}
        configuration.layers.subscribe(self._on_layers)

    @property
    def followed(self) -> tuple[str, ...]:
        """The namespaces whose configuration somebody follows."""
        return tuple(self._views)

    async def follow(self, namespace: str, path: str, *, reveal: bool, state: bool) -> AsyncIterator[Update]:
        """Tell what changes at or below a path, without an end. Changes that come together make one update.

        Who reads slowly gets the newest state of what has changed meanwhile, not each state in between.

        Args:
            namespace: whose configuration.
            path: where; empty for all.
            reveal: whether secrets are shown.
            state: whether to begin with what there is.
        """
        top = canonical(path)
        view = self._views.get(namespace)
        if view is None:
            view = self._views[namespace] = _View(self._configuration, namespace)
        follower = _Follower()
        view.add(follower)
        try:
            await view.ready()
            follower.dirty.clear()
            if state:
                for update in self._parts(view, set(view.leaves), top, reveal=reveal, first=True):
                    yield update
            else:
                yield Update(revision=view.revision)
            seen = view.revision
            while True:
                await follower.wait(view)
                dirty, follower.dirty = follower.dirty, set()
                if view.revision == seen and not any(lies_within(one, top) for one in dirty):
                    continue
                seen = view.revision
                for update in self._parts(view, dirty, top, reveal=reveal):
                    yield update
        finally:
            view.remove(follower)
            if not view.followed and self._views.get(namespace) is view:
                del self._views[namespace]
                view.stop()

    def _parts(self, view: _View, paths: set[str], top: str, *, reveal: bool, first: bool = False) -> list[Update]:
        """What to say of some paths, in parts of a size that travels well. At least one."""
        wanted = sorted(one for one in paths if lies_within(one, top))
        keys, revision = self._configuration.keys, view.revision
        updates = []
        for start in range(0, max(1, len(wanted)), PART):
            part = wanted[start : start + PART]
            updates.append(
                Update(
                    revision=revision,
                    first=first and start == 0,
                    last=start + PART >= len(wanted),
                    settings=tuple(
                        show(keys, view.namespace, view.leaves[one], reveal=reveal)
                        for one in part
                        if one in view.leaves
                    ),
                    gone=tuple(one for one in part if one not in view.leaves),
                )
            )
        return updates

    def _on_layers(self, namespace: str) -> None:
        if view := self._views.get(namespace):
            view.refresh_soon()


class _Follower:
    def __init__(self) -> None:
        self.dirty: set[str] = set()
        self.woken = asyncio.Event()

    async def wait(self, view: _View) -> None:
        await self.woken.wait()
        self.woken.clear()
        view.check()


class _View:
    """The leaves in force in one namespace.

    Attributes:
        leaves: by canonical path.
        revision: what they are at least of.
    """

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        self.namespace = namespace
        self.leaves: dict[str, Leaf] = {}
        self.revision = 0
        self._configuration = configuration
        self._stored: dict[str, Leaf] = {}
        self._newest = 0
        self._followers: set[_Follower] = set()
        self._complete = asyncio.Event()
        self._pending: asyncio.Handle | None = None
        self._task = asyncio.get_running_loop().create_task(
            self._watch(), name=f"microlite: configuration of {namespace}"
        )

    @property
    def followed(self) -> bool:
        """Whether anybody follows."""
        return bool(self._followers)

    def add(self, follower: _Follower) -> None:
        """Somebody follows from now on."""
        self._followers.add(follower)

    def remove(self, follower: _Follower) -> None:
        """Somebody does so no more."""
        self._followers.discard(follower)

    async def ready(self) -> None:
        """Return when the state is complete."""
        await self._complete.wait()
        self.check()

    def check(self) -> None:
        """Raise what ended the view, if something did."""
        if self._task.done() and not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    def stop(self) -> None:
        """Nobody follows any more."""
        self._task.cancel()
        if self._pending is not None:
            self._pending.cancel()

    def refresh_soon(self) -> None:
        """Something below may be different; look in the next turn of the loop, once for all that comes until then."""
        if self._pending is None:
            self._pending = asyncio.get_running_loop().call_soon(self._refresh)

    async def _watch(self) -> None:
        try:
            async with self._configuration.engine.watch(self.namespace, LEAVES, from_revision=0) as watch:
                async for change in watch:
                    if isinstance(change, Resync):
                        self._resync(change)
                    else:
                        self._apply(change)
        except errors.Error:
            raise  # the engine closes; the followers are told
        except Exception as error:
            log.exception("the configuration of %s cannot be followed", self.namespace)
            raise errors.InternalServerError(
                "the configuration cannot be followed; the platform's log says why"
            ) from error
        finally:
            self._complete.set()
            for follower in self._followers:
                follower.woken.set()

    def _resync(self, change: Resync) -> None:
        if change.first:
            self._stored = {}
        for record in change.records:
            self._put(record)
        if change.last:
            self._refresh()
            self._complete.set()

    def _apply(self, change: Change) -> None:
        if change.kind is ChangeKind.PUT:
            self._put(change)
        else:
            self._stored.pop(change.key, None)
        self.refresh_soon()

    def _put(self, record: Record | Change) -> None:
        if record.key == HEAD:
            self._newest = decode_head(record.value).revision
        else:
            self._stored[record.key] = stored_leaf(record.key, decode_kept(record.value))

    def _refresh(self) -> None:
        self._pending = None
        self.revision = self._newest
        before = self.leaves
        self.leaves = overlay(self._configuration.layers.base(self.namespace), self._stored, is_empty)
        dirty = before.keys() - self.leaves.keys()
        for path, leaf in self.leaves.items():
            known = before.get(path)
            if known is not leaf and (known is None or encode(known) != encode(leaf)):
                dirty.add(path)
        for follower in self._followers:
            follower.dirty |= dirty
            follower.woken.set()
