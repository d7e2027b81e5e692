"""Files with settings that a project names, while it runs."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microlite.core import errors
from tests.runtime_e2e.runtime_bench import Bench, bench_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHOP = """\
from microlite import Context, Service

shop = Service("shop")
limit = shop.config("limit", int, default=1)


@shop.endpoint
async def limits(ctx: Context) -> list[int]:
    return [limit.value, ctx.config.get("other", int, default=0)]


if __name__ == "__main__":
    shop.run()
"""


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))  # short, since paths of sockets are limited
    try:
        async with bench_on(folder / "home", folder / "project") as bench:
            yield bench
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_files_of_a_project_are_in_force_while_it_runs(bench: Bench) -> None:
    """The service's own file hides that of the project; saves arrive; with the service they are gone."""
    bench.write("microlite.toml", 'config = ["shared.toml"]\n[services.shop]\nconfig = ["own.yaml"]\n')
    bench.write("shared.toml", "limit = 2\nother = 2\n")
    bench.write("shop/main.py", SHOP)
    bench.write("shop/own.yaml", "limit: 3\n")
    async with bench.session(".") as session:
        await session.running("shop")
        assert await bench.call("shop.limits") == [3, 2]
        async with aclosing(bench.caller.stream("config.watch", path="other")) as updates, asyncio.timeout(10):
            await anext(updates)
            bench.write("shared.toml", "limit = 2\nother = 4\n")
            while not (await anext(updates)).get("settings"):
                pass
        async with asyncio.timeout(20):
            while await bench.call("shop.limits") != [3, 4]:
                await asyncio.sleep(0.005)  # the node hears of it a moment before or after this watch
    async with asyncio.timeout(10):
        while await bench.call("config.get"):
            await asyncio.sleep(0.01)  # the session has ended; its service does a moment later


async def test_a_project_whose_file_is_wrong_is_refused(bench: Bench) -> None:
    """By file and place; nothing is started."""
    bench.write("shop/main.py", SHOP)
    bench.write("microlite.toml", 'config = ["shared.toml"]\n[services.shop]\n')
    for text, says in ((None, "cannot be read: No such file"), ("a = ", "shared.toml: is not valid TOML")):
        if text is not None:
            bench.write("shared.toml", text)
        with pytest.raises(errors.BadRequest, match=says):
            await bench.run(".")
