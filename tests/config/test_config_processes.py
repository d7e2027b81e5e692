"""Services and scripts in processes and threads of their own: the first look, and what follows."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import microlite
from tests.runtime_e2e.runtime_bench import Bench, bench_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLAIN = """\
import sys
from typing import Any

from microlite import Context, Service

plain = Service("plain")


@plain.endpoint
async def read(ctx: Context, path: str) -> Any:
    return ctx.config.get(path, default=None)


@plain.endpoint
async def loaded(ctx: Context) -> list[str]:
    names = ("microlite.core.config.api", "microlite.core.library.state.config", "cryptography")
    return [name for name in names if name in sys.modules]


@plain.endpoint
def blocking(ctx: Context, path: str) -> int:
    return ctx.sync.config.get(path, int)


if __name__ == "__main__":
    plain.run()
"""


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))  # short, since paths of sockets are limited
    try:
        async with bench_on(folder / "home", folder / "services") as bench:
            yield bench
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _becomes(bench: Bench, endpoint: str, value: object, **fields: object) -> None:
    async with asyncio.timeout(10):
        while await bench.call(endpoint, **fields) != value:
            await asyncio.sleep(0.005)


async def test_a_service_that_declares_nothing_reads_at_the_first_use(bench: Bench) -> None:
    """Until then it has loaded nothing and follows nothing; from then on what it reads is fresh."""
    bench.write("plain/main.py", PLAIN)
    await bench.run("plain")
    await bench.call("config.set", path="a", value={"b": 1})
    assert await bench.call("plain.loaded") == []
    assert not bench.platform.state.configuration_views.followed
    assert await bench.call("plain.read", path="a") == {"b": 1}
    assert await bench.call("plain.loaded") == ["microlite.core.config.api", "microlite.core.library.state.config"]
    await bench.call("config.set", path="a.b", value=2)
    await _becomes(bench, "plain.read", 2, path="a.b")
    assert await bench.call("plain.blocking", path="a.b") == 2
    assert bench.platform.state.configuration_views.followed == ("default",)


async def test_a_script_reads_sets_and_watches(bench: Bench) -> None:
    """Blocking and awaitable; what it has set it reads."""

    def script() -> list[Any]:
        with microlite.connect(bench.home) as m:
            m.config.set("a.b", [1, 2])
            first = m.config.get("a.b", list[int])
            seen = []
            for value in m.config.watch("a.c", int, default=0):
                seen.append(value)
                if len(seen) == 2:
                    break
                m.config.set("a.c", 3)
            return [first, m.config.get("a"), m.config.has("x"), seen]

    assert await asyncio.to_thread(script) == [[1, 2], {"b": [1, 2], "c": 3}, False, [0, 3]]

    async with microlite.connect(bench.home) as m:
        await m.config.load()
        assert m.config.get("a.c", int) == 3
        await m.config.unset("a.c")
        assert not m.config.has("a.c")
