"""Nodes in processes of their own: what they are given to prove themselves by, and that nobody else gets to see it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from microlite import connect, errors
from microlite.core.library.peers import RefuseCalls
from microlite.core.library.placement import Placement
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from tests.join.test_join_tls import site_on
from tests.runtime_e2e.runtime_bench import ENVIRONMENT, bench_on

ROOT = str(Path(__file__).parents[2])

SPY = """
    import os
    import subprocess
    import sys

    BEFORE = dict(os.environ)

    from microlite import Context, Service

    service = Service("spy")

    @service.endpoint
    async def look() -> dict[str, str]:
        child = subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True)
        return {
            "before": str(BEFORE),
            "now": str(dict(os.environ)),
            "argv": str([sys.argv, getattr(sys, "orig_argv", [])]),
            "child": child.stdout.decode(),
            "modules": " ".join(sys.modules),
        }

    @service.endpoint
    async def who(ctx: Context) -> str:
        return await ctx.as_service.call("other.who")

    if __name__ == "__main__":
        service.run()
"""

OTHER = """
    from microlite import Context, Service

    service = Service("other")

    @service.endpoint
    async def who(ctx: Context) -> str:
        return f"{ctx.account.id} ({ctx.account.type})"

    if __name__ == "__main__":
        service.run()
"""


def write(folder: Path, source: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(textwrap.dedent(source))
    return folder


async def test_the_ticket_of_a_node_is_nowhere_to_be_seen(tmp_path: Path) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("spy/main.py", SPY)
        async with bench.session("spy") as session:
            await session.running()
            seen = await bench.call("spy.look")
            for place in ("before", "now", "argv", "child"):
                assert "MICROLITE_TICKET" not in seen[place], place
                assert "eyJ" not in seen[place], place
            loaded = set(seen["modules"].split())
            assert not loaded & {"jwt", "cryptography", "argon2", "_microlite_ticket", "microlite.core.rpc.tls"}
            (record,) = await bench.call("registry.get", service="spy")
            assert record["nodes"][0]["generation"] > 0, "and yet it has proven its generation"
            assert "eyJ" not in str(await bench.call("runtime.status"))


async def test_nodes_of_the_runtime_know_each_other_directly(tmp_path: Path) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("spy/main.py", SPY)
        bench.write("other/main.py", OTHER)
        async with bench.session("spy", "other") as session:
            await session.running("spy", "other")
            for _ in range(5):
                assert await bench.call("spy.who") == "spy (service)"


async def test_the_ticket_of_a_process_that_has_ended_opens_nothing(tmp_path: Path) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("other/main.py", OTHER)
        async with bench.session("other") as session:
            await session.running()
            run = (await bench.status("other")).nodes[0]
            tickets = bench.platform.nodes.tickets
            from microlite.core.auth.tickets import Bearer

            stolen = tickets.issue(
                Bearer(namespace="default", service="other", node=run.id, generation=run.generation)
            ).token
            tickets.prove(stolen)
            assert run.pid is not None
            os.kill(run.pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while tickets.is_started("default", run.id) and (await bench.status("other")).nodes[0].pid == run.pid:
                    await asyncio.sleep(0.01)
        properties = {"service": "other", "node": run.id, "ticket": stolen}
        thief = await dial(str(platform_socket(bench.home)), RefuseCalls(), role="node", properties=properties)
        await asyncio.wait_for(thief.closed, 10)
        with pytest.raises(errors.Unauthorized, match="ended"):
            tickets.prove(stolen)


async def test_a_process_that_only_says_that_it_is_a_started_node_is_turned_away(tmp_path: Path) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("other/main.py", OTHER)
        async with bench.session("other") as session:
            await session.running()
            forger = await asyncio.create_subprocess_exec(
                *(sys.executable, str(bench.folder / "other" / "main.py")),
                env={
                    **ENVIRONMENT,
                    "PYTHONPATH": ROOT,
                    "MICROLITE_HOME": str(bench.home),
                    "MICROLITE_NODE": (await bench.status("other")).nodes[0].id,
                    "MICROLITE_GENERATION": "99",
                },
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await asyncio.wait_for(forger.communicate(), 30)
            assert forger.returncode != 0
            assert "would show its ticket" in said.decode()
            assert await bench.call("other.who") == "admin (user)"


async def test_a_service_in_a_process_joins_from_elsewhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "far", SPY)
    async with site_on(tmp_path / "home") as site, connect(tmp_path / "home") as m:
        token = (await site.token(service="spy"))["token"]
        (tmp_path / "token").write_text(token + "\n")

        async def started(**variables: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, str(folder / "main.py")),
                env={
                    **ENVIRONMENT,
                    "PYTHONPATH": ROOT,
                    "HOME": str(tmp_path),
                    "MICROLITE_PLATFORM": f"127.0.0.1:{site.port}",
                    **variables,
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )

        for variables in ({"MICROLITE_JOIN_TOKEN_FILE": str(tmp_path / "token")}, {"MICROLITE_JOIN_TOKEN": token}):
            process = await started(**variables)
            seen = await until_answered(m)
            for place in ("now", "argv", "child"):
                assert "mlj_" not in seen[place], place
            assert not set(seen["modules"].split()) & {"jwt", "cryptography", "argon2"}
            process.send_signal(signal.SIGTERM)
            _, said = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0
            assert token not in said.decode()
        process = await started(MICROLITE_JOIN_TOKEN=token.replace("mlj_default.", "mlj_default.f"))
        _, said = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 2
        assert "does not let this node in: the join token is not known" in said.decode()
        assert token.split("_")[2] not in said.decode()
    assert not (tmp_path / ".microlite").exists(), "no platform of its own was started"


async def until_answered(m: Any) -> dict[str, str]:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(errors.ServiceNotFound):
                seen: dict[str, str] = await m.call("spy.look")
                return seen
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"MICROLITE_PLATFORM": "example.org", "MICROLITE_JOIN_TOKEN": "mlj_default.a_b_" + "0" * 64},
            "host and the join",
        ),
        ({"MICROLITE_PLATFORM": "example.org:1", "MICROLITE_JOIN_TOKEN": "mlj_default.a"}, "no join token"),
        ({"MICROLITE_PLATFORM": "example.org:1"}, "no join token"),
        ({"MICROLITE_PLATFORM": "example.org:1", "MICROLITE_JOIN_TOKEN_FILE": "/nowhere/at/all"}, "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_variables_is_said(variables: dict[str, str], said: str) -> None:
    from microlite.core.library.remote import address_of

    with pytest.raises(errors.BadRequest, match=said):
        address_of(Placement.from_environment(variables).remote)


def test_secrets_are_taken_out_of_the_environment_and_not_shown() -> None:
    token = "mlj_default.a_b_" + "0" * 64
    variables = {"MICROLITE_PLATFORM": "example.org:1", "MICROLITE_JOIN_TOKEN": token, "MICROLITE_TICKET": "ey.t"}
    placement = Placement.from_environment(variables)
    assert (placement.join, placement.ticket, placement.namespace) == (token, "ey.t", "default")
    assert variables == {"MICROLITE_PLATFORM": "example.org:1"}
    assert token not in repr(placement)
    assert "ey.t" not in repr(placement)
