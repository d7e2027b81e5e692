"""Times as people type them."""

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
