"""Times as people type and read them, on the clock of this machine."""

from __future__ import annotations

import time

import click


def read_moment(text: str, option: str) -> float:
    """Seconds since the Unix epoch: so long ago (`10m`, `2h`), or at that time (`2026-01-31T12:00`, here).

    Raises:
        click.BadParameter: it is neither.
    """
    from datetime import datetime

    from microlite.core.durations import parse_duration

    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: write how long ago (10m, 2h) or when (2026-01-31T12:00)", param_hint=option
        ) from None


def read_time(text: str, option: str) -> float:
    """Seconds since the Unix epoch of a date and time: `2026-12-24T18:00`, here or with an offset.

    Raises:
        click.BadParameter: it is none.
    """
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write 2026-12-24T18:00, or 2026-12-24T18:00+01:00", param_hint=option
        ) from None


def write_time(at: float) -> str:
    """Date and time of day: `2026-12-24 18:00:00`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def read_seconds(text: str, option: str) -> float:
    """Seconds of a length of time: `90s`, `10m`, `1h30m`.

    Raises:
        click.BadParameter: it is none.
    """
    from microlite.core.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
