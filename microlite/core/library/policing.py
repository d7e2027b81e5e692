"""Decides, at a node, about the calls that other nodes send it directly: by the rules that the platform pushes."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.context import NOBODY
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.naming import endpoint_of
from microlite.core.library.inspecting import inspect_ticket, inspect_token
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.early import Early
from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.policy.rules import RuleSet
    from microlite.core.rpc.call import Acceptor, Inbound
    from microlite.core.rpc.connection import Connection

VERIFYING: Final = 5.0
"""Seconds in which it must be known who has connected, and what the rules are."""

AGAIN: Final = 0.5
"""Seconds after which the rules are asked for again where that failed."""

FRESH: Final = 240.0
"""Seconds after which the token is renewed that stands for a caller with further calls."""

MOST_TOKENS: Final = 4_096
"""Tokens that are remembered with whom they stand for; the first that came are forgotten first."""

MOST_WAITING: Final = 1_024
"""Calls that wait at the same time for a token to be looked at."""

MOST_ENDPOINTS: Final = 1_024
"""Names of endpoints that are remembered to be allowed to one caller."""

_resolved = functools.lru_cache(maxsize=1024)(endpoint_of)


class _Who:
    """Somebody who calls, and what is known to be allowed to him by the rules that hold now."""

    __slots__ = ("account", "allowed", "expires", "marks", "token")

    def __init__(self, account: Account | None, token: str, expires: float, marks: tuple[str, ...]) -> None:
        self.account = account
        self.token = token
        self.expires = expires
        self.marks = marks
        self.allowed: set[str] = set()


class Policing:
    """The acceptor of a node's own socket.

    As long as the node does not know the rules as they are now, no call is taken here: its caller sends it through the
    platform.

    Args:
        service: of the node.
        namespace: of the node.
        scopes: what an endpoint demands, by its full name.
        clock: says when a token has expired.
        target: serves what is allowed.
    """

    def __init__(
        self,
        service: str,
        *,
        namespace: str,
        scopes: Callable[[str], tuple[str, ...]],
        clock: Clock,
        target: Acceptor,
    ) -> None:
        self._service = service
        self._namespace = namespace
        self._scopes = scopes
        self._clock = clock
        self._now = clock.now
        self._target = target
        self._platform: Connection | None = None
        self._rules: RuleSet | None = None
        self._revoked: frozenset[str] = frozenset()
        self._ready = asyncio.Event()
        self._nobody = _Who(None, NOBODY, 0.0, ())
        self._peers: dict[Connection, _Who] = {}
        self._tokens: OrderedDict[str, _Who] = OrderedDict()
        self._looking: dict[str, asyncio.Task[_Who]] = {}
        self._waiting = 0
        self._following: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        token = inbound.token
        if not token:
            who = self._peers.get(inbound.peer)  # type: ignore[call-overload]  # an accepted connection, always
            if who is None:
                inbound.refuse("it is not known any more who calls")
                return
            inbound.token = who.token
        elif token == NOBODY:
            who = self._nobody
        else:
            who = self._tokens.get(token)
            if who is None or who.expires <= self._now():
                self._look_at(inbound)
                return
            inbound.account = who.account
        if inbound.endpoint in who.allowed and inbound.service == self._service:
            self._target.accept(inbound)
        else:
            self._decide(inbound, who)

    def _decide(self, inbound: Inbound, who: _Who) -> None:
        from microlite.core.policy.decision import check_call  # nodes that nobody calls directly do without

        rules = self._rules
        if rules is None or inbound.service != self._service:
            inbound.refuse("the node does not know what the rules are" if rules is None else "another service")
            return
        asked = inbound.endpoint
        try:
            endpoint = _resolved(self._service, asked)
            check_call(rules, who.account, self._service, endpoint, None, self._scopes(endpoint))
        except errors.Error as error:
            inbound.fail(error)
            return
        if len(who.allowed) >= MOST_ENDPOINTS:
            who.allowed.clear()
        who.allowed.add(asked)
        self._target.accept(inbound)

    def _look_at(self, inbound: Inbound) -> None:
        """Ask the platform whom a token stands for, and serve the call after that."""
        if self._waiting >= MOST_WAITING or self._platform is None:
            inbound.refuse("too many tokens are being looked at")
            return
        early = Early()
        inbound.receiver = early
        self._waiting += 1
        self._begin(self._authenticate(inbound, early), "authenticate")

    async def _authenticate(self, inbound: Inbound, early: Early) -> None:
        token = inbound.token
        try:
            task = self._looking.get(token)
            if task is None:
                task = self._looking[token] = self._begin(self._ask(token), "ask whose token it is")
                task.add_done_callback(lambda _: self._looking.pop(token, None))
            who = await asyncio.shield(task)
        except errors.ServiceUnavailable as error:
            inbound.refuse(error.detail)  # the platform is not there: let the caller ask it
            return
        except errors.Error as error:
            inbound.fail(error)
            return
        finally:
            self._waiting -= 1
        if inbound.done:
            return
        if early.canceled:
            inbound.refuse("more was sent than there is room for")
            return
        inbound.account = who.account
        inbound.receiver = None
        self._decide(inbound, who)
        early.hand_on(inbound)

    async def _ask(self, token: str) -> _Who:
        platform = self._platform
        if platform is None:
            raise errors.ServiceUnavailable("the platform is not there")
        identity = await inspect_token(platform, token)
        if not self._revoked.isdisjoint(identity.marks):
            raise errors.Unauthorized("the token holds no more; log in again")
        who = _Who(identity.as_account(), token, identity.expires, identity.marks)
        self._tokens[token] = who
        if len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        return who

    # -- who connects --------------------------------------------------------------------------------------------------

    def meet(self, connection: Connection) -> None:
        """Somebody has said hello at the node's socket. Nothing more is read before it is known who that is."""
        connection.hold()
        if self._following is None or self._following.done():
            self._following = self._begin(self._follow(), "watch rules")
        self._begin(self._verify(connection), "verify a peer")

    def lose(self, connection: Connection) -> None:
        """A connection is gone."""
        self._peers.pop(connection, None)

    async def _verify(self, connection: Connection) -> None:
        hello = connection.peer
        assert hello is not None
        try:
            if hello.role != "peer" or self._platform is None:
                raise errors.Forbidden("only nodes call each other directly; call through the platform")
            ticket = hello.properties.get("ticket", "")
            async with asyncio.timeout(VERIFYING):
                peer = await inspect_ticket(self._platform, ticket, called=True)
                await self._ready.wait()
            if peer.namespace != self._namespace or not self._revoked.isdisjoint(peer.marks):
                raise errors.Forbidden("this node may not call here")
        except TimeoutError:
            self._part(connection, "it did not become known in time who calls")
        except errors.Error as error:
            self._part(connection, error.detail)
        else:
            if connection.closed.done():
                return
            connection.namespace = peer.namespace
            # Its service is not noted: a call that comes through the platform does not say it either.
            connection.account = peer.account
            self._peers[connection] = _Who(peer.account, peer.token, 0.0, peer.marks)
            self._clock.call_later(FRESH, lambda: self._refresh(connection, ticket))
            connection.release()

    def _refresh(self, connection: Connection, ticket: str) -> None:
        if connection in self._peers and self._platform is not None:
            self._begin(self._renew(connection, ticket), "renew what stands for a caller")

    async def _renew(self, connection: Connection, ticket: str) -> None:
        assert self._platform is not None
        try:
            peer = await inspect_ticket(self._platform, ticket, called=True)
        except errors.ServiceUnavailable:
            pass  # it ends with the connection to the platform, or is asked again
        except errors.Error as error:
            self._part(connection, error.detail)
            return
        else:
            who = self._peers.get(connection)
            if who is not None:
                who.token = peer.token
        self._clock.call_later(FRESH, lambda: self._refresh(connection, ticket))

    # -- the rules -----------------------------------------------------------------------------------------------------

    def attach(self, platform: Connection) -> None:
        """The node is connected to the platform, anew."""
        self._platform = platform
        platform.add_lost_callback(self._on_platform_lost)

    def _on_platform_lost(self, platform: Connection) -> None:
        if self._platform is platform:
            self._platform = None
        self._suspend("the node has lost its platform")

    async def _follow(self) -> None:
        while (platform := self._platform) is not None:
            call = StreamCall("auth", "watch", encode_msgpack({}), timeout=None, credit=INITIAL_CREDIT)
            try:
                async with call:
                    platform.start(call)
                    async for payload in call.items():
                        version = self._take(payload)
                        confirm = UnaryCall("auth", "confirm", encode_msgpack({"version": version}))
                        await confirm.run(platform.start)
            except errors.Error as error:
                logging.getLogger("microlite").debug("the rules cannot be followed: %s", error.detail)
            self._suspend("the node does not know what the rules are")
            await asyncio.sleep(AGAIN)

    def _take(self, payload: bytes) -> int:
        from microlite.core.policy.rules import Policy, RuleSet

        policy = msgspec.msgpack.decode(payload, type=Policy)
        self._rules = RuleSet(self._namespace, policy.rules)
        self._revoked = frozenset(policy.revoked)
        for token in [token for token, who in self._tokens.items() if not self._revoked.isdisjoint(who.marks)]:
            del self._tokens[token]
        for who in (self._nobody, *self._peers.values(), *self._tokens.values()):
            who.allowed.clear()
        for connection, who in list(self._peers.items()):
            if not self._revoked.isdisjoint(who.marks):
                self._part(connection, "the node that calls holds no more")
        self._ready.set()
        return policy.version

    def _suspend(self, reason: str) -> None:
        """Take no call directly until the rules are known again."""
        self._rules = None
        self._ready.clear()
        self._tokens.clear()
        for who in (self._nobody, *self._peers.values()):
            who.allowed.clear()
        for connection in list(self._peers):
            self._part(connection, reason)

    def _part(self, connection: Connection, reason: str) -> None:
        """Take no further call here. What runs is finished; the caller sends the rest elsewhere, and closes."""
        self._peers.pop(connection, None)
        connection.go_away(reason)
        if connection.serving:
            self._begin(_part_later(connection), "part from a peer")
        else:
            connection.close()

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Follow and look at nothing any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=f"microlite: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _part_later(connection: Connection) -> None:
    await connection.settled()
    connection.say_drained()
