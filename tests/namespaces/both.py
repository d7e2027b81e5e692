"""Two namespaces in which everything has the same names, and a way to ask over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


async def over_http(
    p: RunningPlatform, method: str, path: str, body: Any = None, *, token: bool | str = True, **headers: str
) -> tuple[int, Any, Any]:
    """Ask, and return status, decoded body and headers."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {p.token}"
    address = p.http.removeprefix("http://")

    def ask() -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read()
            is_json = (answer.getheader("Content-Type") or "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text.decode(), answer.headers
        finally:
            connection.close()

    return await asyncio.to_thread(ask)
