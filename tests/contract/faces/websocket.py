"""Calls over WebSockets, one for each call, with a stock client."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.contract.faces.face import Answer, Face
from tests.contract.faces.http import path_of

if TYPE_CHECKING:
    from tests.contract.scenarios import Scenario


class WebSocket(Face):
    """The first message is the request, further ones are items; the close frame says how it went.

    Args:
        url: of the gateway, `http://127.0.0.1:…`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.replace("http", "ws", 1)

    async def ask(self, scenario: Scenario) -> Answer:
        headers = dict(scenario.metadata)
        if scenario.timeout:
            headers["Timeout"] = str(scenario.timeout)
        try:
            async with connect(self._url + path_of(scenario), additional_headers=headers, proxy=None) as socket:
                return await self._converse(socket, scenario)
        except InvalidStatus as refusal:
            error = msgspec.json.decode(refusal.response.body)
            return Answer([], (error["code"], error["status"], error["detail"]))

    async def _converse(self, socket: ClientConnection, scenario: Scenario) -> Answer:
        answer = Answer()
        with contextlib.suppress(ConnectionClosed):  # the call may have failed by then
            await socket.send(msgspec.json.encode(scenario.request))
            if scenario.items is not None:
                for item in scenario.items:
                    await socket.send(msgspec.json.encode(item))
                await socket.send("")
        with contextlib.suppress(ConnectionClosed):
            while True:
                document = msgspec.json.decode(await socket.recv())
                if isinstance(document, dict) and "error" in document:
                    error: dict[str, Any] = document["error"]
                    answer.failure = (error["code"], error["status"], error["detail"])
                    continue
                answer.values.append(document)
                if len(answer.values) == scenario.leave:
                    return answer
        assert socket.close_code == (1000 if answer.failure is None else 4000 + answer.failure[0])
        return answer
