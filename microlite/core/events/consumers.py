"""The endpoints that consume: found in the descriptions of what has nodes, and delivered to as long as it has."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.core import errors
from microlite.core.context import Account, Origin, service_account
from microlite.core.description.structs import Consume
from microlite.core.events.api import GroupSettings, Misfits
from microlite.core.events.pusher import Pusher, Target
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import EndpointDescription, Schema
    from microlite.core.events.events import Events
    from microlite.core.events.leader import Leader
    from microlite.core.network.api import Route
    from microlite.core.network.membership import Membership
    from microlite.core.policy.permits import Permits
    from microlite.core.rpc.call import Call

AGAIN: Final = 1.0
"""Seconds after which a group that could not be opened is tried again."""

log = logging.getLogger("microlite.events")

_Group = tuple[str, str, str]


class _Wish(msgspec.Struct, frozen=True):
    """One endpoint's wish to consume."""

    target: Target
    trigger: Consume
    schema: Schema


class _Asking(NamedTuple):
    account: Account
    namespace: str


class Consumers:
    """Holds the pushers of all groups to the nodes that there are.

    Args:
        send: takes calls to nodes.
        permits: the rules: a service gets no events that one denies it.
    """

    def __init__(self, events: Events, membership: Membership, send: Callable[[Call], None], permits: Permits) -> None:
        self._events = events
        self._membership = membership
        self._send = send
        self._permits = permits
        self._wishes: dict[tuple[str, str], dict[_Group, list[_Wish]]] = {}
        self._pushers: dict[_Group, Pusher] = {}
        self._to_open: set[_Group] = set()
        self._wake = asyncio.Event()
        events.leaders.on_open = self._on_open
        events.leaders.on_close = self._on_close
        events.groups.consumers = self.names
        events.groups.reopened = lambda *group: self._want_open(group)

    async def run(self) -> None:
        """Deliver until canceled."""
        stop = self._membership.watch(self._on_route)
        try:
            while True:
                self._wake.clear()
                for group in list(self._to_open):
                    self._to_open.discard(group)
                    await self._open(group)
                await self._wake.wait()
        finally:
            stop()

    def names(self, namespace: str, topic: str, group: str) -> tuple[str, ...]:
        """The endpoints to which a group's events are delivered now, as `service.endpoint`."""
        wishes = self._wishes_of((namespace, topic, group))
        return tuple(sorted(f"{wish.target.service}.{wish.target.endpoint}" for wish in wishes))

    # ------------------------------------------------------------------------------------------------------------------

    def _on_route(self, route: Route) -> None:
        """Nodes came or went. What follows for deliveries follows in this very turn of the loop."""
        key = (route.namespace, route.service)
        before = self._wishes.pop(key, {})
        description = self._membership.describe(*key) if route.nodes else None
        after: dict[_Group, list[_Wish]] = {}
        for endpoint in description.endpoints if description is not None else ():
            for trigger in endpoint.triggers:
                if isinstance(trigger, Consume):
                    wish = _wish(route.service, endpoint, trigger)
                    after.setdefault((route.namespace, trigger.topic, trigger.group), []).append(wish)
        if after:
            self._wishes[key] = after
        for group in before.keys() | after.keys():
            pusher = self._pushers.get(group)
            if pusher is not None:
                self._refresh(group, pusher)
            if after.get(group) and (pusher is None or before.get(group) != after[group]):
                self._want_open(group)

    def _wishes_of(self, group: _Group) -> list[_Wish]:
        return [wish for wishes in self._wishes.values() for wish in wishes.get(group, ())]

    def _refresh(self, group: _Group, pusher: Pusher) -> None:
        pusher.targets = [wish.target for wish in self._wishes_of(group)]
        if pusher.targets:
            pusher.leader.pump = pusher.pump
            pusher.pump()
        elif not pusher.under_way:
            pusher.leader.pump = None

    def _want_open(self, group: _Group) -> None:
        self._to_open.add(group)
        self._wake.set()

    async def _open(self, group: _Group) -> None:
        wishes = self._wishes_of(group)
        if not wishes:
            return
        wish = wishes[-1]
        trigger = wish.trigger
        settings = GroupSettings(
            retries=trigger.retries,
            ack_wait=trigger.ack_wait,
            backoff=trigger.backoff,
            max_backoff=trigger.max_backoff,
            concurrency=trigger.concurrency,
        )
        try:
            if trigger.misfits:
                await self._adopt(group[0], trigger, wish.schema)
            leader = await self._events.leaders.get(*group, start=trigger.start, settings=settings)
        except errors.BadRequest as error:
            log.error(
                "%s.%s cannot consume %s: %s", wish.target.service, wish.target.endpoint, trigger.topic, error.detail
            )
        except errors.Error as error:
            log.warning("the group %s of %s: %s; it is tried again", group[2], group[1], error.detail)
            asyncio.get_running_loop().call_later(AGAIN, self._want_open, group)
        except Exception:
            log.exception("the group %s of %s could not be opened; it is tried again", group[2], group[1])
            asyncio.get_running_loop().call_later(AGAIN, self._want_open, group)
        else:
            self._on_open(leader)

    def _on_open(self, leader: Leader) -> None:
        group = (leader.namespace, leader.topic, leader.name)
        pusher = self._pushers.get(group)
        if pusher is None or pusher.leader is not leader:
            if not self._wishes_of(group):
                return
            pusher = self._pushers[group] = Pusher(leader, self._send, partial(self._may, leader))
        self._refresh(group, pusher)

    def _on_close(self, leader: Leader) -> None:
        group = (leader.namespace, leader.topic, leader.name)
        pusher = self._pushers.get(group)
        if pusher is not None and pusher.leader is leader:
            del self._pushers[group]
            self._want_open(group)

    def _may(self, leader: Leader, service: str) -> bool:
        """Whether a service, as itself, may have the events of a group."""
        asking = _Asking(service_account(service, leader.namespace), leader.namespace)
        return self._permits.allows(asking, ResourceType.TOPIC, leader.topic, "subscribe")

    async def _adopt(self, namespace: str, trigger: Consume, schema: Schema) -> None:
        """Give the topic the schema of what its consumer takes."""
        topics = self._events.topics
        settings = (await topics.known(namespace, trigger.topic)).settings
        wanted = msgspec.structs.replace(settings, schema=schema, misfits=Misfits(trigger.misfits))
        if wanted != settings:
            await topics.set(Origin(namespace), trigger.topic, wanted)


def _wish(service: str, endpoint: EndpointDescription, trigger: Consume) -> _Wish:
    target = Target(service, endpoint.name, trigger.field, trigger.whole)
    return _Wish(target, trigger, payload_schema(endpoint, trigger) if trigger.misfits else {})


def payload_schema(endpoint: EndpointDescription, trigger: Consume) -> Schema:
    """The schema of the payload that an endpoint takes: of its field, or of the payload of the event in it."""
    request = endpoint.request
    found: Any = request.get("properties", {}).get(trigger.field, {})
    definitions = request.get("$defs", {})
    if trigger.whole:
        name = found.get("$ref", "").rpartition("/")[2]
        found = definitions.get(name, {}).get("properties", {}).get("payload", {})
    found = {key: value for key, value in found.items() if key not in ("description", "default")}
    return {**found, "$defs": definitions} if definitions else found
