"""Direct connections: both ends prove who they are, and the callee decides by the rules as they are now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Context, Service, errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.library import peers
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.sockets import Listener, dial
from tests.library.test_library_peers import Hops

if TYPE_CHECKING:
    from microlite.core.rpc.connection import Connection
    from microlite.testing import RunningPlatform


@pytest.fixture
def inner() -> Service:
    service = Service("inner")

    @service.endpoint
    async def answer(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    @service.endpoint(scopes=["secret:read"])
    async def guarded() -> str:
        return "the secret"

    @service.endpoint
    async def onward(ctx: Context) -> str:
        found: str = await ctx.call("last.answer")
        return found

    return service


@pytest.fixture
def outer() -> Service:
    service = Service("outer")

    @service.endpoint
    async def ask(ctx: Context, target: str = "inner.answer", itself: bool = False) -> str:
        answer: str = await (ctx.as_service if itself else ctx).call(target)
        return answer

    return service


async def until_direct(platform: RunningPlatform, hops: Hops) -> None:
    async with asyncio.timeout(20):
        while True:
            before = hops.of("inner.answer")
            await platform.call("outer.ask")
            if hops.of("inner.answer") == before:
                return


@pytest.fixture
async def hops(platform: RunningPlatform, outer: Service, inner: Service) -> Hops:
    found = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, found)
    return found


async def test_the_caller_of_the_caller_is_known_to_the_callee(platform: RunningPlatform, hops: Hops) -> None:
    before = len(hops.seen)
    assert await platform.call("outer.ask") == "admin"
    assert await platform.call("outer.ask", itself=True) == "outer"
    assert not [seen for seen in hops.seen[before:] if seen.startswith("inner")], "they went directly"


async def test_who_a_service_is_goes_on_with_what_it_called(platform: RunningPlatform, hops: Hops) -> None:
    last = Service("last")

    @last.endpoint
    async def answer(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    await platform.serve(last)
    assert await platform.call("outer.ask", target="inner.onward", itself=True) == "outer"
    assert await platform.call("outer.ask", target="inner.onward") == "admin"


async def test_a_changed_rule_holds_when_the_change_returns(platform: RunningPlatform, hops: Hops) -> None:
    deny = {"id": "no-outer", "scope": "service", "resource": {"name": "inner"}, "access": "denied", "priority": 10}
    await platform.call("auth.rules.create", **deny)
    with pytest.raises(errors.Forbidden, match="no-outer"):
        await platform.call("outer.ask", itself=True)
    assert await platform.call("outer.ask") == "admin"
    await platform.call("auth.rules.delete", id="no-outer")
    assert await platform.call("outer.ask", itself=True) == "outer"


async def test_the_scopes_of_an_endpoint_are_demanded_on_the_direct_way(platform: RunningPlatform, hops: Hops) -> None:
    assert await platform.call("outer.ask", target="inner.guarded") == "the secret"
    before = hops.of("inner.guarded")
    with pytest.raises(errors.Forbidden, match="secret:read"):
        await platform.call("outer.ask", target="inner.guarded", itself=True)
    assert hops.of("inner.guarded") == before


async def test_a_service_has_the_scopes_of_the_account_of_its_name(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    await platform.call("auth.accounts.create", id="outer", type="service", scopes=["secret:read"])
    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    assert await platform.call("outer.ask", target="inner.guarded", itself=True) == "the secret"
    await until_direct(platform, hops)
    before = hops.of("inner.guarded")
    assert await platform.call("outer.ask", target="inner.guarded", itself=True) == "the secret"
    assert hops.of("inner.guarded") == before
    await platform.call("auth.accounts.update", id="outer", scopes=[])
    for _ in range(3):
        with pytest.raises(errors.Forbidden, match="secret:read"):
            await platform.call("outer.ask", target="inner.guarded", itself=True)
        await until_direct(platform, hops)


async def address_of(platform: RunningPlatform, service: str) -> str:
    found = [route for route in await platform.call("network.routes") if route["service"] == service]
    return str(found[0]["nodes"][0]["address"])


def ticket_of(platform: RunningPlatform, to: str, *, node: str = "outer-1", namespace: str = DEFAULT_NAMESPACE) -> str:
    from microlite.core.auth.tickets import Bearer

    bearer = Bearer(namespace=namespace, service="outer", node=node)
    return platform._booted.nodes.tickets.issue(bearer, to).shown


async def tried(platform: RunningPlatform, role: str, ticket: str) -> Any:
    """Whether a call that is sent over a connection of one's own is served."""
    properties = {"node": "outer-1", "namespace": "default", "ticket": ticket}
    connection = await dial(await address_of(platform, "inner"), peers.RefuseCalls(), role=role, properties=properties)
    try:
        return await UnaryCall("inner", "answer", b"\x80").run(connection.start)
    finally:
        connection.abort()
        await connection.closed


async def test_who_shows_a_ticket_for_this_node_is_served(platform: RunningPlatform, hops: Hops) -> None:
    assert await tried(platform, "peer", ticket_of(platform, "inner-1")) == b"\xa5outer"


