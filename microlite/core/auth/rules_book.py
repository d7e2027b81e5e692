"""The rules of all namespaces: in the engine, and in memory where they are asked for with each call."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.accounts import check_admin
from microlite.core.auth.records import decode, encode
from microlite.core.auth.rule_checks import check_id, check_open, check_priority, check_rule_scope, normal_resource
from microlite.core.auth.to_the_end import to_the_end
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Delete, Presence, Put
from microlite.core.policy.rules import DEFAULT_RULE, Access, Resource, Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.context import Account, Origin
    from microlite.core.engine.api import Engine, Operation

RULES: Final = "auth/rules"
"""The bucket of rules, by id, and of the head."""

HEAD: Final = "."
"""The key of the head, which can be no id. A namespace without it has the one rule with which each begins."""

MOST: Final = 1_000
"""Most rules of one namespace."""

CHANGED: Final = "auth/ruled"
"""The bucket, in the platform's own namespace, of the names of those whose rules were ever changed. All others are known to
have the one rule with which each begins, without being read."""

MOST_NAMESPACES: Final = 4_096
"""Namespaces without rules of their own whose decisions are remembered; the first that came are forgotten first."""

FIRST: Final = Rule(id=DEFAULT_RULE, resource=Resource(type="*"), access=Access.GRANTED)
"""With which each namespace begins: everything is granted to everybody. Built-in endpoints have their least roles anyhow."""


class _Head(msgspec.Struct, frozen=True):
    changes: int


class _Loaded(msgspec.Struct):
    rules: RuleSet
    head: int
    """The revision of the head's record; 0 where there is none."""
    changes: int


