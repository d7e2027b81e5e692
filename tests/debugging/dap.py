"""As much of an editor's side of the Debug Adapter Protocol as it takes to stop at a line and look around."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Self


class Editor:
    """Attached to a debugger (https://microsoft.github.io/debug-adapter-protocol)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._seen: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(), name="editor")

    @classmethod
    async def attach(cls, address: str, file: str, *lines: int) -> Self:
        """Attach, with breakpoints at these lines of the file."""
        host, _, port = address.rpartition(":")
        editor = cls(*await asyncio.open_connection(host, int(port)))
        await editor.ask("initialize", clientID="test", adapterID="python", pathFormat="path", linesStartAt1=True)
        attached = editor._send("attach", justMyCode=False)
        await editor.event("initialized")
        points = [{"line": line} for line in lines]
        answer = await editor.ask("setBreakpoints", source={"path": file}, breakpoints=points)
        assert all(point["verified"] for point in answer["breakpoints"])
        await editor.ask("configurationDone")
        await editor._answer(attached)
        return editor

    async def close(self) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, command: str, **arguments: Any) -> Any:
        return await self._answer(self._send(command, **arguments))

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        found = await self._until(lambda seen: seen.get("event") == name)
        self._seen.remove(found)
        body: dict[str, Any] = found.get("body") or {}
        return body

    def _send(self, command: str, **arguments: Any) -> int:
        number = next(self._numbers)
        body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return number

    async def _answer(self, number: int) -> Any:
        found = await self._until(lambda seen: seen["type"] == "response" and seen["request_seq"] == number)
        assert found["success"], found
        return found.get("body")

    async def _until(self, wanted: Any) -> dict[str, Any]:
        while True:
            for seen in self._seen:
                if wanted(seen):
                    return seen
            assert not self._task.done(), f"the debugger has left; it said {self._seen}"
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readuntil(b"\r\n\r\n")
                size = int(head.partition(b"Content-Length:")[2].split()[0])
                self._seen.append(json.loads(await self._reader.readexactly(size)))
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self._changed.set()
