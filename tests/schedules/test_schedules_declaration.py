"""What `@service.every` takes and refuses, where it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite import Context, Service
from microlite.core.description import DeclarationError
from microlite.core.description.timing import check_cron, timing
from microlite.core.errors import BadRequest
from microlite.core.schedules.times import Times

CRONS = (
    "* * * * *",
    "*/5 0-6 1,15 JAN-JUN mon-fri",
    "0 6 L * *",
    "0 6 LW * *",
    "0 6 * * 5L",
    "0 6 * * MON#2",
    "59 23 31 12 7",
    "0/20 * * * *",
)
NO_CRONS = (
    "",
    "* * * *",
    "* * * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * * 13 *",
    "* * * * 8",
    "5-1 * * * *",
    "*/0 * * * *",
    "a * * * *",
    "* * * * MON#6",
    "*, * * * *",
)


@pytest.mark.parametrize("cron", CRONS)
def test_what_a_node_accepts_the_platform_can_compute(cron: str) -> None:
    check_cron(cron)
    assert Times(cron=cron).after(1e9) > 1e9


@pytest.mark.parametrize("cron", NO_CRONS)
def test_what_is_no_cron_is_refused_where_it_is_written(cron: str) -> None:
    with pytest.raises(BadRequest):
        timing(cron=cron or "?")
    with pytest.raises(BadRequest):
        check_cron(cron)


async def plain(ctx: Context, limit: int = 3) -> None: ...


async def demanding(ctx: Context, customer: str) -> None: ...


async def streaming(ctx: Context) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "by an interval"),
        ({"interval": "10m", "cron": "* * * * *"}, "not by both"),
        ({"interval": "10 minutes"}, "is no duration"),
        ({"interval": "100ms"}, "between 1 seconds and ten years"),
        ({"interval": "10m", "zone": "Europe/Berlin"}, "an interval has no time zone"),
        ({"cron": "* * * * *", "zone": "Berlin!"}, "is no time zone"),
        ({"interval": "10m", "missed": "never"}, "none of skip, once, all"),
        ({"interval": "10m", "overlap": "maybe"}, "none of skip, queue, allow"),
        ({"interval": "10m", "retries": -1}, "not between 0 and 100"),
        ({"interval": "10m", "function": demanding}, "give `customer` a default"),
        ({"interval": "10m", "function": streaming}, "makes plain calls"),
    ],
)
def test_a_declaration_that_cannot_be_says_where_and_what_to_write(options: dict[str, Any], says: str) -> None:
    service = Service("shop")
    function = options.pop("function", plain)
    interval = options.pop("interval", None)
    with pytest.raises(DeclarationError, match=says) as caught:
        service.every(*([] if interval is None else [interval]), **options)(function)
    assert "test_schedules_declaration.py" in str(caught.value)


def test_a_bare_decorator_is_told_what_is_missing() -> None:
    service: Any = Service("shop")
    with pytest.raises(DeclarationError, match="when: write"):
        service.every(plain)(plain)


def test_an_interval_may_be_a_text_or_seconds() -> None:
    service = Service("shop")
    service.every("1h30m")(plain)
    service.every(5400, name="other")(plain)
    triggers = [endpoint.triggers for endpoint in service.describe().endpoints]
    assert triggers[0] == triggers[1]
