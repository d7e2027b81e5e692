"""`microlite schedules`, against a platform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.cli.entry import run
from microlite.core.clock import SystemClock
from microlite.testing import blocking_platform

Said = tuple[int, str, str]
Microlite = Callable[..., Said]


@pytest.fixture(scope="module")
def platform() -> Iterator[Any]:
    service = Service("orders")

    @service.every("10m")
    async def expire(ctx: Context) -> None:
        """Expire what is old."""

    @service.every(cron="0 6 * * *", zone="Europe/Berlin", name="report")
    async def report(ctx: Context) -> None:
        raise errors.Conflict("the ledger is closed\x1b[31m")

    @service.endpoint
    async def mail(to: str) -> str:
        return to

    with blocking_platform(clock=SystemClock()) as platform:
        platform.serve(service)
        yield platform


@pytest.fixture
def microlite(platform: Any, capfd: pytest.CaptureFixture[str]) -> Microlite:
    def call(*words: str) -> Said:
        code = run(["--home", str(platform.home), "schedules", *words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_a_list_says_when_and_what(microlite: Microlite) -> None:
    code, out, _ = microlite("list")
    head, first, second = out.splitlines()[:3]
    assert code == 0
    assert head.split() == ["NAME", "CALLS", "WHEN", "NEXT", "LAST", "STATE"]
    assert first.startswith("orders.expire  orders.expire  every 10m ")
    assert "in 9m" in first or "in 10m" in first
    assert "0 6 * * * Europe/Berlin" in second
    assert second.endswith("ready")
    assert [one["name"] for one in json.loads(microlite("list", "orders.", "-o", "json")[1])] == [
        "orders.expire",
        "orders.report",
    ]


def test_a_schedule_is_added_paused_resumed_and_removed(microlite: Microlite) -> None:
    """What changes something prints nothing."""
    for words in (
        ("add", "sweep", "orders.mail", '{"to": "ann"}', "--every", "1h", "--retries", "2"),
        ("pause", "sweep"),
    ):
        assert microlite(*words) == (0, "", "")
    (found,) = json.loads(microlite("list", "sweep", "-o", "json")[1])
    assert (found["request"], found["every"], found["paused"], found["retries"]) == ({"to": "ann"}, 3600, True, 2)
    assert "paused" in microlite("list", "sweep")[1]
    assert microlite("add", "sweep", "orders.mail", "--every", "1h")[0] == 127
    assert microlite("add", "sweep", "orders.mail", "--every", "2h", "--replace") == (0, "", "")
    assert microlite("resume", "sweep") == (0, "", "")
    assert microlite("remove", "sweep") == (0, "", "")
    assert microlite("list", "sweep") == (0, "", "")


def test_a_single_call_is_made_and_told(microlite: Microlite) -> None:
    assert microlite("add", "later", "orders.mail", '{"to": "bob"}', "--in", "2h") == (0, "", "")
    assert microlite("add", "date", "orders.mail", '{"to": "bob"}', "--at", "2030-12-24T18:00+01:00") == (0, "", "")
    (found,) = json.loads(microlite("list", "date", "-o", "json")[1])
    assert found["next"] == 1924362000
    assert microlite("remove", "date") == (0, "", "")
    assert microlite("run", "later") == (0, "", "")
    code, out, _ = microlite("history")
    assert code == 0
    assert out.splitlines()[0].split() == ["NAME", "DUE", "OUTCOME", "TOOK", "TRY", "BY", "ERROR"]
    assert "later" in out
    assert " done " in out


def test_a_run_that_fails_says_why(microlite: Microlite) -> None:
    code, out, err = microlite("run", "orders.report")
    assert (code, out) == (1, "")
    assert err.startswith("orders.report failed: the ledger is closed")
    code, out, _ = microlite("history", "orders.report", "-n", "1")
    assert "\x1b" not in out
    assert "the ledger is closed" in out
    (run_,) = json.loads(microlite("history", "orders.report", "-n", "1", "-o", "json")[1])
    assert run_["by"] == "admin"
    assert abs(run_["due"] - time.time()) < 60


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("add", "x", "orders.mail"), 2, "exactly one of --every, --cron, --in and --at"),
        (("add", "x", "orders.mail", "--every", "soon"), 2, "is no duration"),
        (("add", "x", "orders.mail", "--at", "noon"), 2, "is no time"),
        (("add", "x", "orders.mail", "[1]", "--every", "1m"), 2, "a JSON object"),
        (("add", "x", "orders.mial", "--every", "1m"), 5, 'did you mean "mail"'),
        (("add", "x", "orders.mail", "--cron", "0 25 * * *"), 127, "is no hour"),
        (("remove", "orders.expire"), 127, "declared in the code of orders"),
        (("pause", "nothing"), 127, "no schedule 'nothing'"),
        (("ruin", "nothing"), 1, "Unrecognized subcommand for microlite schedules: ruin"),
    ],
)
def test_what_cannot_be_is_one_line(microlite: Microlite, words: tuple[str, ...], code: int, says: str) -> None:
    ended, out, err = microlite(*words)
    assert (ended, out) == (code, "")
    assert says in err
