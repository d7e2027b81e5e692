"""Requests to the gateway: documents and streams of lines, server-sent events, queries and forms."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
import msgspec

from tests.contract.faces.face import Answer, Face, Need

if TYPE_CHECKING:
    from tests.contract.scenarios import Scenario


class Http(Face):
    """A JSON document as the body; a stream is one document a line, either way."""

    accept = "*/*"

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, scenario: Scenario) -> Answer:
        headers = {"Accept": self.accept, **scenario.metadata}
        if scenario.timeout:
            headers["Timeout"] = str(scenario.timeout)
        method, options = self._request(scenario)
        headers |= options.pop("headers", {})
        async with self._session.request(method, path_of(scenario), headers=headers, **options) as response:
            if response.status >= 400:
                return Answer([], _failure(await response.json()))
            if response.status == 204:
                return Answer([None])
            if scenario.streams:
                return await self._read(response, scenario.leave)
            if response.content_type == "application/json":
                return Answer([msgspec.json.decode(await response.read())])
            content = await response.read()
            return Answer(
                [content.decode() if response.content_type.startswith("text/") else base64.b64encode(content).decode()]
            )

    def _request(self, scenario: Scenario) -> tuple[str, dict[str, Any]]:
        """The method, and how the request is written."""
        if scenario.items is None:
            body = msgspec.json.encode(scenario.request)
            return "POST", {"data": body, "headers": {"Content-Type": "application/json"}}
        lines = b"".join(msgspec.json.encode(item) + b"\n" for item in scenario.items)
        query = query_of(scenario.request)
        return "POST", {"data": lines, "params": query, "headers": {"Content-Type": "application/x-ndjson"}}

    async def _read(self, response: aiohttp.ClientResponse, leave: int) -> Answer:
        answer = Answer()
        async for line in response.content:
            document = msgspec.json.decode(line)
            if isinstance(document, dict) and "error" in document:
                answer.failure = _failure(document["error"])
                continue
            answer.values.append(document)
            if len(answer.values) == leave:
                break
        return answer


class Events(Http):
    """Streams come as server-sent events."""

    accept = "text/event-stream"

    async def _read(self, response: aiohttp.ClientResponse, leave: int) -> Answer:
        answer = Answer()
        event = ""
        async for raw in response.content:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "error":
                answer.failure = _failure(msgspec.json.decode(value))
            elif name == "data" and event != "end":
                answer.values.append(msgspec.json.decode(value))
                if len(answer.values) == leave:
                    return answer
        assert event in ("end", "error"), "a stream says how it ends"
        return answer


class Query(Http):
    """`GET`, with the fields in the query."""

    lacks: ClassVar = frozenset({Need.ITEMS, Need.MISFIT, Need.SIZE})

    def _request(self, scenario: Scenario) -> tuple[str, dict[str, Any]]:
        return "GET", {"params": query_of(scenario.request)}


class Form(Http):
    """A form as browsers send it, with the fields in the notation of the query."""

    lacks: ClassVar = frozenset({Need.ITEMS, Need.MISFIT})

    def _request(self, scenario: Scenario) -> tuple[str, dict[str, Any]]:
        return "POST", {"data": aiohttp.FormData(query_of(scenario.request))}


class Multipart(Form):
    """A form in parts, where what is a file goes as one."""

    def _request(self, scenario: Scenario) -> tuple[str, dict[str, Any]]:
        with aiohttp.MultipartWriter("form-data") as parts:
            for name, value in scenario.request.items():
                if isinstance(value, bytes):
                    part = parts.append(value, {"Content-Type": "application/octet-stream"})
                    part.set_content_disposition("form-data", name=name, filename="content")
                elif isinstance(value, dict) and "content" in value:
                    part = parts.append(value["content"], {"Content-Type": value["content_type"]})
                    part.set_content_disposition("form-data", quote_fields=False, name=name, filename=value["name"])
                else:
                    for inner, text in query_of({name: value}):
                        part = parts.append(text)
                        part.set_content_disposition("form-data", quote_fields=False, name=inner)
            if not len(parts):
                return "POST", {"data": "", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        return "POST", {"data": parts}


def path_of(scenario: Scenario) -> str:
    """Where an endpoint is; the default one stands at the path of its service."""
    below = "" if scenario.endpoint == "call" else "/" + scenario.endpoint.replace(".", "/")
    return f"/{scenario.service}{below}"


def query_of(fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Fields in the notation of a query: lists of simple values repeat the name, and what is neither is a document."""
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        simple = isinstance(value, list) and value and not any(isinstance(one, dict | list) for one in value)
        found += [(name, _text(one)) for one in (value if simple else [value])]
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return base64.b64encode(value).decode() if isinstance(value, bytes) else msgspec.json.encode(value).decode()


def _failure(body: dict[str, Any]) -> tuple[Any, ...]:
    return (body["code"], body["status"], body["detail"])
