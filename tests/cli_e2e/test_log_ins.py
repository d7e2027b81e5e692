"""Log-ins as people have them: typed at a terminal, kept between commands, and shared by commands that run at once."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from microlite.core.log_ins import LogIns
from tests.cli_e2e.conftest import PROGRAM, Live
from tests.cli_e2e.terminal import Terminal

pytestmark = pytest.mark.timeout(180)

ANN = "a secret that ann has"

SOURCE = """
from microlite import Context, Service

till = Service("till")


@till.endpoint(scopes=["till:sell"])
async def sell(ctx: Context, item: str) -> str:
    assert ctx.account is not None
    return f"{ctx.account.id} sold {item}"


till.run()
"""


@pytest.fixture(scope="module")
def till(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("till")
    (folder / "main.py").write_text(SOURCE)
    live.run(folder)
    for account, scopes in (("ann", "till:sell"), ("bob", "")):
        done = live.microlite(
            "auth", "create", "account", account, "--secret-stdin", "--scopes", scopes, stdin=f"{ANN}\n"
        )
        assert done.returncode == 0, done.stderr
    yield live
    live.kill(["till"])


@pytest.fixture
def ann(till: Live) -> Iterator[Live]:
    """A platform at which ann has logged in."""
    done = till.microlite("login", "ann", "--secret-stdin", stdin=f"{ANN}\n")
    assert (done.returncode, done.stdout) == (0, "Successfully logged in.\n"), done.stderr
    yield till
    (till.home / "log-ins.json").unlink()


def test_at_a_terminal_the_secret_is_asked_for_and_not_shown(till: Live, tmp_path: Path) -> None:
    with Terminal([*PROGRAM, "login", "ann"], till.environment, tmp_path) as terminal:
        terminal.expect("Password: $")
        terminal.press(f"{ANN}\n")
        terminal.expect("Successfully logged in.")
        assert terminal.wait() == 0
        assert ANN not in terminal.text
    path = till.home / "log-ins.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ANN not in path.read_text()
    assert till.call("till", "sell", "--item", "tea") == '"ann sold tea"\n'
    assert till.call("logout") == "Successfully logged out.\n"
    assert "refresh_token" not in path.read_text()


def test_the_shell_acts_as_who_has_logged_in(ann: Live) -> None:
    assert "(needs the scope till:sell)" in ann.microlite("shell", "-c", "help(till.sell)").stdout
    done = ann.microlite("shell", "-c", "print(await till.sell(item='tea'))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ann sold tea\n", "")
    assert ann.microlite("login", "bob", "--secret-stdin", stdin=f"{ANN}\n").returncode == 0
    done = ann.microlite("shell", "-c", "await till.sell(item='tea')")
    assert (done.returncode, done.stdout) == (2, "")
    assert "till:sell" in done.stderr
    done = ann.microlite("--account", "ann", "shell", "-c", "print(await till.sell(item='tea'))")
    assert (done.returncode, done.stdout) == (0, "ann sold tea\n")


def test_commands_at_once_do_not_end_the_log_in(ann: Live) -> None:
    """All see that it is due; one renews it, and the others take what that one has got."""
    log_ins = LogIns(ann.home)
    (old,) = log_ins.all()
    now = time.time()
    log_ins.keep(msgspec.structs.replace(old, created=now - 890, expires=now + 10))
    command = [*PROGRAM, "till", "sell", "--item", "tea"]
    started = [
        subprocess.Popen(command, env=ann.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    assert [(*one.communicate(timeout=50), one.returncode) for one in started] == [(b'"ann sold tea"\n', b"", 0)] * 4
    (new,) = log_ins.all()
    assert new.refresh_token != old.refresh_token
    assert json.loads(ann.call("user", "-o", "json"))["account"] == "ann"


def test_the_link_to_the_dashboard_logs_in_as_who_has_logged_in(ann: Live) -> None:
    link = ann.call("web", "--no-open").splitlines()[0]
    assert link.startswith("http://127.0.0.1:")
    assert "/login/" in link


def test_no_command_shows_a_secret_of_a_log_in(ann: Live) -> None:
    (kept,) = LogIns(ann.home).all()
    environment = {**ann.environment, "MICROLITE_DEBUG": "1"}
    for words in (
        ("user",),
        ("user", "-o", "json"),
        ("auth", "list", "accounts"),
        ("user", "config"),
        ("nowhere", "x"),
    ):
        done = subprocess.run([*PROGRAM, *words], env=environment, capture_output=True, text=True, check=False)
        for secret in (kept.access_token, kept.refresh_token):
            assert secret not in done.stdout + done.stderr


def test_nodes_see_no_token_of_whoever_has_started_them(ann: Live, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import os\nfrom microlite import Service\nseen = Service('seen')\n\n\n"
        "@seen.endpoint\ndef variables() -> list[str]:\n"
        "    return [name for name in os.environ if name in ('MICROLITE_TOKEN', 'MICROLITE_ACCOUNT')]\n\n\nseen.run()\n"
    )
    token = (ann.home / "admin.token").read_text().strip()
    environment = {**ann.environment, "MICROLITE_TOKEN": token, "MICROLITE_ACCOUNT": "ann"}
    command = [*PROGRAM, "run", "--detach", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    try:
        assert ann.call("seen", "variables") == "[]\n"
    finally:
        ann.call("--account", "-", "kill", "seen")
