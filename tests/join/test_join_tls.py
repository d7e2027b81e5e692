"""The join port: nodes of other machines come in by a join token, and nobody else does anything there."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from microlite import Context, Service
from microlite.core import errors
from microlite.core.app import Platform
from microlite.core.auth.join_certificate import JoinCertificate
from microlite.core.clock import ManualClock
from microlite.core.library.peers import RefuseCalls
from microlite.core.library.placement import Hidden
from microlite.core.rpc import frames, liveness, tls
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.liveness import Liveness
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.core.settings import ServerOptions
from microlite.testing.harness import RunningPlatform
from microlite.testing.served import InProcess, Served


class Site:
    """A platform with a join port, and nodes that come as from another machine."""

    def __init__(self, booted: Platform, running: RunningPlatform) -> None:
        self.booted = booted
        self.call = running.call
        self.running = running
        self.port = booted.nodes.join_port
        self.served: list[Served] = []

    async def token(self, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.call("auth.join-tokens.create", **fields)
        return made

    async def join(self, service: Service, token: str, *, node: str = "far-1", namespace: str = "default") -> Served:
        """Run a node that knows nothing of this machine but the join port."""
        placement = InProcess(
            home=Path("/nowhere"),
            namespace=namespace,
            node=node,
            remote=f"127.0.0.1:{self.port}",
            join=Hidden(token),
        )
        served = Served(service, placement, self.booted.clock, lambda target: target)
        self.served.append(served)
        await served.start()
        return served


@contextlib.asynccontextmanager
async def site_on(home: Path, port: int = 0, clock: ManualClock | None = None) -> AsyncIterator[Site]:
    options = ServerOptions(home=home, port=0, dashboard=False, join_port=port, join_host="127.0.0.1")
    async with Platform(options, clock or ManualClock()) as booted:
        client = await dial(str(platform_socket(home)), RefuseCalls(), role="client")
        running = RunningPlatform(booted, client)
        site = Site(booted, running)
        try:
            yield site
        finally:
            await asyncio.gather(*(served.cancel() for served in site.served), return_exceptions=True)
            await running.end()
            client.close()
            await client.closed


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_on(tmp_path / "home") as site:
        yield site


def far() -> Service:
    service = Service("far")

    @service.endpoint
    async def hello(name: str) -> str:
        return f"Hello {name}"

    @service.endpoint
    async def ask(ctx: Context) -> str:
        answer: str = await ctx.call("near.answer")
        return answer

    @service.endpoint
    async def keep(ctx: Context) -> int:
        await ctx.store.write("n", 5)
        return await ctx.store.read("n", int)

    return service


async def test_a_node_joins_serves_and_calls(site: Site) -> None:
    near = Service("near")

    @near.endpoint
    async def answer() -> str:
        return "near"

    await site.running.serve(near)
    await site.join(far(), (await site.token())["token"])
    assert await site.call("far.hello", name="Ann") == "Hello Ann"
    for _ in range(3):
        assert await site.call("far.ask") == "near"
    assert await site.call("far.keep") == 5
    (route,) = [route for route in await site.call("network.routes") if route["service"] == "far"]
    assert not route["nodes"][0].get("address"), "nobody is to look for it on this machine"


async def test_a_node_of_this_machine_calls_one_of_another(site: Site) -> None:
    near = Service("near")

    @near.endpoint
    async def ask(ctx: Context) -> str:
        answer: str = await ctx.call("far.hello", name="near")
        return answer

    await site.running.serve(near)
    await site.join(far(), (await site.token())["token"])
    for _ in range(3):
        assert await site.call("near.ask") == "Hello near"


async def test_a_join_token_is_kept_hashed_and_listed_without_its_secret(site: Site) -> None:
    made = await site.token(service="far")
    (shown,) = await site.call("auth.join-tokens.list")
    assert "token" not in shown
    assert shown["id"] == made["id"]
    assert shown["service"] == "far"
    secret = made["token"].split("_")[2]
    database = (site.running.home / "microlite.db").read_bytes() + (site.running.home / "microlite.db-wal").read_bytes()
    assert secret.encode() not in database
    entries = (await site.call("auth.audit.list"))["entries"]
    assert [entry["action"] for entry in entries if entry["action"].startswith("auth.join")] == [
        "auth.join-tokens.create"
    ]
    assert secret not in str(entries)


async def _refused(site: Site, token: str, **options: Any) -> str:
    with pytest.raises(errors.Error) as caught:
        await site.join(far(), token, **options)
    assert token not in caught.value.detail
    return f"{caught.value.status}: {caught.value.detail}"


async def test_an_expired_token_lets_nobody_in_and_those_stay_who_came_by_it(site: Site, tmp_path: Path) -> None:
    token = (await site.token(expires_in=60))["token"]
    await site.join(far(), token)
    site.running.advance(61)
    assert "expired" in await _refused(site, token, node="far-2")
    assert await site.call("far.hello", name="Ann") == "Hello Ann"


async def test_a_deleted_token_lets_nobody_in_and_cuts_off_who_came_by_it(site: Site) -> None:
    made = await site.token()
    served = await site.join(far(), made["token"])
    await site.call("auth.join-tokens.delete", id=made["id"])
    with pytest.raises(errors.Forbidden, match="does not let this node in"):
        await asyncio.wait_for(served.ended(), 10)
    assert "deleted" in await _refused(site, made["token"])
    with pytest.raises(errors.ServiceNotFound):
        await site.call("far.hello", name="Ann")


@pytest.mark.parametrize("part", ["id", "secret"])
async def test_a_forged_token_lets_nobody_in(site: Site, part: str) -> None:
    head, secret, fingerprint = (await site.token())["token"].rsplit("_", 2)
    forged = f"{head}_{'0' * len(secret)}_{fingerprint}" if part == "secret" else f"{head[:-1]}z_{secret}_{fingerprint}"
    assert "not known" in await _refused(site, forged)


async def test_a_token_for_one_service_lets_in_no_other(site: Site) -> None:
    assert "for nodes of 'other'" in await _refused(site, (await site.token(service="other"))["token"])


async def test_a_token_of_one_namespace_lets_nobody_into_another(site: Site) -> None:
    token = (await site.token())["token"]
    assert "for the namespace 'default'" in await _refused(site, token, namespace="blue")
    forged = token.replace("mlj_default.", "mlj_blue.")
    assert "not known" in await _refused(site, forged, namespace="blue")


async def test_a_node_cannot_take_the_name_of_one_that_the_platform_runs(site: Site) -> None:
    site.booted.nodes.tickets.start("default", "far", "far-1", 3)
    assert "runs a node 'far-1' itself" in await _refused(site, (await site.token())["token"])


async def test_a_wrong_fingerprint_ends_it_before_anything_is_said(site: Site, tmp_path: Path) -> None:
    """Somebody in between has a certificate of his own."""
    said = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.extend(await reader.read(100))
        writer.close()

    (tmp_path / "other").mkdir()
    other = JoinCertificate(tmp_path / "other")
    other.ensure()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.certificate, other.key)
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        token = (await site.token())["token"]
        site.port = server.sockets[0].getsockname()[1]
        refused = await _refused(site, token)
    assert "has not the certificate that the join token names" in refused
    assert not said


async def test_plain_tcp_gets_no_word(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(frames.encode(frames.Hello(1, "node", {"service": "far", "node": "far-1"})))
    answer = await asyncio.wait_for(reader.read(1000), 10)
    assert b"platform" not in answer
    writer.close()


class Stranger:
    """Speaks TLS to the join port, and the wire by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = frames.FrameDecoder()

    async def frames(self) -> list[frames.AnyFrame]:
        """All that comes until the other side closes."""
        found: list[frames.AnyFrame] = []
        async with asyncio.timeout(10):
            while data := await self.reader.read(65_536):
                found += self.decoder.feed(data)
        return found