@pytest.mark.parametrize(
    "what",
    ["no ticket", "forged", "for another node", "for the platform", "of a callee", "foreign", "expired", "client"],
)
async def test_who_shows_none_is_not_served(platform: RunningPlatform, hops: Hops, what: str) -> None:
    from microlite.core.auth.tickets import LIFETIME, Bearer

    tickets = platform._booted.nodes.tickets
    good = ticket_of(platform, "inner-1", node="gone-1" if what == "expired" else "outer-1")
    own = tickets.issue(Bearer(namespace="default", service="outer", node="outer-1"))
    shown = {
        "no ticket": "",
        "forged": good[:-6] + "AAAAAA",
        "for another node": ticket_of(platform, "other-1"),
        "for the platform": own.token,
        "of a callee": own.shown,
        "foreign": ticket_of(platform, "inner-1", namespace="blue"),
        "expired": good,
        "client": good,
    }[what]
    if what == "expired":
        platform.advance(LIFETIME + 1)
    with pytest.raises(errors.ServiceUnavailable, match="took no call"):
        await tried(platform, "client" if what == "client" else "peer", shown)


async def test_what_a_callee_shows_cannot_be_shown_by_who_calls(platform: RunningPlatform, hops: Hops) -> None:
    """Whoever was called has proven itself to its caller, who could show that elsewhere."""
    heard: list[str] = []

    def note(connection: Connection) -> None:
        assert connection.peer is not None
        heard.append(connection.peer.properties["ticket"])

    connection = await dial(
        await address_of(platform, "inner"), peers.RefuseCalls(), role="peer", properties={}, on_hello=note
    )
    await connection.closed
    with pytest.raises(errors.ServiceUnavailable, match="took no call"):
        await tried(platform, "peer", heard[0])


async def test_another_service_on_the_socket_of_a_node_is_not_served(platform: RunningPlatform, hops: Hops) -> None:
    """Rules speak of services by their names: a caller does not choose under which one it is judged."""
    properties = {"node": "outer-1", "ticket": ticket_of(platform, "inner-1")}
    connection = await dial(
        await address_of(platform, "inner"), peers.RefuseCalls(), role="peer", properties=properties
    )
    with pytest.raises(errors.ServiceUnavailable, match="another service"):
        await UnaryCall("open", "answer", b"\x80").run(connection.start)
    connection.abort()
    await connection.closed


async def test_a_bare_claim_is_not_believed(platform: RunningPlatform, hops: Hops) -> None:
    """The account in a frame is for the platform to say; a peer that says it is not listened to."""
    from microlite.core.context import PLATFORM_ADMIN

    properties = {"node": "outer-1", "ticket": ticket_of(platform, "inner-1")}
    connection = await dial(
        await address_of(platform, "inner"), peers.RefuseCalls(), role="peer", properties=properties
    )
    claim = UnaryCall("inner", "answer", b"\x80", account=PLATFORM_ADMIN)
    assert await claim.run(connection.start) == b"\xa5outer"
    nobody = UnaryCall("inner", "answer", b"\x80", account=PLATFORM_ADMIN, token="-")
    assert await nobody.run(connection.start) == b"\xa6nobody"
    with pytest.raises(errors.Unauthorized):
        await UnaryCall("inner", "answer", b"\x80", token="ey.forged.token").run(connection.start)
    connection.abort()
    await connection.closed


async def test_somebody_else_at_the_address_of_a_node_is_not_asked(
    platform: RunningPlatform, hops: Hops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket was put in the place of another one."""
    monkeypatch.setattr(peers, "AGAIN", 0.01)
    asked: list[str] = []

    class Impostor:
        def accept(self, inbound: Any) -> None:
            asked.append(inbound.endpoint)
            inbound.reply(b"\xa1x")

    address = await address_of(platform, "inner")
    served = platform._served[0]
    from pathlib import Path

    listener = Listener(Path(address), Impostor(), role="node", properties={"node": "inner-1", "ticket": "ey.x.y"})
    await listener.start()
    for connection in list(served._node._listener.connections):  # type: ignore[union-attr]
        connection.abort()
    for _ in range(10):
        assert await platform.call("outer.ask") == "admin"
    assert not asked
    await listener.close()


async def test_without_the_platform_no_call_is_taken_directly(platform: RunningPlatform, hops: Hops) -> None:
    properties = {"node": "outer-1", "ticket": ticket_of(platform, "inner-1")}
    connection = await dial(
        await address_of(platform, "inner"), peers.RefuseCalls(), role="peer", properties=properties
    )
    assert await UnaryCall("inner", "answer", b"\x80").run(connection.start) == b"\xa5outer"
    inner = next(one for one in platform._served if one.name == "inner")
    assert inner._node._platform is not None
    inner._node._platform.abort()
    await asyncio.wait_for(connection.closed, 10)
    async with asyncio.timeout(20):
        while True:  # it comes back, and is reached again
            try:
                assert await platform.call("outer.ask") == "admin"
                break
            except errors.Error:
                await asyncio.sleep(0.01)


async def test_a_node_that_does_not_confirm_is_cut_off(platform: RunningPlatform, hops: Hops) -> None:
    inner = next(one for one in platform._served if one.name == "inner")
    policing = inner._node._policing
    assert policing is not None

    def stuck(payload: bytes) -> int:
        raise errors.InternalServerError("it does not listen")

    policing._take = stuck  # type: ignore[method-assign]
    deny = {"id": "none", "scope": "service", "resource": {"name": "inner"}, "access": "denied", "priority": 10}
    await platform.call("auth.rules.create", **deny)
    with pytest.raises(errors.Error):
        await platform.call("outer.ask", itself=True)
