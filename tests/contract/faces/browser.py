"""The explorer of the dashboard, as a person uses it: fields are filled in, buttons pressed, and the page is read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from playwright.async_api import FilePayload, Locator, expect

from tests.contract.faces.face import Answer, Face, Need
from tests.contract.sample import sample
from tests.dashboard.browsing import Browsing, Desk

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform
    from tests.contract.scenarios import Scenario

SIMPLE = ("string", "integer", "number", "boolean")
"""Types of fields that are written into the form; a request with any other is written as JSON, in the other tab."""


class SampleDesk(Desk):
    """The dashboard of a test's platform."""

    def __init__(self, platform: RunningPlatform) -> None:
        self.url = platform.dashboard
        self.gateway = platform.http
        self._platform = platform

    async def link(self) -> str:
        url: str = (await self._platform.call("auth.link"))["url"]
        return url


class Browser(Face):
    """One page, which is opened anew for each scenario."""

    lacks: ClassVar = frozenset({Need.METADATA, Need.TIMEOUT, Need.UNKNOWN})

    def __init__(self, browsing: Browsing) -> None:
        self._browsing = browsing
        self._page = browsing.page

    async def ask(self, scenario: Scenario) -> Answer:
        await self._browsing.open(f"/explorer/{scenario.service}/{scenario.endpoint}")
        await self._write(scenario)
        await self._page.locator("#send").click()
        if scenario.items is not None:
            await expect(self._page.locator("#items")).to_be_visible()
        for count, item in enumerate(scenario.items or (), 1):
            await self._send(item, count)
        if scenario.items is not None:
            await self._press("end-items")
        code = self._page.locator("#answer-code")
        if scenario.leave:
            await expect(self._page.locator("#stream-items li").nth(scenario.leave)).to_be_visible()
            await self._page.get_by_role("button", name="Stop", exact=True).click()
            await expect(code).to_have_text("stopped")
        await expect(code).not_to_have_text(re.compile("^(open)?$"))
        return await self._read(scenario, await code.inner_text())

    async def _write(self, scenario: Scenario) -> None:
        schemas = sample.endpoints[scenario.endpoint].description.request.get("properties", {})
        fitting = all(_fits(value, schemas.get(name, {})) for name, value in scenario.request.items())
        if fitting and Need.MISFIT not in scenario.needs:
            for name, value in scenario.request.items():
                await _fill(self._browsing.field(name), value)
            return
        await self._page.get_by_role("tab", name="JSON").click()
        await self._page.locator("#request").fill(msgspec.json.encode(scenario.request).decode())

    async def _send(self, item: Any, count: int) -> None:
        fields = self._page.locator("#item-fields")
        if isinstance(item, dict):
            for name, value in item.items():
                member = fields.locator(".member").filter(has=self._page.locator("> .heading code", has_text=name))
                await _fill(member.first, value)
        else:
            await fields.locator("input").fill(str(item), force=True)  # it may be gone: the call may have ended
        await self._press("send-item")
        await self._page.wait_for_function(
            """said => document.getElementById("items").hidden
                || document.getElementById("items-sent").textContent === said""",
            arg=f"{count} sent",
        )

    async def _press(self, button: str) -> None:
        """Press a button of the caller's stream, unless the call has ended."""
        await self._page.evaluate(
            "id => document.getElementById('items').hidden || document.getElementById(id).click()", button
        )

    async def _read(self, scenario: Scenario, code: str) -> Answer:
        answer = Answer()
        if scenario.items is not None or scenario.streams:
            texts = await self._page.locator("#stream-items li pre").all_inner_texts()
            answer.values = [json.loads(text) for text in texts[: scenario.leave or None]]
        elif await self._page.locator("#answer-text").is_visible():
            answer.values = [json.loads(await self._page.locator("#answer-text").inner_text())]
        if await self._page.locator("#answer-error").is_visible():
            number, _, status = code.partition(" ")
            answer.failure = (int(number), status, await self._page.locator("#answer-error").inner_text())
        return answer


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a field of the form takes the value: one line of text, a number, a choice, a tick, a file."""
    if isinstance(value, dict):
        return "content" in value
    return ("enum" in schema or schema.get("type") in SIMPLE) and not (isinstance(value, str) and "\n" in value)


async def _fill(field: Locator, value: Any) -> None:
    place = field.locator("> .value")
    if isinstance(value, list):
        await field.get_by_role("checkbox").first.check()
        while await place.get_by_role("button", name="Remove this item").count():
            await place.get_by_role("button", name="Remove this item").first.click()
        for one in value:
            await place.get_by_role("button", name="Add an item").click()
            await place.locator(".parts > li input").last.fill(one)
    elif isinstance(value, bool):
        await place.locator("input").set_checked(value)
    elif isinstance(value, bytes):
        await _choose(place, {"name": "content", "mimeType": "application/octet-stream", "buffer": value})
    elif isinstance(value, dict):
        await _choose(place, {"name": value["name"], "mimeType": value["content_type"], "buffer": value["content"]})
    elif await place.locator("select").count():
        await place.locator("select").select_option(str(value))
    else:
        await place.locator("input").fill(str(value))


async def _choose(place: Locator, file: FilePayload) -> None:
    """Choose a file, and wait until the page has read it."""
    await place.locator("input[type=file]").set_input_files(file)
    await expect(place.locator(".bytes .hint")).to_have_text(f"{len(file['buffer'])} bytes")
