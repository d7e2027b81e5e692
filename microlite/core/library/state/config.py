"""`ctx.config`: the configuration of the namespace."""

from __future__ import annotations

import copy
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import msgspec

from microlite.core import errors
from microlite.core.config.api import Explained, Update, Written
from microlite.core.config.paths import canonical
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.state.config_snapshot import log, snapshot_of
from microlite.core.library.state.config_values import (
    MisfitError,
    below,
    convert,
    convert_or_repair,
    to_plain,
)
from microlite.core.library.state.following import keep_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.core.library.caller import Caller
    from microlite.core.library.state.config_snapshot import Snapshot

T = TypeVar("T")
D = TypeVar("D")

_written: Final = msgspec.msgpack.Decoder(Written).decode
_explained: Final = msgspec.msgpack.Decoder(list[Explained]).decode
_update: Final = msgspec.msgpack.Decoder(Update).decode
_said: Final[set[tuple[str, int, str]]] = set()
_MOST_SAID: Final = 1_000


class Config:
    """The settings of the namespace, by dotted path.

    Reading asks nobody: a node keeps what is in force in memory, from the first use on, and changes arrive there within
    milliseconds. While the connection to the platform is broken, what was known last stays in force.
    """

    BRIDGED = True

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @overload
    def get(self, path: str) -> Any: ...

    @overload
    def get(self, path: str, of: type[T]) -> T: ...

    @overload
    def get(self, path: str, of: type[T], *, default: D) -> T | D: ...

    @overload
    def get(self, path: str, of: Any = ..., *, default: Any = ...) -> Any: ...

    def get(self, path: str, of: Any = Any, *, default: Any = ...) -> Any:
        """The value in force at a path. Returns at once.

        Args:
            path: dotted, as in `limits.max`; for a table of all below, name what is above. A word with a dot in it stands
                in double quotes.
            of: the type that is wanted, any that an endpoint could take.
            default: what to return where nothing is set, or what is set does not fit, which is logged then.

        Raises:
            NotFound: nothing is set there, and there is no default; a class whose fields all have defaults needs none.
            InternalServerError: what is set does not fit the type, and there is no default.
            Unprocessable: it is a secret that cannot be decrypted.
        """
        path = canonical(path)
        snapshot = self._loaded()
        settings = below(snapshot.settings, path)
        if not settings:
            return self._of_nothing(path, of, default)
        if of is Any:
            return copy.deepcopy(convert(settings, path, Any))
        try:
            value, wrong = convert_or_repair(settings, path, of)
        except MisfitError as error:
            if default is ...:
                raise errors.InternalServerError(f"the configuration is wrong: {error.detail}") from None
            _say_once(path, snapshot.revision, f"{error.detail}; its default stands in")
            return default
        for one in wrong:
            _say_once(path, snapshot.revision, f"{one}; its default stands in")
        return value

    def has(self, path: str) -> bool:
        """Whether there is something at or below a path, in any layer. Returns at once."""
        return bool(below(self._loaded().settings, canonical(path)))

    async def load(self) -> None:
        """Return when the configuration is known. Nobody needs it but tests that hold platform and client in one process."""
        await snapshot_of(self._caller).load(self._caller)

    async def set(self, path: str, value: object, *, secret: bool = False) -> Written:
        """Set what stands at a path: a table is merged leaf by leaf, anything else takes the place of what is there.

        When this returns, it is on disk, and `get` of this node gives it.

        Args:
            path: dotted; empty for the whole configuration.
            value: what JSON can say, or what can be written as such: a dataclass, a date.
            secret: keep it encrypted. What is secret already, or declared so by a service, stays it anyhow.

        Raises:
            BadRequest: the path is malformed, or the value does not fit what a service declares.
            PayloadTooLarge, InsufficientStorage: a limit is reached.
        """
        return await self._change("set", {"path": path, "value": to_plain(value), "secret": secret})

    async def unset(self, path: str) -> Written:
        """Take back what was set at a path, and all below it; files, variables and defaults hold again.

        Raises:
            NotFound: nothing is set there.
        """
        return await self._change("unset", {"path": path})

    async def explain(self, path: str = "") -> list[Explained]:
        """The single values at or below a path, where each comes from, and what it hides, as the platform sees it."""
        return _explained(await self._caller.call_raw("config", "explain", encode_msgpack({"path": path})))

    async def watch(self, path: str, of: Any = Any, *, default: Any = None) -> AsyncIterator[Any]:
        """The value at a path now, and after each change; changes that come together make one. A break is bridged.

        Args:
            path: dotted; empty for everything.
            of: the type that is wanted.
            default: what to give where nothing is set, or what is set does not fit.
        """
        path = canonical(path)
        await self.load()
        last: Any = ...
        opened = keep_open(self._caller, "config", "watch", {"path": path, "secret": True}, _update)
        async with aclosing(opened) as stream:
            async for update in stream:
                await snapshot_of(self._caller).reached(update.revision)
                value = self.get(path, of, default=default)
                if value != last or type(value) is not type(last):
                    last = value
                    yield value

    async def _change(self, endpoint: str, request: dict[str, object]) -> Written:
        written = _written(await self._caller.call_raw("config", endpoint, encode_msgpack(request)))
        snapshot = snapshot_of(self._caller)
        if snapshot.loaded:
            await snapshot.reached(written.revision)
        return written

    def _loaded(self) -> Snapshot:
        snapshot = snapshot_of(self._caller)
        if not snapshot.loaded:
            socket = getattr(self._caller._transport, "socket", None)  # noqa: SLF001 - see `snapshot_of`
            if socket is None:
                raise errors.ServiceUnavailable(
                    "the configuration is not known here yet: first `await ….config.load()`"
                )
            snapshot.load_blocking(socket)
        return snapshot

    def _of_nothing(self, path: str, of: Any, default: Any) -> Any:
        if default is not ...:
            return default
        if of is not Any:
            try:
                return convert({}, path, of)
            except MisfitError as error:
                if error.at != path:
                    raise errors.NotFound(f"nothing is set at {error.at}: {_remedy(error.at)}") from None
        raise errors.NotFound(f"nothing is set at {path or 'any path'}: {_remedy(path)}")


def _remedy(path: str) -> str:
    return f"set it with `microlite config set {path} …`, or give a default"


def _say_once(path: str, revision: int, text: str) -> None:
    """Warn, but not at each read of the same value."""
    key = (path, revision, text)
    if key not in _said:
        if len(_said) >= _MOST_SAID:
            _said.clear()
        _said.add(key)
        log.warning("%s", text)
