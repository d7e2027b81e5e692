"""When a schedule is due: pure functions over seconds since the Unix epoch."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

BACKWARDS: Final = 3 * 3600.0
"""Seconds: a clock that was set back further than this was wrong before, and due times of that future do not count."""

_FIRST_WINDOW: Final = 3600.0
_LAST_TIME: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


class Times:
    """The due times of one schedule, each later than the one before, without an end or with one.

    Args:
        every: seconds between two; 0 where `cron` or `at` say when.
        cron: five fields. Times that a change to summer time leaves out are due as soon as it has happened, those that a
            change to winter time repeats are due once, unless minute or hour begin with `*`: then they follow real time.
        zone: the time zone of `cron`.
        at: the only one.

    Raises:
        BadRequest: the expression or the zone is none, or no date fits the expression.
    """

    __slots__ = ("_at", "_cron", "_every", "_zone")

    def __init__(self, *, every: float = 0.0, cron: str = "", zone: str = "UTC", at: float = 0.0) -> None:
        self._every = every
        self._cron = cron
        self._zone = _zone(zone)
        self._at = at
        if cron:
            try:
                CronSim(cron, datetime.fromtimestamp(0, self._zone))
            except CronSimError as error:
                raise BadRequest(f"cron: {cron!r} cannot be: {error}") from None

    def after(self, moment: float, anchor: float | None = None) -> float:
        """The first due time after a moment; 0 when there is none.

        Args:
            moment: seconds since the Unix epoch.
            anchor: a due time of an interval: all others are whole intervals away. Without it the moment is one.
        """
        if self._at:
            return self._at if self._at > moment else 0.0
        if self._every:
            start = moment if anchor is None else anchor
            steps = math.floor((moment - start) / self._every) + 1
            found = start + steps * self._every
            return found if found > moment else found + self._every  # where the sum of floats fell on the moment
        return next(self._cron_after(moment), 0.0)

    def between(self, first: float, until: float, most: int) -> tuple[tuple[float, ...], int]:
        """The due times from `first`, which is one, up to `until`: the latest `most` of them, and how many there are.

        Where they are far more than `most`, the number of a cron expression's is `most + 1`: what counts is that they are
        more.
        """
        if first > until:
            return (), 0
        if self._at:
            return (first,), 1
        if self._every:
            count = math.floor((until - first) / self._every) + 1
            start = max(0, count - most)
            return tuple(first + step * self._every for step in range(start, count)), count
        window = _FIRST_WINDOW
        while True:
            begin = max(first - 0.001, until - window)
            found = [moment for moment in self._cron_from(begin, until) if moment >= first]
            if begin < first:
                if found[:1] != [first]:
                    found.insert(0, first)  # claimed under another zone's rules, or between two of them
                return tuple(found[-most:]), len(found)
            if len(found) > most:
                return tuple(found[-most:]), most + 1
            window *= 8

    def settle(self, due: float, now: float) -> float:
        """The due time that holds, where the clock may have been set back since it was computed."""
        if self._at or not due:
            return due
        if self._every:
            return due if due - now <= self._every else now + self._every
        following = self.after(now)
        return following if following and due - following > BACKWARDS else due

    def _cron_from(self, begin: float, until: float) -> Iterator[float]:
        for moment in self._cron_after(begin):
            if moment > until:
                return
            yield moment

    def _cron_after(self, moment: float) -> Iterator[float]:
        last = moment
        if not -_LAST_TIME < moment < _LAST_TIME:
            return
        for found in CronSim(self._cron, datetime.fromtimestamp(math.floor(moment), self._zone)):
            seconds = found.timestamp()
            if seconds > last:  # a time that a change of the clock has moved may fall on or before another
                last = seconds
                yield seconds
            if found.year >= 9000:
                return


@functools.lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        from zoneinfo import available_timezones

        from microlite.core.description.naming import did_you_mean

        near = did_you_mean(name, available_timezones())
        raise BadRequest(f"zone: {name!r} is no time zone that this machine knows{near}") from None
