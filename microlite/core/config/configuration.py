"""The logic of the built-in service `config`: reads, changes, their history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.config.api import HIDDEN, Explained, Layer, Misfit, Set, Setting, Written
from microlite.core.config.declarations import misfit
from microlite.core.config.history import History, State, read_state
from microlite.core.config.layers import Leaf, show
from microlite.core.config.paths import ancestors, canonical, lies_within
from microlite.core.config.planning import Draft
from microlite.core.config.records import (
    HEAD,
    LEAVES,
    Kept,
    decode_kept,
)
from microlite.core.config.tree import nest, overlay, within
from microlite.core.engine.api import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.config.api import Change
    from microlite.core.config.declarations import Declarations
    from microlite.core.config.keys import Keys
    from microlite.core.config.layers import Layers
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Operation

    Shown: TypeAlias = Callable[[str], bool]
    """Whether the leaf at a path is shown."""

    Permit: TypeAlias = Callable[[str], object]
    """Raises where the leaf at a path may not be changed."""

TRIES: Final = 8
"""How often a change is made ready anew because another one came first."""

_PAGE: Final = 500


class Configuration:
    """The configurations of all namespaces.

    Args:
        engine: keeps them.
        keys: encrypt the secrets.
        clock: stamps the changes.
        layers: what lies below that which was set.
        declarations: what services expect of it.
        audit: writes down who changes it.

    Attributes:
        history: what has changed so far.
    """

    def __init__(
        self, engine: Engine, keys: Keys, clock: Clock, layers: Layers, declarations: Declarations, audit: Audit
    ) -> None:
        self.engine = engine
        self.keys = keys
        self.layers = layers
        self.declarations = declarations
        self.history = History(engine, keys)
        self._audit = audit
        self._clock = clock
        self._turn = asyncio.Lock()

    # -- changes -------------------------------------------------------------------------------------------------------

    async def plan(self, origin: Origin, change: Change) -> tuple[Operation, ...]:
        """The operations of one change; none if everything is so already. See `plan_all`."""
        return await self.plan_all(origin, (change,))

    async def plan_all(
        self,
        origin: Origin,
        changes: Sequence[Change],
        action: str = "transaction",
        *,
        permit: Permit | None = None,
    ) -> tuple[Operation, ...]:
        """The operations of several changes, one on top of the other, as one entry of the history.

        They expect the configuration to be as it is now, all of it: of two plans that are committed, the second is refused
        with `errors.Conflict`, and has to be made anew.

        Args:
            origin: who makes them.
            changes: what shall be.
            action: what the history calls it.
            permit: is asked about the path of each leaf that would become different, and raises where it may not.

        Raises:
            BadRequest: a path is malformed, or a value fits not what a service declares.
            NotFound: nothing is set where something should be unset.
            PayloadTooLarge, InsufficientStorage: a limit is reached.
        """
        return (await self._draft(origin, changes, action, permit)).operations()

    async def change(
        self, origin: Origin, changes: Sequence[Change], action: str, *, permit: Permit | None = None
    ) -> Written:
        """Carry out changes as one; see `plan_all`.

        Raises:
            Conflict: others change the configuration so often that this one found no gap.
        """
        return await self._commit(origin.namespace, lambda: self._draft(origin, changes, action, permit))

    async def rollback(self, origin: Origin, revision: int, path: str = "", *, permit: Permit | None = None) -> Written:
        """Make the configuration what it was after a change, by a change of its own.

        Args:
            origin: who does.
            revision: that of the change; 0 for before the first one.
            path: only what lies there.
            permit: see `plan_all`.

        Raises:
            NotFound: the revision is not known, or no longer.
        """
        top = canonical(path)

        async def draft() -> Draft:
            state = await self.state(origin.namespace)
            wanted: dict[str, Kept | None] = {}
            async for past in self.history.since(origin.namespace, revision, state.head.revision):
                for step in past.steps:
                    if lies_within(step.path, top):
                        wanted[step.path] = step.old  # the earliest change comes last
            made = self._new_draft(origin, state, await self._load(origin.namespace, wanted), f"rollback to {revision}")
            for one, kept in wanted.items():
                if kept is None:
                    made.remove(one)
            for one, kept in wanted.items():
                if kept is not None:
                    made.put_back(one, kept)
            return _permitted(made, permit)

        return await self._commit(origin.namespace, draft)

    async def _draft(self, origin: Origin, changes: Sequence[Change], action: str, permit: Permit | None) -> Draft:
        namespace = origin.namespace
        state = await self.state(namespace)
        tops = [canonical(change.path) for change in changes]
        made = self._new_draft(origin, state, await self._load(namespace, tops), action)
        for change, top in zip(changes, tops, strict=True):
            if isinstance(change, Set):
                made.merge(top, change.value, secret=change.secret)
            elif not made.remove_all(top):
                raise errors.NotFound(self._not_set(namespace, top))
        return _permitted(made, permit)

    def _new_draft(self, origin: Origin, state: State, kept: dict[str, Kept], action: str) -> Draft:
        return Draft(
            origin,
            state.head,
            state.expect,
            kept,
            action,
            self._clock.now(),
            self.keys,
            self.declarations,
            self._audit,
        )

    async def _commit(self, namespace: str, draft: Callable[[], Any]) -> Written:
        async with self._turn:
            for attempt in range(TRIES):
                made: Draft = await draft()
                operations = made.operations()
                if operations:
                    try:
                        await self.engine.commit(Batch(namespace, operations))
                    except errors.Conflict:
                        if attempt + 1 < TRIES:
                            continue
                        raise errors.Conflict(
                            "the configuration was changed by others meanwhile, again and again; try once more"
                        ) from None
                return Written(revision=made.revision, changed=len(made.steps()))
        raise AssertionError("the loop returns or raises")

    def _not_set(self, namespace: str, top: str) -> str:
        below = within(self.layers.base(namespace), top)
        name = top or "the whole configuration"
        if below:
            leaf = next(iter(below.values())).setting
            return f"nothing is set at {name}: what it has comes from {leaf.layer} {leaf.source}, and is changed there"
        return f"nothing is set at {name}"

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def read(self, namespace: str, path: str, *, reveal: bool, shown: Shown | None = None) -> Any:
        """The value in force at a path: a leaf, or the table of what lies below it.

        Args:
            namespace: whose configuration.
            path: where.
            reveal: whether secrets are shown.
            shown: says of the path of each leaf whether it is shown; without it all are.

        Raises:
            NotFound: there is none.
            Unprocessable: a secret that was asked for cannot be decrypted.
        """
        top = canonical(path)
        leaves = {
            one: leaf for one, leaf in (await self.effective(namespace, top)).items() if shown is None or shown(one)
        }
        if not leaves:
            if not top:
                return {}
            raise errors.NotFound(f"nothing is set at {top}")
        values: dict[str, Any] = {}
        for one, leaf in leaves.items():
            setting = show(self.keys, namespace, leaf, reveal=reveal)
            if setting.problem:
                raise errors.Unprocessable(setting.problem)
            values[one] = setting.value
        return nest(values, top)

    async def explain(self, namespace: str, path: str, *, reveal: bool) -> list[Explained]:
        """The leaves in force at or below a path, and for each what it hides."""
        top = canonical(path)
        stored = await self.stored(namespace, top)
        stack = [stored, *self.layers.stack(namespace)]
        in_force = self._merged(namespace, top, stored)
        explained = []
        for one in sorted(in_force):
            leaf = in_force[one]
            passed = False
            hidden: list[Leaf] = []
            for layer in stack:
                if layer.get(one) is leaf:
                    passed = True
                elif passed:
                    hidden += _in_the_way(layer, one)
            secret = leaf.setting.secret or any(below.setting.secret for below in hidden)
            leaves = [below._replace(setting=msgspec.structs.replace(below.setting, secret=secret)) for below in hidden]
            explained.append(
                Explained(
                    setting=show(self.keys, namespace, leaf, reveal=reveal),
                    hides=tuple(show(self.keys, namespace, below, reveal=reveal) for below in leaves),
                )
            )
        return explained

    async def effective(self, namespace: str, top: str = "") -> dict[str, Leaf]:
        """The leaves in force at or below a canonical path."""
        return self._merged(namespace, top, await self.stored(namespace, top))

    def _merged(self, namespace: str, top: str, stored: dict[str, Leaf]) -> dict[str, Leaf]:
        around = {top, *ancestors(top)} if top else set()
        base = {
            path: leaf for path, leaf in self.layers.base(namespace).items() if path in around or lies_within(path, top)
        }
        return within(overlay(base, stored, is_empty), top)

    async def stored(self, namespace: str, top: str = "") -> dict[str, Leaf]:
        """What was set at, above or below a canonical path."""
        kept = await self._load(namespace, [top])
        return {path: stored_leaf(path, one) for path, one in kept.items()}

    async def stored_below(self, namespace: str, path: str) -> dict[str, Leaf]:
        """What was set at or below a path."""
        top = canonical(path)
        return within(await self.stored(namespace, top), top)

    async def state(self, namespace: str) -> State:
        """Head and its record's revision."""
        return await read_state(self.engine, namespace)

    async def check(self, namespace: str) -> list[Misfit]:
        """What in the configuration does not work: values that fit no declaration, files, secrets without a key."""
        found = list(self.layers.problems(namespace))
        declared = self.declarations.of(namespace)
        for path, leaf in sorted((await self.effective(namespace)).items()):
            setting = show(self.keys, namespace, leaf, reveal=True)
            if setting.problem:
                found.append(Misfit(path=path, problem=setting.problem, layer=setting.layer, source=setting.source))
                continue
            for one in declared:
                if setting.layer is Layer.DEFAULT:
                    continue
                if wrong := misfit(one.declaration, path, setting.value):
                    found.append(
                        Misfit(
                            path=path,
                            problem=f"{path}{wrong}",
                            layer=setting.layer,
                            source=setting.source,
                            service=one.service,
                        )
                    )
        return found

    async def _load(self, namespace: str, tops: Iterable[str]) -> dict[str, Kept]:
        """What was set at, above and below some canonical paths."""
        kept: dict[str, Kept] = {}
        tops = list(tops)
        if "" in tops:
            tops = [""]
        exact = sorted({path for top in tops if top for path in (top, *ancestors(top))})
        for start in range(0, len(exact), _PAGE):
            for record in await self.engine.get_many(namespace, LEAVES, exact[start : start + _PAGE]):
                if record is not None:
                    kept[record.key] = decode_kept(record.value)
        for top in tops:
            after = ""
            while True:
                prefix = f"{top}." if top else ""
                page = await self.engine.scan(namespace, LEAVES, prefix=prefix, after=after, limit=_PAGE)
                for record in page.records:
                    if record.key != HEAD:
                        kept[record.key] = decode_kept(record.value)
                if page.cursor is None:
                    break
                after = page.cursor
        return kept


def _permitted(made: Draft, permit: Permit | None) -> Draft:
    """The draft, if all that it makes different may be."""
    if permit is not None:
        for step in made.steps():
            permit(step.path)
    return made


def stored_leaf(path: str, kept: Kept) -> Leaf:
    """A leaf that was set."""
    secret = kept.sealed is not None
    return Leaf(
        Setting(
            path=path,
            value=HIDDEN if secret else kept.value,
            secret=secret,
            layer=Layer.STORE,
            revision=kept.revision,
            author=kept.author,
            at=kept.at,
        ),
        kept.sealed,
    )


def is_empty(leaf: Leaf) -> bool:
    """Whether a leaf stands for the empty table."""
    return leaf.sealed is None and isinstance(leaf.setting.value, dict) and not leaf.setting.value


def _in_the_way(layer: dict[str, Leaf], path: str) -> list[Leaf]:
    """The leaves of a lower layer that a leaf of an upper one hides."""
    exact = [layer[one] for one in (path, *ancestors(path)) if one in layer]
    return exact or [leaf for one, leaf in sorted(layer.items()) if lies_within(one, path)]
