"""`ctx.config`, `service.config` and `on_config`, in services that run."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from microlite import Context, Service, errors
from microlite.core.description import DeclarationError
from microlite.testing import platform


class Limits(msgspec.Struct, frozen=True):
    """What a service declares."""

    max: int = 10
    rate: float = 1.5
    names: list[str] = []


class Calls:
    """What hooks were called with."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._arrived = asyncio.Event()

    def __call__(self, value: Any) -> None:
        self.values.append(value)
        self._arrived.set()

    async def reach(self, count: int) -> list[Any]:
        """Return when there were so many."""
        async with asyncio.timeout(20):
            while len(self.values) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.values


def reader() -> Service:
    """A service that reads what it is asked to."""
    service = Service("reader")

    @service.endpoint
    async def read(ctx: Context, path: str) -> Any:
        return ctx.config.get(path, default="none")

    @service.endpoint
    async def number(ctx: Context, path: str) -> int:
        return ctx.config.get(path, int)

    @service.endpoint
    async def write(ctx: Context, path: str, value: Any, secret: bool = False) -> Any:
        await ctx.config.set(path, value, secret=secret)
        return ctx.config.get(path)

    @service.endpoint
    async def erase(ctx: Context, path: str) -> bool:
        await ctx.config.unset(path)
        return ctx.config.has(path)

    @service.endpoint
    def blocking(ctx: Context, path: str, value: Any) -> Any:
        ctx.sync.config.set(path, value)
        return ctx.sync.config.get(path)

    return service


async def test_a_service_reads_what_it_has_just_set() -> None:
    """The snapshot is fresh when `set` returns, for asynchronous and blocking handlers, and secrets come in clear."""
    async with platform() as p:
        await p.serve(reader())
        assert await p.call("reader.read", path="a.b") == "none"
        assert await p.call("reader.write", path="a", value={"b": [1, {"c": "<&>"}]}) == {"b": [1, {"c": "<&>"}]}
        assert await p.call("reader.read", path="a.b") == [1, {"c": "<&>"}]
        assert await p.call("reader.write", path="db.password", value="hush", secret=True) == "hush"
        assert await p.call("config.get", path="db") == {"password": "[secret]"}
        assert await p.call("reader.blocking", path="a.d", value=1.0) == 1.0
        assert await p.call("reader.erase", path="a") is False


async def test_the_history_names_the_service_that_changed_something() -> None:
    """A change from a handler is told from one of a person."""
    async with platform() as p:
        await p.serve(reader())
        await p.call("reader.write", path="a", value=1)
        await p.call("config.set", path="a", value=2)
        person, service = await p.call("config.history")
        assert (service["service"], service["changes"][0]["new"]) == ("reader", 1)
        assert (person.get("service", ""), person["author"]) == ("", "admin")


async def test_a_value_of_another_type_is_the_services_fault_and_says_where() -> None:
    """What is set and does not fit is a 500 that names path and type, where there is no default."""
    async with platform() as p:
        await p.serve(reader())
        await p.call("config.set", path="a.n", value="many")
        with pytest.raises(errors.InternalServerError, match=r"a\.n: expected int, got str"):
            await p.call("reader.number", path="a.n")
        with pytest.raises(errors.NotFound, match=r"nothing is set at b\.n.*microlite config set b\.n"):
            await p.call("reader.number", path="b.n")


async def test_hooks_get_typed_values_at_the_start_and_on_each_change() -> None:
    """Before the first call, then once for each different value, also when the value goes."""
    numbers, tables = Calls(), Calls()
    service = Service("worker")

    @service.on_config("pool.size", default=4)
    async def resize(size: int) -> None:
        numbers(size)

    @service.on_config("limits")
    def limit(ctx: Context, limits: Limits) -> None:
        ctx.sync.config.get("limits")
        tables(limits)

    handle = service.config("limits", Limits)
    async with platform() as p:
        with pytest.raises(errors.ServiceUnavailable, match="when the service runs"):
            _ = handle.value
        await p.call("config.set", path="limits.max", value=3)
        await p.serve(service)
        assert (numbers.values, tables.values) == ([4], [Limits(max=3)])
        await p.call("config.set", path="pool", value={"size": 8})
        assert await numbers.reach(2) == [4, 8]
        await p.call("config.set", path="limits", value={"max": 3, "names": ["a"]})
        assert await tables.reach(2) == [Limits(max=3), Limits(max=3, names=["a"])]
        assert handle.value == Limits(max=3, names=["a"])
        await p.call("config.unset", path="pool.size")
        assert await numbers.reach(3) == [4, 8, 4]


