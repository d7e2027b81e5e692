"""Services and endpoints as objects of Python: `greeter.hello`, `notes.comments.create`, and calls of them."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from microlite.cli.output import plain
from microlite.core.description.access_words import access_words
from microlite.core.description.naming import DEFAULT_ENDPOINT, normalise_endpoint
from microlite.core.description.type_words import type_word
from microlite.core.errors import Error, Unauthorized

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Mapping, Sequence

    from microlite.cli.described import Described, DescribedEndpoint
    from microlite.cli.prompt.line import Line


class Misuse(Exception):
    """What was typed cannot be meant so; the message says what to type instead."""


class MisusedName(Misuse, AttributeError):
    """The same, for a name that a service does not have: Python asks objects for names that nobody typed."""


def identifier(name: str) -> str:
    """A name of a service, or a part of an endpoint's, as Python can say it."""
    return name.replace("-", "_").replace(".", "_")


class ServiceObject:
    """A service, or a group of its endpoints.

    Args:
        line: makes the calls.
        versions: of the service, as described when the statement began; at least one.
        prefix: of the endpoints in this group, `comments.`; empty for the service.
    """

    def __init__(self, line: Line, versions: Sequence[Described], prefix: str = "") -> None:
        self._line = line
        self._versions = versions
        self._prefix = prefix
        self._endpoints = {
            one.name.removeprefix(prefix): one
            for version in versions
            for one in version.endpoints
            if one.name.startswith(prefix)
        }

    @property
    def described(self) -> Described:
        """The first version's description."""
        return self._versions[0]

    def __getattr__(self, name: str) -> Endpoint | ServiceObject:
        part = normalise_endpoint(name)
        path = f"{self._path()}.{name}"
        if part in self._endpoints:
            return Endpoint(self._line, self.described.name, self._endpoints[part], path)
        if not name.startswith("__") and any(one.startswith(f"{part}.") for one in self._endpoints):
            return ServiceObject(self._line, self._versions, f"{self._prefix}{part}.")
        names = dir(self)
        close = get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'none'}"
        raise MisusedName(f"{self._path()} has no endpoint {name}; {hint}")

    def __dir__(self) -> list[str]:
        return sorted({identifier(name.partition(".")[0]) for name in self._endpoints})

    def __call__(self, *args: object, **fields: object) -> Call:
        """A call of the default endpoint."""
        endpoint: Any = getattr(self, DEFAULT_ENDPOINT)
        return Call(endpoint, args, fields)

    def __repr__(self) -> str:
        return f"<{self._path()}: {', '.join(dir(self)) or 'no endpoints'}>"

    def _path(self) -> str:
        return ".".join(map(identifier, filter(None, (self.described.name, *self._prefix.split(".")))))


class Endpoint:
    """An endpoint: called, it gives a `Call`.

    Args:
        line: makes the calls.
        service: whose endpoint it is.
        described: the endpoint.
        path: what was typed for it.
    """

    def __init__(self, line: Line, service: str, described: DescribedEndpoint, path: str) -> None:
        self.line = line
        self.service = service
        self.described = described
        self.path = path
        self.__doc__ = described.doc

    @property
    def fields(self) -> Mapping[str, Any]:
        """The schemas of the request's fields by their names."""
        properties: Mapping[str, Any] = self.described.request.get("properties", {})
        return properties

    def __call__(self, *args: object, **fields: object) -> Call:
        """A call with these fields, which can be given in their order too; it is made when it is awaited."""
        return Call(self, args, fields)

    def __repr__(self) -> str:
        return f"<endpoint {self.signature()}>"

    def signature(self) -> str:
        """How it is called: `greeter.hello(name: string = 'world') -> string`."""
        root = self.described.request
        required = root.get("required", ())
        parts = ["items: stream"] if self.described.takes_stream else []
        for name, schema in self.fields.items():
            default = "" if name in required else f" = {schema.get('default')!r}"
            parts.append(f"{name}: {type_word(schema, root)}{default}")
        word = type_word(self.described.response, self.described.response)
        answer = f"stream of {word}" if self.described.gives_stream else word
        return f"{self.path}({', '.join(parts)}) -> {answer}"


