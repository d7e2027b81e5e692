"""The ways in, each as one function: ask for something, hear what comes back."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import msgspec

from microlite.core import errors
from microlite.core.library.caller import Caller
from microlite.core.library.context import Scope
from microlite.core.library.dispatch import Dispatcher
from microlite.core.network.router import Router
from tests.contract.sample import sample

if TYPE_CHECKING:
    from tests.contract.scenarios import Scenario

STREAMS = frozenset({"count", "prices"})
"""Endpoints of the sample that answer with a stream."""


class Answer(msgspec.Struct):
    """What came back, as JSON has it; and what the failure looked like, in the form of its face."""

    values: list[Any]
    failure: tuple[Any, ...] | None = None


class Face(Protocol):
    """One way in."""

    async def ask(self, scenario: Scenario) -> Answer:
        """Ask, and wait for the end."""
        ...

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        """What an error looks like here; the detail comes last."""
        ...


def as_json(value: Any) -> Any:
    """A value that came typed, as JSON would have brought it."""
    return msgspec.json.decode(msgspec.json.encode(value))


class Calls:
    """Calls from Python, over whatever carries them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self, scenario: Scenario) -> Answer:
        answer = Answer([])
        caller = self._caller.options(timeout=scenario.timeout or None, metadata=scenario.metadata)
        target = f"{scenario.service}.{scenario.endpoint}"
        try:
            if scenario.items is None and scenario.endpoint not in STREAMS:
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
            if scenario.endpoint in STREAMS:
                async for item in stream:
                    answer.values.append(as_json(item))
            else:
                await asyncio.wait({sending})
                answer.values = [as_json(await stream.reply())]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        return (error.code, error.status, error.detail)


def in_process() -> Calls:
    """The service within the calling process: no socket at all."""
    from microlite.core.clock import SystemClock

    clock = SystemClock()
    router = Router(clock)
    scope = Scope("sample", node="here", namespace="default", transport=router, clock=clock)
    router.serve_here("sample", Dispatcher(sample, scope))
    return Calls(Caller(router, namespace="default"))


class Http:
    """Requests to the gateway: JSON, and lines for streams."""

    cannot: frozenset[str] = frozenset()
    accept = "*/*"

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, scenario: Scenario) -> Answer:
        path = f"/{scenario.service}/{scenario.endpoint.replace('.', '/')}"
        headers = {"Accept": self.accept, **scenario.metadata}
        if scenario.timeout:
            headers["Timeout"] = str(scenario.timeout)
        options: dict[str, Any] = {"data": msgspec.json.encode(scenario.request)}
        headers["Content-Type"] = "application/json"
        if scenario.items is not None:
            lines = b"".join(msgspec.json.encode(item) + b"\n" for item in scenario.items)
            headers["Content-Type"] = "application/x-ndjson"
            options = {"data": lines, "params": {key: str(value) for key, value in scenario.request.items()}}
        async with self._session.post(path, headers=headers, **options) as response:
            if response.status >= 400:
                return Answer([], self._failed(await response.json()))
            if response.status == 204:
                return Answer([None])
            if scenario.endpoint in STREAMS:
                return await self._read(response)
            return Answer([await response.json()])

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        answer = Answer([])
        async for line in response.content:
            document = msgspec.json.decode(line)
            if isinstance(document, dict) and "error" in document:
                answer.failure = self._failed(document["error"])
            else:
                answer.values.append(document)
        return answer

    def _failed(self, body: dict[str, Any]) -> tuple[Any, ...]:
        return (body["code"], body["status"], body["detail"])

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        return (error.code, error.status, error.detail)


class Events(Http):
    """The same with server-sent events."""

    accept = "text/event-stream"

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        answer = Answer([])
        event = ""
        async for raw in response.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "error":
                answer.failure = self._failed(msgspec.json.decode(value))
            elif name == "data" and event != "end":
                answer.values.append(msgspec.json.decode(value))
        assert event in ("end", "error"), "a stream says how it ends"
        return answer


class CommandLine:
    """The program as people type it."""

    def __init__(self, home: str) -> None:
        self._home = home

    async def ask(self, scenario: Scenario) -> Answer:
        words = ["--home", self._home, "stream" if scenario.endpoint in STREAMS else "call", "-o", "raw"]
        words += [f"--metadata={key}={value}" for key, value in scenario.metadata.items()]
        words += ["--timeout", f"{scenario.timeout}s"] if scenario.timeout else []
        words += [scenario.service, scenario.endpoint, msgspec.json.encode(scenario.request).decode()]
        lines = b"".join(msgspec.json.encode(item) + b"\n" for item in scenario.items or ())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "microlite", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_")},
        )
        out, err = await process.communicate(lines)
        values = [msgspec.json.decode(line) for line in out.splitlines()]
        return Answer(values, (process.returncode, err.decode().strip()) if process.returncode else None)

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        detail = "request timed out" if isinstance(error, errors.Timeout) else error.detail
        begins_with_a_word = detail.partition(" ")[0].isalpha()
        return (errors.exit_code(error), detail[:1].upper() + detail[1:] if begins_with_a_word else detail)