async def test_what_does_not_fit_a_declaration_is_refused_by_path_and_type() -> None:
    """400, for leaves, tables, unknown fields, and what would stand above; nothing is changed."""
    service = Service("worker")
    service.config("limits", Limits)
    async with platform() as p:
        await p.serve(service)
        for path, value, says in (
            ("limits.max", "3", r"limits\.max: expected int, got str, as worker declares limits"),
            ("limits", {"names": [1]}, r"limits\.names\[0\]: expected str, got int"),
            ("limits.rat", 3, r"limits\.rat: no such setting; did you mean limits\.rate\?"),
            ("limits", 5, r"limits: expected table, got int"),
        ):
            with pytest.raises(errors.BadRequest, match=says):
                await p.call("config.set", path=path, value=value)
        assert await p.call("config.history") == []
        assert await p.call("config.get", path="limits.max") == 10
        await p.call("config.set", path="limits.rate", value=2)


async def test_what_is_stored_and_does_not_fit_gives_way_to_the_default(caplog: pytest.LogCaptureFixture) -> None:
    """The service starts, its log and `config.check` name path and type, and the other fields hold."""
    service = Service("worker")
    handle = service.config("limits", Limits)
    async with platform() as p:
        await p.call("config.set", path="limits", value={"max": "many", "rate": 3.0})
        with caplog.at_level(logging.WARNING, "microlite.config"):
            await p.serve(service)
        assert handle.value == Limits(max=10, rate=3.0)
        assert [line for line in caplog.messages if "limits.max: expected int, got str; its default" in line]
        (misfit,) = await p.call("config.check")
        assert (misfit["path"], misfit["service"]) == ("limits.max", "worker")
        assert "many" not in str(misfit)


async def test_a_hook_that_fails_at_the_start_keeps_the_node_from_starting() -> None:
    """As `on_start` does: the reload that brought it is refused."""
    service = Service("worker")

    @service.on_config("a", default=1)
    async def fail(a: int) -> None:
        raise ValueError("no such pool")

    async with platform() as p:
        with pytest.raises(errors.InternalServerError, match="on_config of a failed: ValueError: no such pool"):
            await p.serve(service)


async def test_a_broken_connection_keeps_the_last_and_comes_back_with_the_newest() -> None:
    """What was known stays in force; what changed meanwhile arrives with the next connection."""
    seen = Calls()
    service = reader()

    @service.on_config("a", default=0)
    async def follow(a: int) -> None:
        seen(a)

    async with platform() as p:
        await p.serve(service)
        await p.call("config.set", path="a", value=1)
        await seen.reach(2)
        await p.faults.break_connection("reader")
        await p.call("config.set", path="a", value=2)
        assert (await seen.reach(3))[-1] == 2
        assert await p.call("reader.read", path="a") == 2


async def test_a_watch_gives_values_and_each_change() -> None:
    """`async for` over a path: now, and whenever it is different."""
    service = Service("watcher")

    @service.endpoint
    async def first(ctx: Context, count: int) -> list[Limits | None]:
        seen: list[Limits | None] = []
        async for limits in ctx.config.watch("limits", Limits):
            seen.append(limits)
            if len(seen) == count:
                break
            await ctx.call("config.set", path="limits.max", value=len(seen))
        return seen

    async with platform() as p:
        await p.serve(service)
        found = await p.call("watcher.first", count=3)
        assert [one and one["max"] for one in found] == [None, 1, 2]


async def test_a_declared_secret_is_encrypted_however_it_is_set() -> None:
    """Without `-s`, and in clear for the service alone."""
    service = Service("mailer")
    password = service.config("smtp.password", str, secret=True)
    async with platform() as p:
        await p.serve(service)
        await p.call("config.set", path="smtp", value={"password": "hush"})
        assert await p.call("config.get", path="smtp.password") == "[secret]"
        assert password.value == "hush"
        assert b"hush" not in b"".join(file.read_bytes() for file in p.home.iterdir() if file.is_file())


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda service: service.config("a..b", int), "no path"),
        (lambda service: service.config("", int), "name a path"),
        (lambda service: service.config("a", int, default="x"), "the default of a does not fit: expected int, got str"),
        (lambda service: service.config("a", object), "has no schema"),
        (lambda service: service.on_config("a")(lambda: None), "takes the value"),
        (lambda service: service.on_config("a")(lambda value: None), "say of which type"),
    ],
)
def test_a_declaration_that_cannot_hold_says_what_to_write(declare: Any, says: str) -> None:
    """When the module is imported, not at the first call."""
    with pytest.raises(DeclarationError, match=says):
        declare(Service("worker"))
