"""What a browser makes of a program: at its own origin, which it resolves by itself, and below a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.runtime_e2e.runtime_bench import Bench
from tests.runtime_e2e.test_runtime_websocket import COMMAND, NUMBERS

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

PROGRAM = '''
    PAGE = b"""<!doctype html><title>site</title><ul></ul><script>
    const say = (text) => document.querySelector("ul").insertAdjacentHTML("beforeend", `<li>${text}</li>`);
    say(`origin ${origin}`);
    const own = new WebSocket(`ws://${location.host}${location.pathname}ws`, ["chat"]);
    own.onopen = () => own.send("hello");
    own.onmessage = ({ data }) => { say(`${own.protocol}: ${data}`); call(); };
    function call() {
      const api = new WebSocket(`ws://localhost:${location.port}/numbers/running-total`, ["microlite", "bearer.x"]);
      api.onopen = () => { for (const message of ['{"start": 10}', "1", "2", ""]) api.send(message); };
      api.onmessage = ({ data }) => say(`${api.protocol}: ${data}`);
      api.onclose = ({ code }) => say(`closed ${code}`);
    }
    </script>"""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"content-type", b"text/html")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": PAGE})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"].upper()})
'''


@pytest.mark.skipif(not CHROMIUM.exists(), reason="not installed: Chromium")
async def test_pages_of_a_program_speak_websocket(bench: Bench) -> None:
    """To their program and to services: at an origin of their own, and in the sandbox below a path."""
    bench.write("numbers/main.py", NUMBERS)
    bench.write("site/program.py", PROGRAM)
    await bench.run("numbers")
    await bench.run("site", command=COMMAND)
    port = bench.platform.gateway.port
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for url, origin in (
            (f"http://site.localhost:{port}/", f"http://site.localhost:{port}"),
            (f"http://localhost:{port}/site/", "null"),
        ):
            page = await browser.new_page()
            await page.goto(url)
            await page.get_by_text("closed").wait_for()
            said = (await page.locator("ul").inner_text()).splitlines()
            assert said == [f"origin {origin}", "chat: HELLO", "microlite: 11", "microlite: 13", "closed 1000"]
        await browser.close()
