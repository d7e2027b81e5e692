"""What a service declares about its configuration, and the functions that it has called on changes."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.config.declarations import misfit
from microlite.core.config.paths import canonical, words_of
from microlite.core.config.tree import flatten
from microlite.core.description.annotations import Annotations, unwrap
from microlite.core.description.declaration import Place
from microlite.core.description.schema import type_schema
from microlite.core.description.schema_path import dereference
from microlite.core.description.signature import is_context
from microlite.core.description.structs import ConfigDeclaration
from microlite.core.library.failure import report
from microlite.core.library.state.config_snapshot import log, snapshot_of
from microlite.core.library.state.config_values import (
    MisfitError,
    below,
    convert,
    convert_or_repair,
    to_plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.library.attachments import Attachment
    from microlite.core.library.context import Context
    from microlite.core.library.state.config_snapshot import Snapshot

T = TypeVar("T")

_NOTHING: Final = object()


class Configured(Generic[T]):
    """A declared part of the configuration; comes from `service.config`."""

    __slots__ = ("_default", "_of", "_read", "_snapshot", "path")

    def __init__(self, path: str, of: Any, default: Any) -> None:
        self.path = path
        self._of = of
        self._default = default
        self._snapshot: Snapshot | None = None
        self._read: tuple[int, Any] = (-2, None)

    @property
    def value(self) -> T:
        """What is in force now. What does not fit was logged, and the default of its field stands in.

        Raises:
            NotFound: nothing is set, and there is no default.
            InternalServerError: what is set does not fit, and there is no default.
            ServiceUnavailable: the service does not run yet.
        """
        snapshot = self._snapshot
        if snapshot is None:
            raise errors.ServiceUnavailable(
                f"the configuration at {self.path} is known when the service runs, not before"
            )
        if self._read[0] != snapshot.state:
            found = _value(snapshot, self.path, self._of, self._default)
            if found is _NOTHING:
                raise errors.NotFound(
                    f"nothing is set at {self.path}: set it with `microlite config set {self.path} …`"
                )
            self._read = (snapshot.state, found)
        return self._read[1]  # type: ignore[no-any-return]  # a T

    def bind(self, snapshot: Snapshot) -> None:
        """The node runs; from here on its values are known."""
        self._snapshot = snapshot
        self._read = (-2, None)


class _Hook(NamedTuple):
    """One function of `on_config`."""

    function: Callable[..., Any]
    takes_context: bool
    path: str
    of: Any
    default: Any
    place: Place

    async def run(self, context: Context, value: object) -> None:
        """Call it: on the loop if it is asynchronous, else in a thread."""
        arguments = (context, value) if self.takes_context else (value,)
        if inspect.iscoroutinefunction(self.function):
            await self.function(*arguments)
        else:
            await asyncio.to_thread(self.function, *arguments)


class ConfigHooks:
    """The attachment of a service that declares something.

    Attributes:
        declarations: for its description.
    """

    name = "call functions on changes of the configuration"

    def __init__(self) -> None:
        self.declarations: list[ConfigDeclaration] = []
        self._handles: list[Configured[Any]] = []
        self._hooks: list[_Hook] = []

    def declare(self, path: str, of: Any, default: Any, *, secret: bool, doc: str, place: Place) -> Configured[Any]:
        """See `Service.config`."""
        top = self._declare(path, of, default, secret=secret, doc=doc, place=place)
        handle: Configured[Any] = Configured(top, of, default)
        self._handles.append(handle)
        return handle

    def add(self, function: Callable[..., Any], path: str, default: Any, *, secret: bool) -> None:
        """See `Service.on_config`."""
        place = Place.of(function)
        takes_context, of = _read_signature(function, place)
        top = self._declare(path, of, default, secret=secret, doc=inspect.getdoc(function) or "", place=place)
        self._hooks.append(_Hook(function, takes_context, top, of, default, place))

    async def prepare(self, context: Context) -> None:
        """See `Attachment`: each value is known, and was handed over, before the first call.

        Raises:
            InternalServerError: a function failed.
        """
        snapshot = snapshot_of(context)
        await snapshot.load(context)
        for handle in self._handles:
            handle.bind(snapshot)
        self._warn(snapshot)
        last = _states(context)
        for hook in self._hooks:
            value = _value_or_log(snapshot, hook)
            last[id(hook)] = value
            if value is not _NOTHING:
                try:
                    await hook.run(context, value)
                except Exception as error:
                    report(error, context, None)
                    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                    raise errors.InternalServerError(f"on_config of {hook.path} failed: {said}") from error

    async def run(self, context: Context) -> None:
        """See `Attachment`: call the functions whose values have changed, one after the other."""
        snapshot = snapshot_of(context)
        moved = asyncio.Event()
        snapshot.subscribe(moved.set)
        last: dict[int, Any] = _states(context)
        moved.set()  # something may have changed since `prepare`
        try:
            while True:
                await moved.wait()
                moved.clear()
                self._warn(snapshot)
                for hook in self._hooks:
                    await self._call(hook, context, snapshot, last)
        finally:
            snapshot.unsubscribe(moved.set)

    async def _call(self, hook: _Hook, context: Context, snapshot: Snapshot, last: dict[int, Any]) -> None:
        value = _value_or_log(snapshot, hook)
        if value is _NOTHING or _same(value, last.get(id(hook), _NOTHING)):
            return
        last[id(hook)] = value
        try:
            await hook.run(context, value)
        except errors.Error as error:
            context.log.warning("on_config of %s: %s", hook.path, error.detail)
        except Exception as error:  # noqa: BLE001 - the edge of user code
            report(error, context, None)

    def _warn(self, snapshot: Snapshot) -> None:
        """Log what does not fit, once for each state in which it does not."""
        wrong = {
            f"{path}{text}; its default stands in, where there is one"
            for path, setting in snapshot.settings.items()
            for one in self.declarations
            if not setting.problem and (text := misfit(one, path, setting.value))
        }
        for text in sorted(wrong - snapshot.complained):
            log.warning("%s", text)
        snapshot.complained = wrong

    def _declare(self, path: str, of: Any, default: Any, *, secret: bool, doc: str, place: Place) -> str:
        try:
            top = canonical(path)
        except errors.BadRequest as error:
            raise place.error(error.detail) from None
        if not top:
            raise place.error("name a path of the configuration, as in limits.max")
        schema = type_schema(of, place, f"the configuration at {top}")
        plain, has_default = _plain_default(of, default, schema, place, top)
        declaration = ConfigDeclaration(
            path=top, schema=schema, default=plain, has_default=has_default, secret=secret, doc=doc.strip()
        )
        if has_default and default is not ... and default is not None:
            for one, leaf in flatten(plain, words_of(top)).items():
                if wrong := misfit(declaration, one, leaf):
                    raise place.error(f"the default of {one} does not fit{wrong}")
        if declaration not in self.declarations:
            self.declarations.append(declaration)
        return top


def hooks_of(attachments: list[Attachment]) -> ConfigHooks:
    """The one attachment of a service for its configuration; made when there is none."""
    for attachment in attachments:
        if isinstance(attachment, ConfigHooks):
            return attachment
    hooks = ConfigHooks()
    attachments.append(hooks)
    return hooks


def _states(context: Context) -> dict[int, Any]:
    """What each function of this node was called with last."""
    states: dict[int, Any] = context._scope.states.setdefault("config hooks", {})  # noqa: SLF001 - the node's own room
    return states


def _read_signature(function: Callable[..., Any], place: Place) -> tuple[bool, Any]:
    """Whether a function takes the context first, and the type of the value."""
    parameters = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        and one.default is inspect.Parameter.empty
    ]
    if len(parameters) not in (1, 2):
        raise place.error("a function of on_config takes the value, or the context and the value")
    annotations = Annotations(function)
    value = parameters[-1].name
    if value not in annotations:
        raise place.error(f"parameter `{value}`: say of which type the value is, as in `{value}: int`")
    of = annotations.resolve(value)
    if is_context(unwrap(of)):
        raise place.error("a function of on_config takes the value, after the context")
    return len(parameters) == 2, of


def _plain_default(of: Any, default: Any, schema: dict[str, Any], place: Place, path: str) -> tuple[Any, bool]:
    """What the description says of the default: a whole value, or the fields that have one."""
    if default is not ...:
        try:
            return to_plain(default), True
        except errors.BadRequest as error:
            raise place.error(f"the default of {path}: {error.detail}") from None
    try:
        return to_plain(convert({}, path, of)), True
    except (MisfitError, errors.Error):
        fields = dereference(schema, schema).get("properties", {})
        known = {
            name: field["default"] for name, field in fields.items() if isinstance(field, dict) and "default" in field
        }
        return (known, True) if known else (None, False)


def _value(snapshot: Snapshot, path: str, of: Any, default: Any) -> Any:
    """The value in force, or `_NOTHING`.

    Raises:
        InternalServerError: what is set does not fit, and there is no default.
    """
    settings = below(snapshot.settings, path)
    if settings:
        try:
            return convert_or_repair(settings, path, of)[0]
        except MisfitError as error:
            if default is ...:
                raise errors.InternalServerError(f"the configuration is wrong: {error.detail}") from None
            return default
    if default is not ...:
        return default
    try:
        return convert({}, path, of)
    except MisfitError:
        pass
    try:
        return msgspec.convert(None, of)
    except msgspec.ValidationError:
        return _NOTHING


def _value_or_log(snapshot: Snapshot, hook: _Hook) -> Any:
    try:
        return _value(snapshot, hook.path, hook.of, hook.default)
    except errors.Error as error:
        log.warning("on_config of %s is not called: %s", hook.path, error.detail)
        return _NOTHING


def _same(value: Any, other: Any) -> bool:
    """Whether two values are the same to whoever looks; True is not 1 here."""
    if other is _NOTHING or type(value) is not type(other):
        return False
    try:
        return bool(value == other) and to_plain(value) == to_plain(other)
    except errors.BadRequest:
        return False
