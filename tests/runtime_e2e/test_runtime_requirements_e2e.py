"""A project with dependencies of its own: they are installed before it starts, and anew when they change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from microlite import errors
from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned


def wheel(folder: Path, version: str) -> Path:
    """A package `tiny` whose VERSION is its version, made without any tool or network."""
    path = folder / f"tiny-{version}-py3-none-any.whl"
    files = {
        "tiny.py": f"VERSION = {version.split('.')[0]}\n",
        f"tiny-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"tiny-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"tiny-{version}.dist-info/RECORD"
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for name, text in files.items()
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(record, "\n".join([*rows, f"{record},,"]) + "\n")
    return path


async def test_an_installation_is_told_and_a_change_of_requirements_swaps_it_in(bench: Bench) -> None:
    """The old code serves while the new environment is made; one that cannot be made leaves it serving."""
    one, two = wheel(bench.folder, "1.0"), wheel(bench.folder, "2.0")
    requirements = bench.write("echo/requirements.txt", f"{one}\n")
    bench.write("echo/main.py", "import tiny\n" + versioned(0).replace("return 0", "return tiny.VERSION"))
    async with bench.session("echo") as session:
        await session.state(State.BUILDING)
        assert (await session.topic(Topic.PROGRESS)).text
        waiting = asyncio.create_task(bench.call("echo.version"))
        await session.running()
        assert await waiting == 1
        requirements.write_text(f"{two}\n")
        progress = await session.topic(Topic.PROGRESS)
        assert progress.service == "echo"
        assert await bench.call("echo.version") == 1
        assert (await session.topic(Topic.RELOAD)).text == "requirements.txt"
        assert await bench.call("echo.version") == 2
        requirements.write_text(f"{bench.folder}/tiny-3.0-py3-none-any.whl\n")
        failed = await session.topic(Topic.FAILED)
        assert "the code before serves on" in failed.text
        assert await bench.call("echo.version") == 2
        requirements.write_text(f"{one}\n")
        assert (await session.topic(Topic.RELOAD)).seconds < 2, "it is there already"
        assert await bench.call("echo.version") == 1


async def test_kill_ends_an_installation(bench: Bench) -> None:
    bench.write("echo/requirements.txt", f"{wheel(bench.folder, '1.0')}\n")
    bench.write("echo/main.py", versioned(1))
    async with bench.session("echo") as session:
        await session.state(State.BUILDING)
        async with asyncio.timeout(20):
            await bench.call("runtime.kill", services=["echo"])
        await session.end()
        assert session.error is None
    with pytest.raises(errors.ServiceNotFound):
        await bench.call("echo.version")
