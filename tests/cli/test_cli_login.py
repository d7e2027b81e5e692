"""Logging in and out, and as whom commands act then; against tokens that a made-up `auth` gives out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from microlite.core.log_ins import LogIn, LogIns
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn

CLAIMS = base64.urlsafe_b64encode(b'{"ns": "shop", "sub": "ann"}').decode().rstrip("=")
ANN = "s3cret-of-ann"
BOB = "s3cret-of-bob"


def log_in(microlite: Microlite, *words: str, secret: str = ANN) -> None:
    said = microlite(*(words or ("login", "ann")), "--secret-stdin", stdin=f"{secret}\n")
    assert said == (0, "Successfully logged in.\n", "")


def shown(platform: StandIn, service: str = "greeter") -> str:
    """The token that the latest call of a service was made with."""
    return [token for name, token in platform.tokens if name == service][-1]


def test_commands_act_as_who_has_logged_in_until_he_logs_out(microlite: Microlite, platform: StandIn) -> None:
    hello = ("greeter", "hello")
    assert microlite(*hello).code == 0
    assert shown(platform) == ""
    log_in(microlite)
    assert ("auth", "-") in platform.tokens
    for words in (hello, ("call", "greeter", "hello"), ("stream", "greeter", "count", '{"to": 2}')):
        assert microlite(*words).code == 0
        assert shown(platform) == "access-1"
    assert microlite("logout") == (0, "Successfully logged out.\n", "")
    assert platform.ledger.ended == ["refresh-1"]
    assert microlite(*hello).code == 0
    assert shown(platform) == ""
    assert microlite("logout") == (1, "", "You are not logged in\n")


def test_one_sees_who_one_is(microlite: Microlite, platform: StandIn) -> None:
    assert microlite("user") == (0, "You are not logged in: commands act as the admin of this machine\n", "")
    assert json.loads(microlite("user", "-o", "json").out) == {
        "logged_in": False,
        "account": "admin",
        "namespace": "microlite.platform",
        "scopes": ["admin"],
    }
    log_in(microlite)
    assert microlite("user").out.splitlines() == [
        "user       ann",
        "name       Ann",
        "namespace  default",
        "scopes     orders",
    ]
    found = json.loads(microlite("user", "-o", "json").out)
    assert (found["logged_in"], found["account"], found["scopes"]) == (True, "ann", ["orders"])
    assert microlite("user", "token") == (0, "access-1\n", "")


def test_without_a_log_in_there_is_no_token_of_ones_own(microlite: Microlite, platform: StandIn, home: Path) -> None:
    said = microlite("user", "token")
    assert (said.code, said.out) == (1, "")
    assert str(home / "admin.token") in said.err


def test_tokens_are_for_their_owner_alone(microlite: Microlite, platform: StandIn, home: Path) -> None:
    log_in(microlite)
    path = home / "log-ins.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert ANN not in path.read_text()
    path.chmod(0o644)
    said = microlite("greeter", "hello")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"{path} must be a file that only its owner can read; mend it with: chmod 600 {path}\n"
    path.chmod(0o600)
    path.write_text("{")
    assert "delete it and log in again" in microlite("greeter", "hello").err


def test_a_secret_on_the_command_line_works_and_warns(microlite: Microlite, platform: StandIn) -> None:
    said = microlite("login", "--username", "ann", "--password", ANN)
    assert (said.code, said.out) == (0, "Successfully logged in.\n")
    assert "list of processes" in said.err
    assert ANN not in said.err
    assert microlite("login", "ann", "--password", ANN, "--secret-stdin").code == 2
    assert microlite("login", "ann", "--username", "bob", "--secret-stdin").code == 2


def test_what_is_missing_is_asked_for_without_showing_the_secret(
    microlite: Microlite, platform: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = microlite("login")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Nobody can be asked here: give it with --username")
    assert "--secret-stdin" in microlite("login", "ann").err
    monkeypatch.setattr("microlite.cli.asking.can_ask", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "ann")
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: ANN)
    assert microlite("login").out == "Successfully logged in.\n"


def test_a_wrong_secret_is_one_line_and_keeps_the_log_in_before(microlite: Microlite, platform: StandIn) -> None:
    log_in(microlite)
    said = microlite("login", "bob", "--secret-stdin", stdin="wrong\n")
    assert said == (2, "", "Account or secret not correct\n")
    assert microlite("user").out.startswith("user       ann\n")


def test_tokens_are_renewed_when_less_than_a_minute_is_left(microlite: Microlite, platform: StandIn) -> None:
    log_in(microlite)
    LogIns(platform.home).keep(_aged(platform.home, left=61))
    assert microlite("greeter", "hello").code == 0
    assert platform.ledger.renewals == 0
    LogIns(platform.home).keep(_aged(platform.home, left=59))
    assert microlite("greeter", "hello").code == 0
    assert (platform.ledger.renewals, shown(platform)) == (1, "access-2")
    assert microlite("greeter", "hello").code == 0
    assert (platform.ledger.renewals, shown(platform)) == (1, "access-2")


def test_commands_at_once_renew_once(microlite: Microlite, platform: StandIn, home: Path) -> None:
    """The refresh token works once: whoever showed it second would end the log-in."""
    log_in(microlite)
    LogIns(home).keep(_aged(home, left=10))
    command = [sys.executable, "-m", "microlite", "--home", str(home), "greeter", "hello"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MICROLITE_")}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    assert [(one.communicate(timeout=50), one.returncode) for one in started] == [((b'"hello world"\n', b""), 0)] * 4
    assert platform.ledger.renewals == 1


@pytest.mark.parametrize("left", [600, -600])
def test_a_log_in_that_has_ended_says_what_to_do(
    microlite: Microlite, platform: StandIn, home: Path, left: int
) -> None:
    """It is not forgotten: to act as the admin of the machine all of a sudden would be a surprise."""
    log_in(microlite)
    LogIns(home).keep(_aged(home, left=left))
    platform.ledger.revoke()
    for words in (("greeter", "hello"), ("status",), ("user",), ("logs", "greeter"), ("shell", "-c", "1")):
        assert microlite(*words) == (
            2,
            "",
            "The log-in of ann has ended; log in again with: microlite login ann\n",
        )
    assert microlite("logout").code == 0
    assert microlite("greeter", "hello").code == 0


def test_a_service_that_refuses_a_caller_is_not_taken_for_the_end_of_the_log_in(
    microlite: Microlite, platform: StandIn
) -> None:
    log_in(microlite)
    assert microlite("greeter", "fail", "--code", "401") == (2, "", "That went wrong\n")


def test_each_namespace_has_its_log_in(microlite: Microlite, platform: StandIn) -> None:
    log_in(microlite)
    log_in(microlite, "--namespace", "shop", "login", "bob", secret=BOB)
    assert microlite("user", "namespace").out == "shop\n"
    assert microlite("user").out.startswith("user       bob\n")
    assert microlite("--namespace", "default", "user").out.startswith("user       ann\n")
    assert microlite("--namespace", "third", "user").out.startswith("user       bob\n")
    assert microlite("user", "namespace", "set", "default") == (0, "", "")
    assert microlite("user", "namespace").out == "default\n"
    assert microlite("user").out.startswith("user       ann\n")
    assert json.loads(microlite("greeter", "whoami").out)["namespace"] == "default"
    assert microlite("--namespace", "shop", "logout").code == 0
    assert microlite("--namespace", "shop", "user").out.startswith("You are not logged in")


def test_one_of_several_log_ins_can_be_chosen(microlite: Microlite, platform: StandIn) -> None:
    log_in(microlite)
    log_in(microlite, "login", "bob", secret=BOB)
    assert microlite("user").out.startswith("user       bob\n")
    assert microlite("--account", "ann", "user").out.startswith("user       ann\n")
    assert microlite("--account", "-", "user").out.startswith("You are not logged in")
    assert microlite("--account", "cid", "greeter", "hello") == (
        2,
        "",
        "The account cid has not logged in to the namespace default here; log in with: microlite login cid\n",
    )


def test_a_token_in_the_environment_goes_before_the_log_in(
    microlite: Microlite, platform: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(microlite)
    log_in(microlite, "login", "bob", secret=BOB)
    monkeypatch.setenv("MICROLITE_TOKEN", "access-1")
    monkeypatch.setenv("MICROLITE_ACCOUNT", "bob")
    assert microlite("user").out.splitlines()[0] == "user       ann"
    assert microlite("greeter", "hello").code == 0
    assert shown(platform) == "access-1"
    assert microlite("--account", "bob", "greeter", "hello").code == 0
    assert shown(platform) == "access-2"
    assert "MICROLITE_TOKEN" in microlite("logout").err
    monkeypatch.setenv("MICROLITE_TOKEN", "forged")
    assert microlite("greeter", "hello") == (
        2,
        "",
        "The token in MICROLITE_TOKEN is not accepted: the token holds no more\n",
    )
    monkeypatch.delenv("MICROLITE_TOKEN")
    monkeypatch.setenv("MICROLITE_ACCOUNT", "ann")
    assert microlite("user").out.startswith("user       ann\n")


def test_a_token_alone_is_a_log_in(microlite: Microlite, platform: StandIn, home: Path) -> None:
    log_in(microlite)
    assert microlite("logout").code == 0
    assert microlite("login", "--token", "-", stdin="access-1\n") == (0, "Successfully logged in.\n", "")
    assert microlite("greeter", "hello").code == 0
    assert shown(platform) == "access-1"
    assert "list of processes" in microlite("login", "--token", "access-1").err
    assert microlite("login", "ann", "--token", "access-1").code == 2
    assert microlite("login", "--token", "-", stdin="forged\n").code == 2
    assert microlite("user").out.startswith("user       ann\n")
    LogIns(home).keep(_aged(home, left=-1))
    assert microlite("greeter", "hello").err.startswith("The log-in of ann has ended")


def test_a_join_token_is_made_listed_and_deleted(microlite: Microlite, platform: StandIn) -> None:
    said = microlite("auth", "create", "join-token", "--service", "shop")
    assert said.out.startswith('Join token created: {"id":"j1","service":"shop",')
    made = json.loads(microlite("auth", "create", "join-token", "--expiry", "10m", "-o", "json").out)
    assert (made["token"], made["expires"] - made["created"]) == ("mlj_default~j1~secret", 600)
    rows = [line.split() for line in microlite("auth", "list", "join-tokens").out.splitlines()]
    assert rows[0] == ["ID", "Service", "Expires", "Created", "by"]
    assert [row[:2] for row in rows[1:]] == [["j1", "shop"], ["j1", "*"]]
    assert microlite("auth", "delete", "join-token", "j1").code == 1
    assert microlite("auth", "delete", "join-token", "j1", "--yes") == (0, "Join token deleted\n", "")
    assert microlite("auth", "list", "join-tokens", "-o", "json").out == "[]\n"


def test_logging_out_without_a_platform_says_that_the_tokens_still_hold(microlite: Microlite, home: Path) -> None:
    with StandIn(home):
        log_in(microlite)
    said = microlite("logout")
    assert said.code == 1
    assert said.err.startswith("The log-in of ann is forgotten here, but its tokens hold")
    assert microlite("logout").err == "You are not logged in\n"


def test_a_program_that_is_a_command_learns_the_account(
    microlite: Microlite, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, str] = {}
    monkeypatch.setattr("microlite.cli.root.find_program", lambda name: "/bin/x")
    monkeypatch.setattr("microlite.cli.external._replace", lambda program, words, found: given.update(found))
    monkeypatch.setenv("MICROLITE_TOKEN", "x")
    microlite("--account", "ann", "x")
    assert given["MICROLITE_ACCOUNT"] == "ann"
    assert "MICROLITE_TOKEN" not in given


def test_a_client_command_of_an_account_loads_no_event_loop(
    microlite: Microlite, platform: StandIn, home: Path
) -> None:
    log_in(microlite)
    LogIns(home).keep(_aged(home, left=10))
    script = (
        "import sys\nfrom microlite.cli.entry import run\n"
        f"assert run(['--home', {str(home)!r}, 'greeter', 'hello']) == 0\nprint(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(said.stdout.split()) & {"asyncio", "ssl", "http", "jwt", "cryptography", "argon2", "logging"}
    assert platform.ledger.renewals == 1


def _aged(home: Path, *, left: float) -> LogIn:
    """The latest log-in with so many seconds left."""
    (found,) = LogIns(home).all()
    now = time.time()
    return msgspec.structs.replace(found, created=now + left - 600, expires=now + left)


@pytest.mark.parametrize(
    ("token", "namespace"),
    [
        ("mlp_shop~1a2b~secret", "shop"),
        ("mlp_microlite.platform~1a2b~secret", ""),
        (f"e30.{CLAIMS}.c2ln", "shop"),
        ("e30.e30.c2ln", ""),
        ("e30.!.c2ln", ""),
        ("e30.W10.c2ln", ""),
        ("the-token-of-the-admin", ""),
    ],
)
def test_commands_by_a_token_go_to_its_namespace(
    microlite: Microlite, monkeypatch: pytest.MonkeyPatch, token: str, namespace: str
) -> None:
    monkeypatch.setenv("MICROLITE_TOKEN", token)
    assert microlite("user", "namespace").out == f"{namespace or 'default'}\n"
    assert microlite("--namespace", "other", "user", "namespace").out == "other\n"
