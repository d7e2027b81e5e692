"""The pytest plug-in as another project meets it: pytest in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")

SERVICE = """
from microlite import Context, Service, errors

greeter = Service("greeter")

@greeter.endpoint
async def hello(ctx: Context, name: str) -> str:
    return f"Hello {name}"

@greeter.endpoint
async def wait(ctx: Context) -> str:
    await ctx.sleep(60)
    return "waited"
"""

ASYNCHRONOUS = """
{mark}
async def test_it(platform):
    await platform.serve(greeter)
    assert await platform.call("greeter.hello", name="Ann") == "Hello Ann"
"""

PLAIN = """
import concurrent.futures
import pytest

def test_it(microlite_platform):
    p = microlite_platform
    p.serve(greeter)
    assert p.call("greeter.hello", name="Ann") == "Hello Ann"
    with p.faults.fail("greeter.hello", errors.Conflict("no")), pytest.raises(errors.Conflict):
        p.call("greeter.hello", name="Ann")
    p.faults.break_connection("greeter")
    p.restart("greeter")
    fault = p.faults.delay("greeter.wait", 0)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(p.call, "greeter.wait")
        while not waiting.done():
            p.advance(60)
        assert waiting.result() == "waited"
    p.stop("greeter")
    assert p.http.startswith("http://127.0.0.1:")
"""


def run_pytest(folder: Path, code: str, *options: str) -> str:
    """Run one test file in a project of its own. Returns what pytest prints."""
    (folder / "test_project.py").write_text(SERVICE + code)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "microlite.testing.plugin", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_asynchronous_tests_await_their_platform(tmp_path: Path, mode: str) -> None:
    mark = "import pytest\n\n@pytest.mark.asyncio" if mode == "strict" else ""
    output = run_pytest(tmp_path, ASYNCHRONOUS.format(mark=mark), *ASYNCIO, "--asyncio-mode", mode)
    assert "1 passed" in output, output


def test_plain_tests_need_no_other_plugin(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, PLAIN)
    assert "1 passed" in output, output


def test_a_project_that_uses_none_of_it_pays_nothing(tmp_path: Path) -> None:
    code = (
        "\nimport sys\nbefore = [n for n in sys.modules if n.startswith('microlite.core.app')]\n"
        "\ndef test_it():\n    assert not before\n"
    )
    (tmp_path / "test_project.py").write_text(code)
    output = run_pytest(tmp_path, code)
    assert "1 passed" in output, output
