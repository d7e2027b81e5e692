"""Calls from Python: awaited or blocking, by name or by the methods of a class, over whatever carries them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

import microlite
from microlite import Context, Service
from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.description.structs import Encoding
from microlite.core.library.caller import Caller
from microlite.core.library.context import Scope
from microlite.core.library.dispatch import Dispatcher
from microlite.core.network.router import Router
from tests.contract.faces.face import Answer, Face, Need
from tests.contract.sample import SampleAPI, sample

if TYPE_CHECKING:
    from tests.contract.scenarios import Scenario


def as_json(value: Any) -> Any:
    """A value that came typed, as JSON would have brought it."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Calls(Face):
    """Calls by name, which are awaited."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, scenario: Scenario) -> Answer:
        answer = Answer()
        caller = self._caller.options(timeout=scenario.timeout or None, metadata=scenario.metadata)
        target = f"{scenario.service}.{scenario.endpoint}"
        try:
            if scenario.items is None and not scenario.streams:
                answer.values = [as_json(await caller.call(target, scenario.request))]
            else:
                async with caller.stream(target, scenario.request) as stream:
                    await self._converse(stream, scenario, answer)
        except errors.Error as error:
            answer.failure = self.failure(error)
        return answer

    async def _converse(self, stream: Any, scenario: Scenario, answer: Answer) -> None:
        sending = stream.feed(scenario.items or [])
        try:
            if scenario.streams:
                async for item in stream:
                    answer.values.append(as_json(item))
                    if len(answer.values) == scenario.leave:
                        return
            else:
                await asyncio.wait({sending})
                answer.values = [as_json(await stream.reply())]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def in_process() -> Calls:
    """The service within the calling process: no socket at all."""
    clock = SystemClock()
    router = Router(clock)
    scope = Scope("sample", node="here", namespace="default", transport=router, clock=clock)
    router.serve_here("sample", Dispatcher(sample, scope))
    return Calls(Caller(router, namespace="default"))


def _typed(scenario: Scenario) -> dict[str, Any]:
    """The fields of a request as values of their declared types."""
    endpoint = sample.endpoints[scenario.endpoint]
    values = endpoint.decode_request(msgspec.json.encode(scenario.request), Encoding.JSON)
    named = dict(zip(endpoint.description.request.get("properties", {}), values, strict=True))
    return {name: named[name] for name in scenario.request}


class Typed(Face):
    """A typed client: methods that take and give values of the declared types."""

    lacks: ClassVar = frozenset({Need.MISFIT, Need.UNKNOWN})

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, scenario: Scenario) -> Answer:
        client = self._caller.options(timeout=scenario.timeout or None, metadata=scenario.metadata).client(SampleAPI)
        method: Any = getattr(client, scenario.endpoint.replace("-", "_").replace(".", "_"))
        fields = _typed(scenario)
        items = () if scenario.items is None else (scenario.items,)
        answer = Answer()
        try:
            if scenario.streams:
                async with contextlib.aclosing(method(*items, **fields)) as stream:
                    async for item in stream:
                        answer.values.append(as_json(item))
                        if len(answer.values) == scenario.leave:
                            break
            else:
                answer.values = [as_json(await method(*items, **fields))]
        except errors.Error as error:
            answer.failure = self.failure(error)
        return answer


class Blocking(Face):
    """The blocking form, from a thread."""

    def converse(self, caller: Any, scenario: Scenario) -> Answer:
        """Ask, by a caller whose calls are waited for."""
        answer = Answer()
        caller = caller.options(timeout=scenario.timeout or None, metadata=scenario.metadata)
        target = f"{scenario.service}.{scenario.endpoint}"
        try:
            if scenario.items is None and not scenario.streams:
                answer.values = [as_json(caller.call(target, scenario.request))]
                return answer
            with caller.stream(target, scenario.request) as stream:
                with contextlib.suppress(errors.Canceled):  # the service has read enough: what it answers says why
                    for item in scenario.items or ():
                        stream.send(item)
                    stream.close_send()
                if not scenario.streams:
                    answer.values = [as_json(stream.reply())]
                    return answer
                for item in stream:
                    answer.values.append(as_json(item))
                    if len(answer.values) == scenario.leave:
                        break
        except errors.Error as error:
            answer.failure = self.failure(error)
        return answer


class Script(Blocking):
    """`with microlite.connect() as m`, as a script has it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def ask(self, scenario: Scenario) -> Answer:
        def script() -> Answer:
            with microlite.connect(self._home) as m:
                return self.converse(m, scenario)

        return await asyncio.to_thread(script)


class Sync(Blocking):
    """`ctx.sync` in a plain function of another service."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._ask: Callable[[Any], Answer] = lambda sync: Answer()
        self.service = Service("plain")
        self.service.endpoint(name="ask")(self._handle)

    def _handle(self, ctx: Context) -> Answer:
        return self._ask(ctx.sync)

    async def ask(self, scenario: Scenario) -> Answer:
        self._ask = lambda sync: self.converse(sync, scenario)
        return msgspec.convert(await self._caller.call("plain.ask"), Answer)
