"""Reads the entries of a topic ahead, into the window of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.events.envelope import decode_envelope
from microlite.core.events.records import stream_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.engine.api import Engine, Entry
    from microlite.core.events.group import Group
    from microlite.core.events.kept import Kept

READ_AHEAD: Final = 100
"""Entries that are read at once."""


class Reader:
    """Fills a group. One task uses it.

    Args:
        engine: has the entries.
        namespace: of the topic.
        topic: whose entries.
        name: of the group.
        group: takes them in.
        kept: what is known of them from before.
    """

    def __init__(self, engine: Engine, namespace: str, topic: str, name: str, group: Group, kept: Kept) -> None:
        self._engine = engine
        self._namespace = namespace
        self._stream = stream_of(topic)
        self._name = name
        self._group = group
        self._kept = kept
        self._busy = False

    def take_in(self, before: int, entries: Sequence[Entry]) -> bool:
        """Take entries that are at hand, if they follow what was read. Returns whether they were taken.

        Args:
            before: the last position before them.
            entries: in their order.
        """
        group = self._group
        if self._busy or group.missing or group.read_to != before or group.room < len(entries):
            return False  # they will be read
        for entry in entries:
            self._add(entry)
        return True

    async def fill(self) -> bool:
        """Read some entries, if there is room. Returns whether there was one."""
        self._busy = True
        try:
            return await self._fill()
        finally:
            self._busy = False

    async def _fill(self) -> bool:
        group = self._group
        if not (room := group.room):
            return False
        if missing := group.missing:
            await self._read_missing(missing[0])
            return True
        after = group.read_to
        page = await self._engine.read(self._namespace, self._stream, after=after, limit=min(room, READ_AHEAD))
        for entry in page.entries:
            self._add(entry)
        if page.entries:
            return True
        state = await self._engine.stream_state(self._namespace, self._stream)
        if state.first > after + 1 and state.last > after:
            group.skip(min(state.first - 1, state.last))  # all of it was trimmed
            return True
        return False

    async def _read_missing(self, position: int) -> None:
        page = await self._engine.read(self._namespace, self._stream, after=position - 1, limit=1)
        if page.entries and page.entries[0].position == position:
            self._add(page.entries[0])
        else:
            self._group.skip(position)  # trimmed meanwhile

    def _add(self, entry: Entry) -> None:
        position = entry.position
        envelope = decode_envelope(entry.value)
        if self._kept.is_acked(position) or (envelope.only and envelope.only != self._name):
            self._group.skip(position)
        else:
            self._kept.published[position] = entry.at
            self._group.add(position, envelope.key, entry.value, self._kept.failures_of(position))
