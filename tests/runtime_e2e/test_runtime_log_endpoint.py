"""`logs`: the last lines, those since a time, those of a node, and each further one."""

from __future__ import annotations

from typing import Any

import pytest

from microlite import errors
from microlite.core.context import DEFAULT_NAMESPACE
from tests.runtime_e2e.runtime_bench import Bench, versioned

TALKATIVE = """
    import os
    import sys

    from microlite import Context, Service

    service = Service("talkative")

    @service.endpoint
    async def say(ctx: Context, text: str) -> str:
        print(text, flush=True)
        return ctx.node

    @service.endpoint
    async def fail() -> None:
        raise KeyError("a secret of the code")

    print("hello from", os.environ["MICROLITE_NODE"], file=sys.stderr)

    if __name__ == "__main__":
        service.run()
"""


async def _read(bench: Bench, **fields: Any) -> list[dict[str, Any]]:
    return [line async for line in bench.caller.stream("runtime.logs", service="talkative", **fields)]


def _texts(lines: list[dict[str, Any]]) -> list[str]:
    return [line["text"] for line in lines]


async def _say(bench: Bench, text: str) -> dict[str, Any]:
    """Say it, and return the line once it is in the log."""
    await bench.call("talkative.say", text=text)
    async for line in bench.caller.stream("runtime.logs", service="talkative", lines=50, follow=True):
        if line["text"] == text:
            return dict(line)
    raise AssertionError


async def test_the_last_lines_and_those_since_a_time(bench: Bench) -> None:
    bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative")
    for text in ("one", "two", "three"):
        last = await _say(bench, text)
    assert _texts(await _read(bench, lines=2)) == ["two", "three"]
    assert _texts(await _read(bench, lines=0, since=last["at"])) == ["three"]
    assert await _read(bench, lines=0) == []
    assert _texts(await _read(bench, lines=100))[0] == "hello from talkative-1"
    with pytest.raises(errors.BadRequest, match="lines: "):
        await _read(bench, lines=-1)


async def test_only_those_of_one_node(bench: Bench) -> None:
    bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative", instances=2)
    lines = await _read(bench, lines=100, node="talkative-2")
    assert {line["node"] for line in lines} == {"talkative-2"}
    assert "hello from talkative-2" in _texts(lines)


async def test_a_node_that_there_is_not_is_named_with_those_that_there_are(bench: Bench) -> None:
    """A node of earlier days is still one."""
    bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative", instances=2)
    await _say(bench, "one")
    for follow in (False, True):
        with pytest.raises(errors.NotFound) as refused:
            await _read(bench, node="talkative-3", follow=follow)
        assert refused.value.detail == (
            "service talkative has no node 'talkative-3'; its nodes are: talkative-1, talkative-2"
        )
    await bench.call("runtime.update", service="talkative", instances=1)
    assert "hello from talkative-2" in _texts(await _read(bench, lines=100, node="talkative-2"))


async def test_following_goes_on_over_a_reload(bench: Bench) -> None:
    main = bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative")
    stream = bench.caller.stream("runtime.logs", service="talkative", lines=1, follow=True)
    assert (await anext(stream))["text"] == "hello from talkative-1"
    main.write_text(main.read_text().replace("hello from", "good day from"))
    async for line in stream:
        if line["text"].startswith("good day from"):
            break
    await stream.aclose()


async def test_the_log_outlives_its_service(bench: Bench) -> None:
    bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative")
    await _say(bench, "farewell")
    await bench.call("runtime.kill", services=["talkative"])
    assert "farewell" in _texts(await _read(bench))


async def test_a_service_that_never_was_is_not_found(bench: Bench) -> None:
    with pytest.raises(errors.ServiceNotFound, match='Service "talkative" not found'):
        await _read(bench)
    assert bench.platform.logs.known(DEFAULT_NAMESPACE) == []


async def test_a_traceback_is_in_the_log_and_in_no_answer(bench: Bench) -> None:
    """The caller gets an id, under which the log tells more."""
    bench.write("talkative/main.py", TALKATIVE)
    await bench.run("talkative")
    with pytest.raises(errors.InternalServerError) as failed:
        await bench.call("talkative.fail")
    assert "secret" not in failed.value.detail
    async for line in bench.caller.stream("runtime.logs", service="talkative", lines=50, follow=True):
        if failed.value.id in line["text"]:
            break
    text = "\n".join(_texts(await _read(bench, lines=50)))
    assert "a secret of the code" in text


async def test_the_last_words_are_those_of_the_code_that_failed(bench: Bench) -> None:
    """Not those of the node that serves on beside it, under the same name."""
    bench.write("echo/main.py", versioned(1).replace("return 1", "print('still here', flush=True); return 1"))
    async with bench.session("echo") as session:
        await session.running()
        bench.write(
            "echo/main.py", "import time\nprint('new code', flush=True)\ntime.sleep(0.2)\nraise SystemExit(4)\n"
        )
        await session.line("new code")
        await bench.call("echo.version")
        failed = await session.until(lambda seen: seen.text.startswith("exited with code 4"))
        assert failed.lines == ("new code",)
        assert (await bench.status("echo")).story[-1].lines == ("new code",)
