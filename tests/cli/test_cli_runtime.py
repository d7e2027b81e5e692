"""Commands that look at what runs and change it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import pytest

from microlite.cli.status import status_lines
from microlite.core.runtime.api import NodeStatus, ServiceStatus
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.lines import Stream
from microlite.core.runtime.states import State
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn, line, running


def test_nothing_is_printed_where_nothing_runs(microlite: Microlite, platform: StandIn) -> None:
    assert microlite("status") == (0, "", "")
    assert microlite("status", "--output", "json") == (0, "[]\n", "")


def test_status_shows_each_service_on_a_line(microlite: Microlite, platform: StandIn) -> None:
    now = time.time()
    platform.statuses = [
        ServiceStatus(
            name="greeter",
            version="1.0.0",
            source="/srv/greeter",
            state=State.RUNNING,
            nodes=(
                NodeStatus(id="greeter-1", generation=1, state=State.RUNNING, pid=7, healthy=now - 3700),
                NodeStatus(id="greeter-2", generation=2, state=State.STARTING, pid=8),
            ),
            restarts=3,
        ),
        ServiceStatus(name="orders", version="latest", state=State.DRAINING, error="it broke\nand more"),
    ]
    head, first, second = microlite("status").out.splitlines()
    assert head.split() == ["NAME", "VERSION", "SOURCE", "STATE", "NODES", "PID", "UPTIME", "RESTARTS", "ERROR"]
    assert first.split()[:6] == ["greeter", "1.0.0", "/srv/greeter", "running", "1/2", "7"]
    assert first.split()[6].startswith("1h1m4")
    assert first.split()[7:] == ["3", "n/a"]
    assert second.split() == ["orders", "latest", "n/a", "stopping", "0", "n/a", "n/a", "0", "it", "broke"]


def test_status_says_how_a_service_is_isolated(microlite: Microlite, platform: StandIn) -> None:
    platform.statuses = [
        ServiceStatus(name="orders", version="1.0.0", state=State.RUNNING, isolation=Isolation.BWRAP),
        ServiceStatus(name="stock", version="1.0.0", state=State.RUNNING),
    ]
    _, first, second = microlite("status").out.splitlines()
    assert "running, isolated (bwrap)" in first
    assert "isolated" not in second


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), ""),
        (("--isolate",), "auto"),
        (("--isolate-by", "uid"), "uid"),
        (("--isolate", "--isolate-by", "bwrap"), "bwrap"),
    ],
)
def test_run_asks_for_the_walls_that_are_named(
    microlite: Microlite, platform: StandIn, tmp_path: Path, words: tuple[str, ...], asked: str
) -> None:
    platform.outcome = [running("orders")]
    assert microlite("run", str(tmp_path), "--detach", "--name", "orders", "--command", "serve it", *words) == (
        0,
        "",
        "",
    )
    _, fields = platform.asked.pop()
    assert fields["request"].isolate == asked


def test_status_fits_into_a_terminal_of_80_columns() -> None:
    """Sources are cut at their beginning; what there is to say of a service stands below its line."""
    node = {"id": "x-1", "generation": 1, "state": "running", "pid": 12345, "healthy": 1.0}
    statuses: list[dict[str, Any]] = [
        {
            "name": "greeter",
            "version": "1.0.0",
            "source": "/srv/projects/of/mine/greeter",
            "state": "running",
            "nodes": [{**node, "debugger": "127.0.0.1:5678"}],
            "error": "main.py, line 3: '(' was never closed",
        },
        {"name": "till", "version": "latest", "state": "pending", "waiting_for": ["orders", "stock"]},
    ]
    assert status_lines(statuses, 3701.0)[1:] == [
        "greeter  1.0.0    /srv/projects/of/mine/greeter  running, debugger at 127.0.0.1:5678  1      12345  1h1m40s  0"
        "         main.py, line 3: '(' was never closed",
        "till     latest   n/a                            waiting for orders, stock            0      n/a    n/a      0"
        "         n/a",
    ]
    narrow = status_lines(statuses, 3701.0, 80)
    assert max(len(click.unstyle(text)) for text in narrow) <= 80
    assert narrow[1:] == [
        "greeter  1.0.0    …cts/of/mine/greeter  running  1      12345  1h1m40s  0",
        "  debugger at 127.0.0.1:5678",
        "  main.py, line 3: '(' was never closed",
        "till     latest   n/a                   waiting  0      n/a    n/a      0",
        "  waiting for orders, stock",
    ]


def test_status_of_one_service_or_version(microlite: Microlite, platform: StandIn) -> None:
    platform.statuses = [running("greeter", version="1"), running("greeter", version="2"), running("orders")]
    assert len(microlite("status", "greeter").out.splitlines()) == 3
    for words in (("greeter@2",), ("greeter", "2")):
        found = json.loads(microlite("-o", "json", "status", *words).out)
        assert [(one["name"], one["version"]) for one in found] == [("greeter", "2")]
    assert microlite("status", "nobody") == (4, "", 'Service "nobody" not found\n')


def test_services_are_listed_by_name(microlite: Microlite, platform: StandIn) -> None:
    assert microlite("services") == (0, "greeter\norders\n", "")
    assert [one["name"] for one in json.loads(microlite("services", "-o", "json").out)] == ["greeter", "orders"]


def test_describe_shows_endpoints_fields_and_nodes(microlite: Microlite, platform: StandIn) -> None:
    said = microlite("describe", "greeter")
    assert said.code == 0
    for text in (
        "service greeter\nversion 1.0.0\n",
        "metadata team=shop",
        "greeter-1  /run/x.s  zone=a",
        'Endpoint: hello\nSay hello.\nRequest: {\n        name string  # default "world"; whom to greet.\n',
        "Response: string",
        "Endpoint: count (answers with a stream, deprecated)",
        "Endpoint: total (takes a stream)\nAdd up.\nRequest: {}\nMessages: int\nResponse: int",
    ):
        assert text in said.out
    said = microlite("describe", "orders")
    assert "        items list {  # required\n                sku string  # required\n" in said.out
    assert "                address {\n                        street string\n" in said.out


def test_describe_as_json_has_the_schemas(microlite: Microlite, platform: StandIn) -> None:
    found = json.loads(microlite("describe", "greeter@1.0.0", "--output", "json").out)
    hello = found["endpoints"][0]
    assert hello["request"]["properties"]["name"]["type"] == "string"
    assert found["nodes"][0]["id"] == "greeter-1"
    assert microlite("describe", "greeter@9").code == 4


def test_logs_are_printed_as_they_were_written(microlite: Microlite, platform: StandIn) -> None:
    platform.lines = [line("one"), line("\x1b[31mtwo\x1b[0m", Stream.STDERR)]
    assert microlite("logs", "greeter") == (0, "one\ntwo\n", "")
    documents = [json.loads(text) for text in microlite("logs", "greeter", "-o", "json").out.splitlines()]
    assert documents[1] == {
        "at": 1.0,
        "service": "greeter",
        "node": "greeter-1",
        "stream": "stderr",
        "text": "two",
    }


def test_logs_ask_for_what_the_options_say(microlite: Microlite, platform: StandIn) -> None:
    def asked(*words: str) -> dict[str, object]:
        assert microlite("logs", "greeter", *words).code == 0
        return platform.asked.pop()[1]

    assert asked() == {"service": "greeter", "lines": 15, "follow": False, "since": 0.0, "node": ""}
    assert asked("-n", "3", "-f", "--node", "greeter-1") == {
        "service": "greeter",
        "lines": 3,
        "follow": True,
        "since": 0.0,
        "node": "greeter-1",
    }
    fields = asked("--since", "10m")
    assert fields["lines"] == 0
    since = fields["since"]
    assert isinstance(since, float)
    assert abs(time.time() - 600 - since) < 60
    assert asked("--since", "2026-01-31T12:00+00:00")["since"] == 1769860800.0
    assert microlite("logs", "greeter", "--since", "soon").code == 2


def test_kill_names_services_or_their_folders(
    microlite: Microlite, platform: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "shop" / "orders"
    below.mkdir(parents=True)
    platform.statuses = [running("greeter", "/elsewhere"), running("orders", str(below))]
    assert microlite("kill", "Greeter@1", "orders") == (0, "", "")
    assert platform.asked.pop() == ("kill", {"services": ["greeter@1", "orders"]})
    for place in (below, tmp_path / "shop", below / "deeper"):
        place.mkdir(exist_ok=True)
        monkeypatch.chdir(place)
        assert microlite("kill", ".") == (0, "", "")
        assert platform.asked.pop() == ("kill", {"services": ["orders"]})
    monkeypatch.chdir(tmp_path.parent.parent)
    said = microlite("kill", "./nothing")
    assert said.code == 4
    assert said.err.startswith("Nothing runs from ")
    assert microlite("kill", "nobody") == (4, "", 'Service "nobody" not found\n')


def test_update_is_silent_unless_the_new_code_fails(microlite: Microlite, platform: StandIn) -> None:
    platform.outcome = [running("greeter")]
    assert microlite("update", "greeter@2", "--instances", "3") == (0, "", "")
    assert platform.asked.pop() == ("update", {"service": "greeter", "version": "2", "instances": 3})
    platform.outcome = [running("greeter", error="exited with code 1")]
    assert microlite("update", "greeter") == (
        1,
        "",
        "Service greeter does not run its new code: exited with code 1\n",
    )


def test_run_detached_asks_for_what_the_options_say(
    microlite: Microlite, platform: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICROLITE_LOG_LEVEL", "debug")
    monkeypatch.setenv("COLOUR", "red")
    platform.outcome = [running("orders")]
    said = microlite(
        *("run", "--detach", "--name", "orders", "--version", "3", "-i", "2", "--env", "A=b=c", "--metadata", "k=v"),
        *("--command", "serve it", "--no-watch"),
    )
    assert said == (0, "", "")
    name, fields = platform.asked.pop()
    request = fields["request"]
    assert name == "run"
    assert request.sources == (str(tmp_path),)
    assert (request.name, request.version, request.instances, request.command) == ("orders", "3", 2, "serve it")
    assert (request.env, request.metadata, request.watch) == ({"A": "b=c"}, {"k": "v"}, False)
    assert request.environment["COLOUR"] == "red"
    assert not [key for key in request.environment if key.startswith("MICROLITE_")]


def test_run_detached_says_why_a_service_does_not_run(microlite: Microlite, platform: StandIn, tmp_path: Path) -> None:
    platform.outcome = [
        running("greeter"),
        ServiceStatus(name="orders", version="latest", state=State.BACKOFF, error="exited with code 3"),
    ]
    assert microlite("run", str(tmp_path), "--detach") == (
        1,
        "",
        "Service orders does not run: exited with code 3\n",
    )
