"""The configuration as a node knows it: in memory, always fresh, for as long as somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.config.api import Layer, Setting, Update
from microlite.core.config.tree import overlay
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.caller import Caller
from microlite.core.library.state.following import keep_open

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microlite.core.description.structs import ConfigDeclaration
    from microlite.core.library.context import Context, Scope
    from microlite.core.library.stream import Transport

PREFIX: Final = "MICROLITE_CONFIG_"

PATIENCE: Final = 5.0
"""Seconds that the first look at the configuration may take."""

_REQUEST: Final[dict[str, object]] = {"secret": True, "state": True}

_decode: Final = msgspec.msgpack.Decoder(Update).decode

log = logging.getLogger("microlite.config")


class Snapshot:
    """All leaves in force in one namespace. It is an attachment of a node; see `library.attachments`.

    What a broken connection leaves stays in force, until the next one brings the state anew.

    Args:
        namespace: whose configuration.
        declared: by the service itself, for the types of variables.

    Attributes:
        settings: by canonical path.
        revision: what they are at least of; -1 before the first look.
        state: counts what has come in.
        complained: what was found wrong with them, and said.
    """

    name = "follow the configuration"

    def __init__(self, namespace: str, declared: tuple[ConfigDeclaration, ...] = ()) -> None:
        self.namespace = namespace
        self.settings: dict[str, Setting] = {}
        self.revision = -1
        self.state = 0
        self.complained: set[str] = set()
        self._declared = declared
        self._coming: dict[str, Setting] = {}
        self._variables: dict[str, Setting] | None = None
        self._complete = asyncio.Event()
        self._moved = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def loaded(self) -> bool:
        """Whether the state is known."""
        return self._complete.is_set()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def prepare(self, context: Context) -> None:
        """See `Attachment`: know the state before anybody asks."""
        await self.load(context)

    async def run(self, context: Context) -> None:
        """See `Attachment`: follow what changes."""
        await self.follow(context)

    async def follow(self, caller: Caller) -> None:
        """Take over the state and what changes in it, until canceled."""
        async with aclosing(
            keep_open(_Straight(caller, self.namespace), "config", "watch", _REQUEST, _decode)
        ) as stream:
            async for update in stream:
                self.take(update)

    async def load(self, caller: Caller) -> None:
        """Return when the state is known, taking one look if it is not."""
        if self.loaded:
            return
        try:
            straight = _Straight(caller, self.namespace)
            stream = straight.stream_raw("config", "watch", encode_msgpack(_REQUEST), decode=_decode)
            async with aclosing(stream), asyncio.timeout(PATIENCE):
                async for update in stream:
                    self.take(update)
                    if update.last:
                        return
        except TimeoutError:
            raise errors.Timeout(f"the configuration was not to be had within {PATIENCE:g} s") from None

    def load_blocking(self, socket: Path) -> None:
        """Look once, over a connection of its own, while the loop waits: about a millisecond, once in a process.

        Raises:
            ServiceUnavailable: the platform cannot be reached.
        """
        from microlite.core.rpc.blocking import BlockingClient

        with BlockingClient(socket) as client:
            updates = client.stream(
                "config", "watch", encode_msgpack(_REQUEST), timeout=PATIENCE, namespace=self.namespace
            )
            for payload in updates:
                update = _decode(payload)
                self.take(update)
                if update.last:
                    updates.close()
                    return

    def take(self, update: Update) -> None:
        """Take over what a watch says."""
        if update.first:
            self._coming = {}  # what is known stays in force until this is complete
        for path in update.gone:
            self._coming.pop(path, None)
        for setting in update.settings:
            self._coming[setting.path] = setting
        if not update.last:
            return
        self.settings = self._with_variables(self._coming)
        self.revision = update.revision
        self.state += 1
        self._complete.set()
        self._moved.set()
        self._moved = asyncio.Event()
        for listener in self._listeners:
            listener()

    async def reached(self, revision: int, patience: float = 1.0) -> None:
        """Return when what was changed by a revision is here, or after `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                while self.revision < revision:
                    await self._moved.wait()
        except TimeoutError:
            log.warning("the configuration of revision %d has not come in within %g s", revision, patience)

    def _with_variables(self, known: dict[str, Setting]) -> dict[str, Setting]:
        """The variables of this process stand above what is not set, and below what is."""
        if self._variables is None:
            self._variables = self._read_variables()
        if not self._variables:
            return dict(known)
        stored = {path: one for path, one in known.items() if one.layer is Layer.STORE}
        rest = {path: one for path, one in known.items() if one.layer is not Layer.STORE}
        return overlay(overlay(rest, self._variables, _is_empty), stored, _is_empty)

    def _read_variables(self) -> dict[str, Setting]:
        variables = [(name.removeprefix(PREFIX), text) for name, text in os.environ.items() if name.startswith(PREFIX)]
        if not variables:
            return {}
        from microlite.core.config.declarations import Declared
        from microlite.core.config.layers import variable_leaves

        declared = [Declared("", one) for one in self._declared]
        return {path: leaf.setting for path, leaf in variable_leaves(variables, declared, PREFIX).items()}


class _Straight(Caller):
    """Goes straight to the platform, which has the configuration: no table of routes is needed for that."""

    __slots__ = ("_origin",)

    def __init__(self, caller: Caller, namespace: str) -> None:
        super().__init__(_platform(caller), namespace=namespace)
        self._origin = caller

    def renew(self) -> bool:
        """See `Caller`."""
        found = self._origin.renew()
        self._transport = _platform(self._origin)
        return found


def _platform(caller: Caller) -> Transport:
    transport: Transport = caller._transport  # noqa: SLF001 - see `snapshot_of`
    return getattr(transport, "platform", transport)


def snapshot_of(caller: Caller) -> Snapshot:
    """The snapshot that a caller reads: of its node, or of its own connection. Made, and followed, from the first use on."""
    namespace = caller._namespace  # noqa: SLF001 - what keeps a state for callers reads what they have in common
    scope: Scope | None = getattr(caller, "_scope", None)
    transport: Any = caller._transport  # noqa: SLF001 - as above
    states: dict[str, Any] = scope.states if scope is not None else transport.__dict__.setdefault("states", {})
    key = f"config {namespace}"
    snapshot: Snapshot | None = states.get(key)
    if snapshot is None:
        snapshot = states[key] = Snapshot(namespace, states.get("config declarations", ()))
        if scope is not None and scope.adopt is not None:
            scope.adopt(snapshot)
        elif scope is None:
            task = transport.loop.create_task(_keep(snapshot, caller), name="microlite: follow the configuration")
            transport.__dict__.setdefault("state_tasks", set()).add(task)
    return snapshot


async def _keep(snapshot: Snapshot, caller: Caller) -> None:
    """Follow for a client, for as long as it is open."""
    with contextlib.suppress(errors.Error):
        await snapshot.follow(caller)


def _is_empty(setting: Setting) -> bool:
    return not setting.secret and isinstance(setting.value, dict) and not setting.value
