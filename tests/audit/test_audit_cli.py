"""`microlite audit`."""

from __future__ import annotations

import asyncio
import json
import sys

from microlite.testing import RunningPlatform


async def microlite(p: RunningPlatform, *arguments: str) -> tuple[int, str, str]:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "microlite",
        "--home",
        str(p.home),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await program.communicate()
    return program.returncode or 0, out.decode(), err.decode()


async def test_it_lists_and_filters(p: RunningPlatform) -> None:
    """The newest first; as a table, and as a document."""
    assert await microlite(p, "audit") == (0, "", "")
    await p.call("config.set", path="limits.max", value=1)
    await p.call("events.set-topic", topic="orders", settings={})
    code, out, _ = await microlite(p, "audit")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["POSITION", "WHEN", "BY", "ACTION", "TO", "DETAIL"]
    assert "events.set-topic" in lines[1]
    assert "config:limits.max" in lines[2]
    _, out, _ = await microlite(p, "audit", "--action", "config.", "--output", "json", "-n", "5")
    [entry] = json.loads(out)
    assert (entry["actor"], entry["action"]) == ("admin", "config.set")
    assert (await microlite(p, "audit", "--actor", "nobody-else"))[1] == ""


async def test_what_makes_no_sense_is_said_in_a_line(p: RunningPlatform) -> None:
    """A wrong time, and a way back into the past that goes on."""
    code, _, err = await microlite(p, "audit", "--since", "soon")
    assert (code, "is no time" in err) == (2, True)
    code, _, err = await microlite(p, "audit", "--follow", "--until", "1h")
    assert (code, "leave out --until" in err) == (2, True)


async def test_it_follows(p: RunningPlatform) -> None:
    """What was done, and then what is done, a line each."""
    await p.call("config.set", path="a", value=1)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "microlite",
        "--home",
        str(p.home),
        "audit",
        "--follow",
        "--output",
        "json",
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    assert json.loads(await program.stdout.readline())["position"] == 1
    await p.call("config.set", path="a", value=2)
    assert json.loads(await program.stdout.readline())["position"] == 2
    program.terminate()
    await program.wait()