@contextlib.asynccontextmanager
async def stranger(site: Site) -> AsyncIterator[Stranger]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=context)
    try:
        yield Stranger(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def test_calls_before_hello_are_no_calls(site: Site) -> None:
    async with stranger(site) as one:
        one.writer.write(frames.encode(frames.Call(1, "registry", "list")))
        *_, last = await one.frames()
    assert isinstance(last, frames.GoAway)
    assert "first frame is not HELLO" in last.reason


@pytest.mark.parametrize(
    ("role", "properties"),
    [
        ("client", {}),
        ("peer", {"node": "x"}),
        ("node", {}),
        ("node", {"service": "far", "node": "far-1"}),
        ("node", {"service": "far", "node": "far-1", "join": "mlj_x"}),
        ("node", {"service": "far", "node": "far-1", "ticket": "ey.ey.ey"}),
        ("node", {"service": "store", "node": "far-1"}),
    ],
)
async def test_who_proves_nothing_is_turned_away_and_his_calls_are_not_served(
    site: Site, role: str, properties: dict[str, str]
) -> None:
    async with stranger(site) as one:
        one.writer.write(frames.encode(frames.Hello(1, role, properties)))
        one.writer.write(frames.encode(frames.Call(1, "registry", "list", b"\x80")))
        hello, last = await one.frames()
    assert isinstance(hello, frames.Hello)
    assert hello.properties == {}, "a stranger learns nothing"
    assert isinstance(last, frames.GoAway)
    assert last.last == 0
    assert last.reason.startswith("turned away: ")


async def test_the_ticket_of_a_node_of_this_machine_opens_nothing_from_another(site: Site) -> None:
    tickets = site.booted.nodes.tickets
    token = tickets.start("default", "far", "far-1", 3)
    async with stranger(site) as one:
        properties = {"service": "far", "node": "far-1", "ticket": token}
        one.writer.write(frames.encode(frames.Hello(1, "node", properties)))
        *_, last = await one.frames()
    assert isinstance(last, frames.GoAway)
    assert "may not come from another machine" in last.reason


async def test_a_large_frame_of_a_stranger_is_not_read(site: Site) -> None:
    async with stranger(site) as one:
        one.writer.write((frames.MAX_FRAME).to_bytes(4, "big") + b"x" * 1000)
        *_, last = await one.frames()
    assert isinstance(last, frames.GoAway)
    assert "larger than the limit of 16,384" in last.reason


async def test_who_says_nothing_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HELLO_TIMEOUT", 0.05)
    async with stranger(site) as one:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert await asyncio.wait_for(one.reader.read(-1), 10) is not None


async def test_strangers_are_few(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "MAX_FROM_ONE", 3)
    token = (await site.token())["token"]
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(stranger(site))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await stack.enter_async_context(stranger(site))
    await asyncio.wait_for(_until_joined(site, token), 10)


async def _until_joined(site: Site, token: str) -> None:
    while True:
        try:
            await site.join(far(), token)
            return
        except errors.ServiceUnavailable:
            await asyncio.sleep(0.01)  # their ends are on their way


async def test_a_node_comes_back_after_a_restart_of_the_platform_by_its_ticket(tmp_path: Path) -> None:
    clock = ManualClock()
    async with site_on(tmp_path / "home", clock=clock) as site:
        token = (await site.token(expires_in=60))["token"]
        served = await site.join(far(), token)
        site.served.clear()
        port = site.port
        clock.advance(61)  # the join token has expired: only the ticket lets it in again
    try:
        async with site_on(tmp_path / "home", port, clock) as again, asyncio.timeout(20):
            while True:
                try:
                    assert await again.call("far.hello", name="Ann") == "Hello Ann"
                    break
                except errors.ServiceNotFound:
                    await asyncio.sleep(0.02)
    finally:
        with contextlib.suppress(errors.Error):
            await served.cancel()


async def test_a_side_that_falls_silent_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (liveness.EVERY, liveness.DEAD) == (5.0, 15.0)
    token = (await site.token())["token"]
    async with stranger(site) as one:
        properties = {"service": "far", "node": "far-1", "join": token}
        one.writer.write(frames.encode(frames.Hello(1, "node", properties)))
        one.writer.write(frames.encode(frames.Call(1, "auth", "tickets.create", b"\x80")))
        data = await asyncio.wait_for(one.reader.read(65_536), 10)
        while not any(isinstance(frame, frames.Reply) for frame in one.decoder.feed(data)):
            data = await asyncio.wait_for(one.reader.read(65_536), 10)
        (connection,) = next(iter(site.booted.nodes.admission._joined.values()))
        Liveness(connection, every=0.02, dead=0.1)
        pings = await one.frames()  # it answers none of them
    assert all(isinstance(frame, frames.Ping) for frame in pings)
    assert pings


async def test_a_joined_node_names_no_address_of_this_machine(site: Site) -> None:
    token = (await site.token())["token"]
    properties = {"service": "far", "node": "far-1", "join": token}
    pin = token.rsplit("_", 1)[1]
    connection = await tls.dial("127.0.0.1", site.port, pin, RefuseCalls(), role="node", properties=properties)
    described = {"name": "far", "version": "1", "endpoints": []}
    request = {"registration": {"service": described, "node": {"id": "far-1", "address": "/tmp/elsewhere.s"}}}
    with pytest.raises(errors.Forbidden, match="names no address"):
        await UnaryCall("registry", "register", msgspec.msgpack.encode(request)).run(connection.start)
    for endpoint in ("join-tokens.list", "join-tokens.create"):
        with pytest.raises(errors.Forbidden):
            await UnaryCall("auth", endpoint, b"\x80").run(connection.start)
    connection.close()
    await connection.closed


def test_the_key_of_the_port_is_for_its_owner_alone_and_made_once(tmp_path: Path) -> None:
    made = JoinCertificate(tmp_path)
    first = made.fingerprint()
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert JoinCertificate(tmp_path).fingerprint() == first
    made.key.chmod(0o644)
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        JoinCertificate(tmp_path).ensure()
