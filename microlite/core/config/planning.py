"""A change in the making: leaves before, leaves after, and the operations that lead from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.config.api import HIDDEN
from microlite.core.config.paths import ancestors, lies_within, words_of
from microlite.core.config.records import (
    HEAD,
    HISTORY,
    LEAVES,
    MAX_HISTORY,
    Head,
    Kept,
    Past,
    Step,
    encode,
    history_key,
)
from microlite.core.config.tree import flatten, is_empty_table, tables
from microlite.core.engine.api import MAX_VALUE_BYTES, Delete, Operation, Presence, Put

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.config.declarations import Declarations
    from microlite.core.config.keys import Keys
    from microlite.core.context import Origin

MAX_LEAVES: Final = 10_000
"""Leaves that a namespace has at most."""

MAX_BYTES: Final = 16 << 20
"""Bytes that they have together at most, encoded."""

MAX_STEPS: Final = 900
"""Leaves that one change may touch."""


class Draft:
    """Changes of one namespace, one on top of the other, before they are committed.

    Args:
        origin: who makes them.
        head: of the configuration that they are made from.
        expect: the revision of its record; none where there is no record.
        kept: what was set at, above and below every path that is going to change.
        action: what the history calls it.
        now: seconds since the Unix epoch.
        keys: encrypt the secrets.
        declarations: what services expect.
        audit: writes down who has made them, in the same commit.
    """

    def __init__(
        self,
        origin: Origin,
        head: Head,
        expect: int | None,
        kept: dict[str, Kept],
        action: str,
        now: float,
        keys: Keys,
        declarations: Declarations,
        audit: Audit,
    ) -> None:
        self._origin = origin
        self._head = head
        self._expect = expect
        self._before = kept
        self._after = dict(kept)
        self._tables = tables(kept)
        self._action = action
        self._now = now
        self._keys = keys
        self._declarations = declarations
        self._audit = audit

    @property
    def revision(self) -> int:
        """That of the configuration, when this is committed."""
        return self._head.revision + bool(self.steps())

    def merge(self, top: str, value: object, *, secret: bool = False) -> None:
        """Merge a value at a canonical path, leaf by leaf."""
        for path, leaf in flatten(value, words_of(top)).items():
            self._set(path, leaf, secret=secret)

    def remove_all(self, top: str) -> bool:
        """Take away what was set at or below a canonical path. Returns whether there was something."""
        gone = [path for path in self._after if lies_within(path, top)]
        for path in gone:
            del self._after[path]
        return bool(gone)

    def remove(self, path: str) -> None:
        """Take away one leaf, if it is there."""
        self._after.pop(path, None)

    def put_back(self, path: str, kept: Kept) -> None:
        """Set a leaf to what it was."""
        now = self._after.get(path)
        if now is not None and now.sealed == kept.sealed and encode(now.value) == encode(kept.value):
            return
        if kept.sealed is None:
            self._declarations.check(self._origin.namespace, path, kept.value)
        self._make_room(path)
        self._put(path, kept.value, kept.sealed)

    def steps(self) -> list[Step]:
        """What is different, leaf by leaf."""
        return [
            Step(path=path, old=self._before.get(path), new=self._after.get(path))
            for path in sorted({*self._before, *self._after})
            if self._before.get(path) is not self._after.get(path)
        ]

    def operations(self) -> tuple[Operation, ...]:
        """What to commit; nothing if nothing is different.

        Raises:
            PayloadTooLarge: it touches too many leaves for one change.
            InsufficientStorage: the namespace would have too many.
        """
        steps = self.steps()
        if not steps:
            return ()
        if len(steps) > MAX_STEPS:
            raise errors.PayloadTooLarge(
                f"one change touches at most {MAX_STEPS} leaves of the configuration, not {len(steps)}; make it in parts"
            )
        revision = self._head.revision + 1
        past = encode(
            Past(
                revision=revision,
                at=self._now,
                author=self._origin.account,
                service=self._origin.service,
                action=self._action,
                steps=tuple(steps),
            )
        )
        if len(past) > MAX_VALUE_BYTES:
            raise errors.PayloadTooLarge(
                f"one change has at most {MAX_VALUE_BYTES} bytes, old and new values together, not {len(past)}; "
                "make it in parts"
            )
        return (
            Put(LEAVES, HEAD, encode(self._new_head(steps)), expect=self._expect or Presence.ABSENT),
            *(
                Delete(LEAVES, step.path) if step.new is None else Put(LEAVES, step.path, encode(step.new))
                for step in steps
            ),
            Put(HISTORY, history_key(revision), past),
            *([Delete(HISTORY, history_key(revision - MAX_HISTORY))] if revision > MAX_HISTORY else []),
            self._entry(steps, revision),
        )

    def _entry(self, steps: list[Step], revision: int) -> Operation:
        """What the audit log says of it: which leaves, and no value of any."""
        paths = [step.path for step in steps]
        word = self._action.partition(" ")[0]
        if word == "transaction":
            word = "set" if any(step.new is not None for step in steps) else "unset"
        return self._audit.entry(
            self._origin,
            f"config.{word}",
            f"config:{paths[0] if len(paths) == 1 else ''}",
            paths=paths,
            leaves=len(paths),
            revision=revision,
            part_of="transaction" if self._action == "transaction" else "",
        )

    def _new_head(self, steps: list[Step]) -> Head:
        leaves, size = self._head.leaves, self._head.size
        for step in steps:
            if step.old is not None:
                leaves -= 1
                size -= len(encode(step.old))
            if step.new is not None:
                leaves += 1
                size += len(encode(step.new))
        if leaves > MAX_LEAVES and leaves > self._head.leaves:
            raise errors.InsufficientStorage(
                f"the configuration of a namespace has at most {MAX_LEAVES} leaves; keep records in the store"
            )
        if size > MAX_BYTES and size > self._head.size:
            raise errors.InsufficientStorage(
                f"the configuration of a namespace has at most {MAX_BYTES} bytes; keep large things in the store"
            )
        return Head(
            revision=self._head.revision + 1,
            leaves=leaves,
            size=size,
            key=self._keys.current(self._origin.namespace),
        )

    def _set(self, path: str, value: Any, *, secret: bool) -> None:
        namespace = self._origin.namespace
        old = self._after.get(path)
        if is_empty_table(value) and path in self._tables and any(lies_within(one, path) for one in self._after):
            return  # a table is there already
        if value == HIDDEN and old is not None and old.sealed is not None:
            return  # somebody sends back what was shown
        self._declarations.check(namespace, path, value)
        secret = self._make_room(path) or secret or self._declarations.is_secret(namespace, path)
        if old is not None and self._is(old, path, value, secret=secret):
            self._after[path] = old
            return
        if secret:
            self._put(path, None, self._keys.seal(namespace, path, value))
        else:
            self._put(path, value, None)

    def _put(self, path: str, value: Any, sealed: Any) -> None:
        self._after[path] = Kept(
            value=value,
            sealed=sealed,
            revision=self._head.revision + 1,
            author=self._origin.account,
            at=self._now,
        )
        self._tables.update(ancestors(path))

    def _make_room(self, path: str) -> bool:
        """Take away what stands at, above or below a leaf to come. Returns whether any of it was secret."""
        gone = [one for one in (path, *ancestors(path)) if one in self._after]
        if path in self._tables:
            gone += [one for one in self._after if one != path and lies_within(one, path)]
        removed = [self._after.pop(one) for one in gone]
        return any(kept.sealed is not None for kept in removed)

    def _is(self, old: Kept, path: str, value: object, *, secret: bool) -> bool:
        """Whether a leaf is what it shall be already."""
        if old.sealed is None:
            return not secret and encode(old.value) == encode(value)
        try:
            return encode(self._keys.open(self._origin.namespace, path, old.sealed)) == encode(value)
        except errors.Unprocessable:
            return False
