"""The options of `microlite server` about names, origins and the access log do what they say."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from click.testing import CliRunner

from microlite.cli.options import Options
from microlite.cli.server import server
from tests.web_e2e.conftest import Start
from tests.web_e2e.running import Running


def ask(running: Running, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_names_origins_and_the_access_log(start: Start) -> None:
    running = start(
        *("--allowed-host", "*.example.org", "--allowed-host", "example.org", "--namespace-by-host"),
        *("--cors-origin", "https://listed.example", "--access-log"),
    )
    assert ask(running, "/healthz", Host="example.org").status == 200
    assert ask(running, "/healthz", Host="dev.example.org").status == 200
    assert ask(running, "/healthz", Host="dev.example.net").status == 421
    listed = ask(running, "/healthz", Origin="https://listed.example")
    assert listed.getheader("Access-Control-Allow-Origin") == "https://listed.example"
    other = ask(running, "/healthz", Origin="https://other.example")
    assert other.getheader("Access-Control-Allow-Origin") is None
    assert ask(running, "/nothing/here").status == 404
    assert ask(running, "/healthz").status == 200  # by now the line for the one before is written
    assert '127.0.0.1 "GET /nothing/here" 404' in running.log.read_text()


def test_without_options_nothing_is_logged_and_all_may_read(start: Start) -> None:
    running = start()
    answer = ask(running, "/healthz", Origin="https://any.example")
    assert answer.getheader("Access-Control-Allow-Origin") == "https://any.example"
    assert "healthz" not in running.log.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--allowed-host", "https://a.example"), "is no name of a host; write example.org"),
        (("--allowed-host", "a.*.example"), "is no name of a host"),
        (("--cors-origin", "a.example"), "is no origin; write https://example.org"),
        (("--cors-origin", "https://a.example/path"), "is no origin"),
        (("--namespace-by-host",), "--allowed-host '*.example.org'"),
        (("--namespace-by-host", "--allowed-host", "example.org"), "--allowed-host '*.example.org'"),
    ],
)
def test_a_value_that_means_nothing_is_refused(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(server, words, obj=Options(tmp_path, "default", "text"))
    assert said.exit_code == 2
    assert says in said.output
