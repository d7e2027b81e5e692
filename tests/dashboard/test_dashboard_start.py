"""How the dashboard starts and stops: its port, what it loads and when, and streams that are open at the end."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from microlite.core.app import Platform
from microlite.core.settings import ServerOptions
from microlite.testing import platform
from microlite.web.dashboard.options import DashboardOptions
from microlite.web.dashboard.server import bind_dashboard
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.ports import PortTaken


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process holds, with a free one two below it."""
    while True:
        with socket.socket() as below, socket.socket() as held:
            below.bind(("127.0.0.1", 0))
            try:
                held.bind(("127.0.0.1", below.getsockname()[1] + 2))
            except (OSError, OverflowError):
                continue
            held.listen()
            below.close()
            yield held.getsockname()[1]
            return


def _options(home: Path, **options: object) -> ServerOptions:
    return ServerOptions(home=home, **options)  # type: ignore[arg-type]  # the test's own table


async def test_a_taken_port_is_an_error_that_says_who_has_it(tmp_path: Path, taken: int) -> None:
    with pytest.raises(PortTaken) as caught:
        async with Platform(_options(tmp_path / "h", port=taken - 2)):
            pass
    assert f"the dashboard's port {taken} on 127.0.0.1 is taken" in caught.value.detail
    assert "--dashboard-port" in caught.value.detail


async def test_a_session_takes_any_other_port(tmp_path: Path, taken: int) -> None:
    """A developer's loop does not stop at a port that nobody asked for."""
    dashboard = bind_dashboard(_options(tmp_path, port=taken - 2, session=True))
    assert dashboard is not None
    assert dashboard.port not in (taken, 0)
    await dashboard.stop()
    with pytest.raises(PortTaken):
        bind_dashboard(_options(tmp_path, dashboard_port=taken, session=True))


async def test_the_ports_move_together_and_singly(tmp_path: Path, taken: int) -> None:
    for options, wanted in (
        ({"port": 0}, None),
        ({"port": 0, "dashboard_port": 0}, None),
        ({"port": taken, "dashboard_port": taken - 2}, taken - 2),
    ):
        dashboard = bind_dashboard(_options(tmp_path, **options))
        assert dashboard is not None
        assert wanted in (None, dashboard.port)
        assert dashboard.url == f"http://127.0.0.1:{dashboard.port}"
        await dashboard.stop()
    assert bind_dashboard(_options(tmp_path, dashboard=False)) is None


async def test_who_comes_before_it_is_up_is_answered_when_it_is() -> None:
    """The port is there before the pages are."""
    async with platform(dashboard=True) as p, aiohttp.ClientSession() as session, session.get(p.dashboard) as answer:
        assert answer.status == 401


async def test_the_end_does_not_wait_for_live_pages() -> None:
    """An event stream never ends by itself; the platform does all the same, and at once."""
    async with platform(dashboard=True) as p:
        url = (await p.call("auth.link"))["url"]
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, not of a name
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            async with browser.get(url) as page:
                assert page.status == 200
            stream = await browser.get(f"{p.dashboard}/services/live")
            assert await stream.content.readline() == b": ping\n"
            began = asyncio.get_running_loop().time()
            await p._booted.dashboard.stop()  # type: ignore[union-attr]  # it was asked for
            assert asyncio.get_running_loop().time() - began < 1
            rest = await stream.content.read()
            assert b"event: services" in rest or not rest.strip(b"\n")
            stream.close()


def test_the_gateway_knows_the_cookie_that_it_must_not_pass_on() -> None:
    assert DashboardOptions().cookie == GatewayOptions().dashboard_cookie


def test_nothing_of_the_dashboard_is_loaded_before_the_platform_is_ready(tmp_path: Path) -> None:
    """Litestar and Jinja take longer to import than all the rest; a platform without a dashboard never does."""
    program = f"""
import asyncio, sys
from pathlib import Path
from microlite.core.app import Platform
from microlite.core.settings import ServerOptions

def heavy():
    return sorted({{"litestar", "jinja2", "microlite.web.dashboard.app"}} & set(sys.modules))

async def main():
    async with Platform(ServerOptions(home=Path({str(tmp_path / "h")!r}), port=0, dashboard=False)):
        await asyncio.sleep(0)
    assert not heavy(), heavy()
    platform = Platform(ServerOptions(home=Path({str(tmp_path / "h")!r}), port=0))
    async with platform:
        assert platform._ready and not heavy(), heavy()
        await platform.dashboard.started.wait()
        assert len(heavy()) == 3
    unwanted = sorted({{"faker", "polyfactory", "rich_click"}} & set(sys.modules))
    assert not unwanted, unwanted

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_the_harness_brings_no_dashboard_unless_asked() -> None:
    program = """
import asyncio, sys
from microlite.testing import platform

async def main():
    async with platform() as p:
        assert p.dashboard == ""
    assert "litestar" not in sys.modules and "jinja2" not in sys.modules

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
