"""`examples/jobs`: letters are delivered once, retried, put aside and sent on their way again."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from microlite import errors


async def until(ask: Any, holds: Any) -> Any:
    """Ask again until the answer is as it should be."""
    async with asyncio.timeout(30):
        while not holds(answer := await ask()):
            await asyncio.sleep(0.02)
        return answer


async def dead(shown: Any) -> list[Any]:
    letters: list[Any] = (await shown.caller.call("events.dead_letters", topic="letters"))["letters"]
    return letters


async def test_a_letter_is_taken_in_over_http_and_delivered(shown: Any) -> None:
    await shown.run("jobs")
    await shown.caller.call("jobs.move-in", name="Ann")
    for number in range(5):
        job = await shown.post("/jobs/enqueue", to="Ann", text=f"letter {number}")
        assert job["state"] == "queued"
    done = await until(lambda: shown.get(f"/jobs/{job['id']}"), lambda job: job["state"] == "delivered")
    assert done["attempts"] == 1
    assert await shown.get("/jobs/box", params={"name": "Ann"}) == [f"letter {number}" for number in range(5)]


async def test_a_failing_job_is_retried_put_aside_and_redriven(shown: Any) -> None:
    await shown.run("jobs")
    job = await shown.post("/jobs/enqueue", to="Ben", text="hello")
    (letter,) = await until(lambda: dead(shown), bool)
    assert letter["deliveries"] == 4
    assert len(letter["attempts"]) == 4
    failed = await shown.get(f"/jobs/{job['id']}")
    assert (failed["state"], failed["attempts"]) == ("failing", 4)
    assert "there is no record 'Ben'" in failed["error"]
    await shown.caller.call("jobs.move-in", name="Ben")
    assert await shown.caller.call("events.redrive", topic="letters", group="postman") == 1
    await until(lambda: shown.get(f"/jobs/{job['id']}"), lambda job: job["state"] == "delivered")
    assert await shown.get("/jobs/box", params={"name": "Ben"}) == ["hello"]
    assert await dead(shown) == []


async def test_what_can_never_be_done_is_put_aside_at_once(shown: Any) -> None:
    await shown.run("jobs")
    await shown.post("/jobs/enqueue", to="Ann", text=" ")
    (letter,) = await until(lambda: dead(shown), bool)
    assert (letter["error"], letter["deliveries"]) == ("the letter is empty", 1)


@pytest.mark.timeout(90)
async def test_killing_the_worker_loses_no_letter_and_repeats_none(shown: Any) -> None:
    await shown.run("jobs")
    await shown.caller.call("jobs.move-in", name="Ann")
    texts = [f"{number}" for number in range(60)]

    async def enqueue() -> None:
        for text in texts:
            while True:
                try:
                    await shown.caller.call("jobs.enqueue", to="Ann", text=text, id=f"letter-{text}")
                    break
                except errors.ServiceUnavailable:
                    pass  # its outcome is not known, so it is sent again

    async def kill() -> None:
        for _ in range(3):
            await asyncio.sleep(0.15)
            for status in await shown.caller.call("runtime.status"):
                for node in status["nodes"]:
                    if node["pid"]:
                        os.kill(node["pid"], signal.SIGKILL)

    async def look() -> Any:
        return await shown.caller.call("jobs.box", name="Ann")

    await asyncio.gather(enqueue(), kill())
    assert await until(look, lambda letters: len(letters) >= len(texts)) == texts
