"""What a configuration is after any changes, against nested dicts."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core.audit.audit import Audit
from microlite.core.clock import ManualClock
from microlite.core.config.api import Set, Unset
from microlite.core.config.configuration import Configuration
from microlite.core.config.declarations import Declarations
from microlite.core.config.keys import Keys
from microlite.core.config.layers import Layers
from microlite.core.config.paths import format_path, words_of
from microlite.core.context import Origin
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.errors import NotFound
from microlite.core.registry.registry import Registry
from tests.config.test_config_tree import leaves, merged, tables, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ORIGIN = Origin("default", "", "ann")
MISSING = object()

sets = st.builds(
    lambda path, value, secret: Set(path=format_path(path), value=value, secret=secret),
    st.lists(words, min_size=1, max_size=3),
    leaves | tables,
    st.booleans(),
)
unsets = st.builds(lambda path: Unset(path=format_path(path)), st.lists(words, min_size=1, max_size=2))
changes = st.lists(sets | unsets, min_size=1, max_size=6)


def after(tree: dict[str, Any], change: Set | Unset) -> dict[str, Any]:
    """The model: the whole tree after a change; tables that lose their last leaf by an unset go too."""
    tree = copy.deepcopy(tree)
    path = words_of(change.path)
    if isinstance(change, Set):
        new = copy.deepcopy(change.value)
        for word in reversed(path):
            new = {word: new}
        return merged(tree, new)  # type: ignore[no-any-return]  # two tables make one
    tables_on_the_way: list[dict[str, Any]] = [tree]
    for word in path[:-1]:
        inner = tables_on_the_way[-1].get(word)
        if not isinstance(inner, dict):
            return tree
        tables_on_the_way.append(inner)
    tables_on_the_way[-1].pop(path[-1], None)
    for table, word in zip(reversed(tables_on_the_way[:-1]), reversed(path[:-1]), strict=True):
        if not table[word]:
            del table[word]
    return tree


async def opened(home: Path) -> AsyncIterator[Configuration]:
    """A configuration over a file of its own."""
    clock = ManualClock()
    async with SQLiteEngine(home / "microlite.db", clock) as engine:
        declarations = Declarations(Registry(clock))
        yield Configuration(engine, Keys(home), clock, Layers(declarations), declarations, Audit(engine))


@settings(max_examples=40, deadline=None)
@given(changes)
def test_changes_do_what_nested_tables_would_and_can_be_rolled_back(steps: list[Set | Unset]) -> None:
    """Each state is the model's, secrets included, and every earlier one comes back by its revision."""

    async def scenario(home: Path) -> None:
        async for configuration in opened(home):
            tree: dict[str, Any] = {}
            states = {0: tree}
            for step in steps:
                wanted = after(tree, step)
                try:
                    written = await configuration.change(ORIGIN, [step], "set")
                except NotFound:
                    assert isinstance(step, Unset)
                    assert wanted == tree
                    continue
                tree = wanted
                states[written.revision] = tree
                assert await configuration.read("default", "", reveal=True) == tree
                state = await configuration.state("default")
                assert state.head.leaves == len(await configuration.stored("default"))
            for revision, state_then in states.items():
                await configuration.rollback(ORIGIN, revision)
                assert await configuration.read("default", "", reveal=True) == state_then

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@settings(max_examples=25, deadline=None)
@given(changes)
def test_several_changes_in_one_plan_are_as_one_after_the_other(steps: list[Set | Unset]) -> None:
    """A transaction with sets that overlap comes to what they come to singly, as one entry of the history."""

    async def scenario(home: Path) -> None:
        async for configuration in opened(home):
            tree: dict[str, Any] = {}
            steps_that_hold = []
            for step in steps:
                wanted = after(tree, step)
                if isinstance(step, Set) or wanted != tree:
                    steps_that_hold.append(step)
                    tree = wanted
            if steps_that_hold:
                await configuration.change(ORIGIN, steps_that_hold, "set")
            assert await configuration.read("default", "", reveal=True) == tree
            assert len(await configuration.history.entries("default")) <= 1

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