class RulesBook:
    """Has the rules of each namespace, and changes them.

    `open` comes first, and from then on a decision finds all rules in memory. A change is in force here as soon as it is on
    disk, and at all nodes when it returns.

    Args:
        engine: keeps them.
        audit: where every change is written down.
        clock: the time.
        spread: returns when all nodes of a namespace have its new rules.
    """

    def __init__(self, engine: Engine, audit: Audit, clock: Clock, spread: Callable[[str], Awaitable[None]]) -> None:
        self._engine = engine
        self._audit = audit
        self._clock = clock
        self._spread = spread
        self._loaded: dict[str, _Loaded] = {}
        self._plain: OrderedDict[str, RuleSet] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = {}

    async def open(self) -> None:
        """Read all rules."""
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(PLATFORM_NAMESPACE, CHANGED, after=after, limit=1_000)
            for record in page.records:
                await self._load(record.key)
            after = page.cursor

    def rules(self, namespace: str) -> RuleSet:
        """The rules of a namespace, from memory."""
        loaded = self._loaded.get(namespace)
        return loaded.rules if loaded is not None else self._plain_rules(namespace)

    async def load(self, namespace: str) -> RuleSet:
        """The rules of a namespace, when no change of them is under way any more."""
        async with self._turn(namespace):
            return self.rules(namespace)

    async def forget(self, namespace: str) -> None:
        """Forget the rules of a namespace that is deleted: one of the same name begins anew."""
        async with self._turn(namespace):
            self._loaded.pop(namespace, None)
            self._plain.pop(namespace, None)
            await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Delete(CHANGED, namespace),)))

    async def create(
        self,
        origin: Origin,
        actor: Account | None,
        *,
        id: str,
        scope: str,
        resource: Resource,
        access: Access,
        priority: int = 0,
    ) -> Rule:
        """Add a rule.

        Raises:
            BadRequest: something of it cannot be, or there is one of this id.
            Forbidden: whoever asks is no admin of the namespace, or it would lock people out.
            TooManyRequests: there are as many as there can be.
        """
        check_admin(actor, origin.namespace)
        rule = Rule(
            id=check_id(id),
            scope=check_rule_scope(scope),
            resource=normal_resource(resource),
            access=access,
            priority=check_priority(priority),
            created=self._clock.now(),
            created_by=origin.account,
        )
        entry = self._audit.entry(
            origin,
            "auth.rules.create",
            f"rule:{id}",
            scope=rule.scope,
            target=str(rule.resource),
            access=rule.access,
            priority=rule.priority,
        )

        def change(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            if any(one.id == rule.id for one in rules):
                raise errors.BadRequest("A rule with this ID already exists")
            if len(rules) >= MOST:
                raise errors.TooManyRequests(f"a namespace has at most {MOST} rules; delete some first")
            return (*rules, rule)

        await self._carry_out(origin.namespace, actor, change, (entry,))
        return rule

    async def delete(self, origin: Origin, actor: Account | None, id: str) -> None:
        """Remove a rule.

        Raises:
            NotFound: there is none.
            Forbidden: whoever asks is no admin of the namespace, or it would lock people out.
        """
        check_admin(actor, origin.namespace)
        entry = self._audit.entry(origin, "auth.rules.delete", f"rule:{id}")

        def change(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            rest = tuple(one for one in rules if one.id != id)
            if len(rest) == len(rules):
                raise errors.NotFound(f"the namespace {origin.namespace} has no rule {id[:128]!r}")
            return rest

        await self._carry_out(origin.namespace, actor, change, (entry,))

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _carry_out(
        self,
        namespace: str,
        actor: Account | None,
        change: Callable[[tuple[Rule, ...]], tuple[Rule, ...]],
        entries: Sequence[Operation],
    ) -> None:
        """Go to the end with it although whoever asked goes away: what is on disk has to hold, here and everywhere."""
        await to_the_end(self._change(namespace, actor, change, entries), "change rules")

    async def _change(
        self,
        namespace: str,
        actor: Account | None,
        change: Callable[[tuple[Rule, ...]], tuple[Rule, ...]],
        entries: Sequence[Operation],
    ) -> None:
        async with self._turn(namespace):
            old = self._loaded.get(namespace) or _Loaded(self._plain_rules(namespace), 0, 0)
            rules = change(old.rules.rules)
            new = RuleSet(namespace, rules)
            check_open(old.rules, new, actor)
            before = {rule.id: rule for rule in old.rules.rules} if old.head else {}
            after = {rule.id: rule for rule in rules}
            head = Put(RULES, HEAD, encode(_Head(old.changes + 1)), expect=old.head or Presence.ABSENT)
            operations: list[Operation] = [head, *entries]
            operations += [Put(RULES, key, encode(rule)) for key, rule in after.items() if before.get(key) != rule]
            operations += [Delete(RULES, key) for key in before if key not in after]
            if not old.head:
                await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Put(CHANGED, namespace, b""),)))
            try:
                done = await self._engine.commit(Batch(namespace, tuple(operations)))
            except errors.OutcomeUnknown:
                await self._load(namespace)
                raise
            self._loaded[namespace] = _Loaded(new, done.revision, old.changes + 1)
        await self._spread(namespace)

    async def _load(self, namespace: str) -> None:
        rules: list[Rule] = []
        head, changes = 0, 0
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(namespace, RULES, after=after, limit=1_000)
            for record in page.records:
                if record.key == HEAD:
                    head, changes = record.revision, decode(record.value, _Head).changes
                else:
                    rules.append(decode(record.value, Rule))
            after = page.cursor
        if head:
            self._loaded[namespace] = _Loaded(RuleSet(namespace, rules), head, changes)

    def _plain_rules(self, namespace: str) -> RuleSet:
        rules = self._plain.get(namespace)
        if rules is None:
            rules = self._plain[namespace] = RuleSet(namespace, (FIRST,))
            if len(self._plain) > MOST_NAMESPACES:
                self._plain.popitem(last=False)
        return rules

    def _turn(self, namespace: str) -> asyncio.Lock:
        turn = self._turns.get(namespace)
        if turn is None:
            if len(self._turns) > MOST_NAMESPACES:
                self._turns = {name: lock for name, lock in self._turns.items() if lock.locked()}
            turn = self._turns[namespace] = asyncio.Lock()
        return turn
