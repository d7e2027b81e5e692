"""What nodes are told in order to decide by themselves, and how it is known that they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from microlite.core.policy.rules import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from microlite.core.auth.marks import Marks
    from microlite.core.clock import Clock
    from microlite.core.policy.rules import RuleSet

PATIENCE: Final = 1.0
"""Seconds that a node has, by real time, to confirm what it was told; one that has not is cut off."""


class _Follower:
    """Somebody who is told the policy of a namespace."""

    def __init__(self, namespace: str, peer: object) -> None:
        self.namespace = namespace
        self.peer = peer
        self.told = asyncio.Event()
        self.told.set()
        self.confirmed = 0
        self.settled = asyncio.Event()


class Policies:
    """Tells nodes what holds, and waits for them.

    A change of rules or a revocation is over when each node that is told of it has confirmed it, or has lost its connection:
    then nothing decides by what held before.

    Args:
        marks: what holds no more.
        load: gives the rules of a namespace.
        clock: where versions begin, so that they grow over a restart too.
    """

    def __init__(self, marks: Marks, load: Callable[[str], Awaitable[RuleSet]], clock: Clock) -> None:
        self._marks = marks
        self._load = load
        self._version = int(clock.now() * 1_000)
        self._followers: set[_Follower] = set()
        self._on_ruled: list[Callable[[str], None]] = []
        self._spreading: set[asyncio.Task[None]] = set()

    async def follow(self, namespace: str, peer: object) -> AsyncGenerator[Policy]:
        """What holds in a namespace, now and after each change; changes that come together make one.

        Args:
            namespace: whose nodes.
            peer: the connection by which the follower confirms, and which is cut if it does not.
        """
        follower = _Follower(namespace, peer)
        self._followers.add(follower)
        try:
            while True:
                await follower.told.wait()
                follower.told.clear()
                version = self._version  # what is read from here on is at least of this version
                rules = await self._load(namespace)
                revoked = tuple(mark for mark in self._marks.live() if not _is_foreign(mark, namespace))
                yield Policy(version=version, rules=rules.rules, revoked=revoked)
        finally:
            self._followers.discard(follower)
            follower.settled.set()

    def confirm(self, peer: object, version: int) -> bool:
        """A follower decides by this version from now on. Says whether there is one with this connection."""
        found = False
        for follower in self._followers:
            if follower.peer is peer and peer is not None:
                found = True
                follower.confirmed = max(follower.confirmed, min(version, self._version))
                follower.settled.set()
        return found

    async def revoke(self, marks: Sequence[str]) -> None:
        """Let tokens with these marks hold no more: here at once, and at all nodes when this returns."""
        self._marks.revoke(marks)
        await self.spread()

    def revoke_soon(self, mark: str) -> None:
        """The same for whoever cannot wait: here at once, and at all nodes within moments."""
        self._marks.revoke((mark,))
        task = asyncio.create_task(self.spread(), name="microlite: spread a revocation")
        self._spreading.add(task)
        task.add_done_callback(self._spreading.discard)

    def on_ruled(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the namespace whose rules have changed, at that moment."""
        self._on_ruled.append(listener)

    async def spread(self, namespace: str | None = None) -> None:
        """Tell what is new, and return when it holds everywhere.

        Args:
            namespace: whose rules have changed; None where marks were revoked, which can come up in any namespace.
        """
        if namespace is not None:
            for listener in self._on_ruled:
                listener(namespace)
        self._version += 1
        version = self._version
        concerned = [one for one in self._followers if namespace in (None, one.namespace)]
        for follower in concerned:
            follower.told.set()
        if concerned:
            await asyncio.gather(*(self._settle(follower, version) for follower in concerned))

    async def _settle(self, follower: _Follower, version: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while follower in self._followers and follower.confirmed < version:
                    follower.settled.clear()
                    await follower.settled.wait()
        except TimeoutError:
            self._followers.discard(follower)
            abort = getattr(follower.peer, "abort", None)
            if abort is not None:
                abort()


def _is_foreign(mark: str, namespace: str) -> bool:
    """Whether a mark is that of a node of another namespace: its name is told to nobody here, where it can call nothing."""
    kind, _, name = mark.partition(":")
    return kind in ("node", "join") and not name.startswith(f"{namespace}/")