class Call:
    """A call that is not made yet: `await` makes it, or `async for` where it answers with a stream.

    Args:
        endpoint: what is called.
        args: fields without their names; the stream to send first, where the endpoint takes one.
        fields: fields by name; `items` for the stream.
    """

    def __init__(self, endpoint: Endpoint, args: tuple[object, ...], fields: dict[str, object]) -> None:
        self._endpoint = endpoint
        self._items: Any = ()
        names = list(endpoint.fields)
        if endpoint.described.takes_stream:
            names = ["items", *names]
        if len(args) > len(names):
            raise Misuse(f"{endpoint.path} takes {len(names)} fields, not {len(args)}: {endpoint.signature()}")
        for name, value in zip(names, args, strict=False):
            if name in fields:
                raise Misuse(f"{endpoint.path} got {name} twice")
            fields[name] = value
        unknown = next((name for name in fields if name not in names), None)
        if unknown is not None:
            close = get_close_matches(unknown, names, 1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'none'}"
            raise Misuse(f"{endpoint.path} has no field {unknown}; {hint}")
        if endpoint.described.takes_stream:
            self._items = fields.pop("items", ())
        self._fields = fields

    def __await__(self) -> Generator[Any, None, Any]:
        if self._endpoint.described.gives_stream:
            raise Misuse(
                f"{self._endpoint.path} answers with a stream: async for item in {self._endpoint.path}(…): print(item)"
            )
        return self._answer().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        if not self._endpoint.described.gives_stream:
            raise Misuse(f"{self._endpoint.path} answers once: await {self._endpoint.path}(…)")
        return self._stream()

    def __iter__(self) -> Generator[Any, None, Any]:
        path = self._endpoint.path
        if self._endpoint.described.gives_stream:
            raise Misuse(f"a stream comes bit by bit: async for item in {path}(…): print(item)")
        raise Misuse(f"the call is made by await: await {path}(…)")

    def __repr__(self) -> str:
        how = "async for item in {}(…): print(item)" if self._endpoint.described.gives_stream else "await {}(…)"
        return f"<a call that is not made yet: {how.format(self._endpoint.path)}>"

    @property
    def _target(self) -> str:
        return f"{self._endpoint.service}.{self._endpoint.described.name}"

    async def _answer(self) -> Any:
        caller = await self._endpoint.line.caller()
        if not self._endpoint.described.takes_stream:
            try:
                return await caller.call(self._target, self._fields)
            except Unauthorized as error:
                raise await self._endpoint.line.explain(error) from None
        async with caller.stream(self._target, self._fields) as stream:
            feeding = stream.feed(self._items)
            try:
                await feeding
            except Error:
                pass  # the service has read enough: its reply says why
            return await stream.reply()

    async def _stream(self) -> AsyncIterator[Any]:
        caller = await self._endpoint.line.caller()
        async with caller.stream(self._target, self._fields) as stream:
            feeding = stream.feed(self._items) if self._endpoint.described.takes_stream else None
            try:
                async for item in stream:
                    yield item
            finally:
                if feeding is not None:
                    feeding.cancel()


def explain(what: object) -> str:
    """Doc, fields and types of a service, a group or an endpoint; empty for what is none of them."""
    if isinstance(what, Endpoint):
        return plain(_explain_endpoint(what))
    if isinstance(what, ServiceObject):
        lines = [repr(what), ""]
        doc = what.described.doc
        lines += [doc, ""] if doc else []
        for name in dir(what):
            one = getattr(what, name)
            lines.append(f"  {one.signature()}" if isinstance(one, Endpoint) else f"  {one!r}")
            summary = one.described.summary if isinstance(one, Endpoint) else ""
            lines += [f"      {summary}"] if summary else []
        return plain("\n".join(lines))
    return ""


def _explain_endpoint(endpoint: Endpoint) -> str:
    described = endpoint.described
    lines = [endpoint.signature(), ""]
    lines += [inspect.cleandoc(described.doc), ""] if described.doc else []
    demands = list(access_words(described.role, described.scopes))
    lines += [f"({', '.join(demands)})", ""] if demands else []
    for name, schema in endpoint.fields.items():
        about = schema.get("description", "").replace("\n", " ")
        lines.append(f"  {name}: {type_word(schema, described.request)}" + (f"  {about}" if about else ""))
    how = (
        f"async for item in {endpoint.path}(…): print(item)" if described.gives_stream else f"await {endpoint.path}(…)"
    )
    return "\n".join([*lines, *([""] if endpoint.fields else []), how])
