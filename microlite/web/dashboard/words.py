"""Times, sizes and states as people read them: the filters of the templates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core.description.structs import Consume, Subscribe
from microlite.core.durations import write_duration
from microlite.core.runtime.states import State, word

if TYPE_CHECKING:
    from microlite.core.description.structs import Trigger

MOST_SHOWN: Final = 300
"""Characters of a value that stands on one line."""

_TONES: Final = {
    State.RUNNING: "good",
    State.DEBUGGING: "notice",
    State.PENDING: "busy",
    State.BUILDING: "busy",
    State.STARTING: "busy",
    State.DRAINING: "busy",
    State.BACKOFF: "bad",
    State.ERROR: "bad",
    State.STOPPED: "quiet",
}
"""The colour in which each state is shown; its word always stands beside it."""


def tone(state: State) -> str:
    """The class of a state's colour."""
    return _TONES[state]


def duration(seconds: float) -> str:
    """`450 ms`, `12 s`, `3 min`, `5 h`, `2 d`: the largest unit that fits, rounded down."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def moment(seconds: float) -> str:
    """A time for machines (`<time datetime=…>`), in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock_time(seconds: float) -> str:
    """A time of day with milliseconds, in the zone of the platform, which is that of whoever reads its logs."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S.%f")[:-3]


def local_time(seconds: float) -> str:
    """Date and time of day, in the zone of the platform."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def file_size(count: int) -> str:
    """`512 B`, `3.4 kB`, `12 MB`."""
    if count < 1000:
        return f"{count} B"
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            number = count / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    raise AssertionError("unreachable: the last unit fits")


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def trigger_words(trigger: Trigger) -> str:
    """What calls an endpoint by itself: `consumes orders.created`, `every 10m`."""
    if isinstance(trigger, Consume):
        return f"consumes {trigger.topic}"
    if isinstance(trigger, Subscribe):
        return f"subscribed to {trigger.topic}"
    return f"at {trigger.cron} {trigger.zone}" if trigger.cron else f"every {write_duration(trigger.every)}"


def short(value: Any) -> str:
    """A value as JSON on one line, cut where it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


FILTERS: Final = {
    "short": short,
    "tone": tone,
    "word": word,
    "duration": duration,
    "moment": moment,
    "clock_time": clock_time,
    "local_time": local_time,
    "length_of_time": write_duration,
    "file_size": file_size,
    "count": count,
    "trigger_words": trigger_words,
}
