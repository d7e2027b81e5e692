"""Secrets go in by every way that there is, and come to light nowhere: in no log, URL, error, page, file or process list."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import textwrap
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from microlite.core.runtime.kept import KEY_FILE
from microlite.web.gateway.redaction import redacted
from tests.web_e2e.running import Running

SERVICE = """
    from microlite import Context, Service

    leaky = Service("leaky")

    @leaky.endpoint
    async def call(ctx: Context, number: int = 0, password: str = "") -> int:
        return 1 // number

    @leaky.endpoint
    async def seen(ctx: Context) -> dict[str, str]:
        return dict(ctx.metadata)

    if __name__ == "__main__":
        leaky.run()
"""

OWN = {"admin.token", "config.keys", "user.json", KEY_FILE}
"""The files whose purpose it is to hold secrets; all are readable by their owner only."""


class Seeds:
    """The secrets of a run, by what they are; none is part of another."""

    def __init__(self, admin: str) -> None:
        def seed(begin: str = "") -> str:
            return f"{begin}{secrets.token_urlsafe(32)}"

        self.admin = admin
        self.personal = seed("mlp_")
        self.signed = f"eyJhbGciOiJFZERTQSJ9.{seed()}.{seed()}"
        self.config, self.query, self.login, self.variable, self.option = (seed() for _ in range(5))
        self.cookie, self.password, self.basic, self.git = (seed() for _ in range(4))
        self.link = self.session = ""

    def all(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}


class Attacked(Running):
    """A platform to which secrets are told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--access-log")
        self.said: list[str] = []
        """All answers."""

    def ask(self, url: str, body: bytes | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, sent)
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(request, timeout=20) as answer:
                found = answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            found = error.code, error.read().decode("utf-8", "replace"), dict(error.headers)
        self.said.append(found[1])
        return found

    def command(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command(), *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**self._environment, **environment},
        )

    def processes(self) -> list[psutil.Process]:
        platform = psutil.Process(self._process.pid)
        found = [platform, *platform.children(recursive=True)]
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # nobody is followed
        return None


@pytest.fixture(scope="module")
def running() -> Iterator[Attacked]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    try:
        with Attacked(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def seeds(running: Attacked) -> Seeds:
    """Tells the platform all secrets, by all ways."""
    seeds = Seeds((running.home / "admin.token").read_text().strip())
    folder = running.home.parent / "leaky"
    folder.mkdir()
    (folder / "main.py").write_text(textwrap.dedent(SERVICE))
    said = running.command("run", str(folder), "--detach", "--env", f"OPTION={seeds.option}", VARIABLE=seeds.variable)
    assert said.returncode == 0, said.stderr
    gateway, as_admin = running.url, {"Authorization": f"Bearer {seeds.admin}", "Content_Type": "application/json"}

    # Tokens of all kinds, in the header, to what is open, closed, broken and not there.
    basic = "Basic " + urllib.parse.quote(seeds.basic)
    tokens = (seeds.admin, seeds.personal, seeds.signed)
    for authorization in (*(f"Bearer {token}" for token in tokens), basic):
        for path in (
            "leaky/call",
            "leaky/seen",
            "store/read",
            "runtime/status",
            "nobody/at-all",
            "metrics",
            "openapi.json",
        ):
            running.ask(f"{gateway}/{path}", b"{}", Authorization=authorization, Content_Type="application/json")
            running.ask(f"{gateway}/{path}", Authorization=authorization, Cookie=f"microlite-session={seeds.cookie}")
    # In the query, where they do not belong.
    for name in ("token", "access_token", "api_key", "password", "client-secret", "X-Amz-Signature", "%74oken", "code"):
        running.ask(f"{gateway}/leaky/call?{name}={seeds.query}")
        running.ask(f"{gateway}/nobody?{name}={seeds.query}&b=1")
    for token in tokens:
        running.ask(f"{gateway}/leaky/seen?anything={token}")
    # In a body that a service chokes on, and in one that is malformed.
    running.ask(
        f"{gateway}/leaky/call", json.dumps({"password": seeds.password}).encode(), Content_Type="application/json"
    )
    running.ask(f"{gateway}/leaky/call", f'{{"password": "{seeds.password}'.encode(), Content_Type="application/json")
    running.ask(f"{gateway}/leaky/call", f'{{"number": "{seeds.password}"}}'.encode(), Content_Type="application/json")
    # As the subprotocol of a WebSocket.
    for token in tokens:
        protocols = ["microlite", f"microlite.token.{token}"]
        try:
            with connect(gateway.replace("http", "ws") + "/leaky/seen", subprotocols=protocols, proxy=None) as socket:  # type: ignore[arg-type]
                socket.send("{}")
                running.said.append(str(socket.recv()))
        except InvalidStatus:
            pass
    # As a secret of the configuration, by HTTP and on the command line.
    setting = {"path": "db.password", "value": seeds.config, "secret": True}
    assert running.ask(f"{gateway}/config/set", json.dumps(setting).encode(), **as_admin)[0] < 300
    running.command("config", "set", "db.other", "--secret-stdin", stdin=seeds.config)
    for path in ("config/get", "config/list", "config/export", "config/history", "config/explain"):
        running.ask(f"{gateway}/{path}", b'{"path":"db.password"}', **as_admin)
    running.command("user", "config", "set", "git.credentials.example.org", seeds.git)
    running.command("run", "example.invalid/owner/repository", "--detach")

    # At the log-in of the dashboard, right and wrong, and by a link.
    dashboard = json.loads((running.home / "server.json").read_text())["dashboard"]
    form = "application/x-www-form-urlencoded"
    running.ask(f"{dashboard}/login", f"token={seeds.login}".encode(), Content_Type=form)
    running.ask(f"{dashboard}/login?token={seeds.login}", Accept="text/html")
    link = running.command("web", "--no-open").stdout.strip()
    seeds.link = link.rpartition("/")[2]
    _, _, headers = running.ask(link)
    cookie = headers["set-cookie"].partition(";")[0]
    seeds.session = cookie.partition("=")[2]
    running.ask(link, Accept="text/html")  # again: it is used up
    for path in ("", "logs", "config", "store", "events", "broker", "schedules", "explorer", "docs", "services/leaky"):
        assert running.ask(f"{dashboard}/{path}", Cookie=cookie, Accept="text/html")[0] == 200, path
    running.ask(f"{dashboard}/nowhere/{seeds.query[:5]}", Cookie=cookie, Accept="text/html")
    return seeds


def test_no_log_holds_a_secret(running: Attacked, seeds: Seeds) -> None:
    """Neither the platform's own, with the access log, nor those of services."""
    logs = running.log.read_text() + "".join(
        path.read_text("utf-8", "replace") for path in (running.home / "logs").rglob("*") if path.is_file()
    )
    assert "/leaky/call?token=[secret]" in logs
    assert "ZeroDivisionError" in logs
    found = [name for name, secret in seeds.all().items() if secret in logs]
    assert found == []


def test_no_answer_and_no_page_holds_a_secret(running: Attacked, seeds: Seeds) -> None:
    """Errors do not repeat what was wrong with it, and pages hide what is secret from whoever looks on."""
    assert len(running.said) > 80
    for name, secret in seeds.all().items():
        telling = [said[:300] for said in running.said if secret in said]
        assert telling == [], name


def test_no_file_holds_a_secret_but_those_that_are_there_for_it(running: Attacked, seeds: Seeds) -> None:
    """Database and write-ahead log among them: what is kept there is hashed or encrypted."""
    files = [path for path in running.home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"microlite.db", "microlite.db-wal"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        held = {name for name, secret in seeds.all().items() if secret.encode() in content}
        if path.name in OWN:
            assert path.stat().st_mode & 0o077 == 0, path
        else:
            assert held == set(), path


def test_no_process_shows_a_secret(running: Attacked, seeds: Seeds) -> None:
    """No command line shows one, and nodes find in their environment what the user put there, and no more."""
    shown = running.processes()
    assert len(shown) > 1
    for process in shown:
        line = "\0".join(process.cmdline())
        assert [name for name, secret in seeds.all().items() if secret in line] == []
        variables = "\0".join(process.environ().values()) if sys.platform == "linux" else ""
        held = {name for name, secret in seeds.all().items() if secret in variables}
        assert held <= {"variable", "option"}, process


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/a?b=c&d", "/a?b=c&d"),
        ("/a?token=x&b=1", "/a?token=[secret]&b=1"),
        ("/a?ACCESS_TOKEN=x", "/a?ACCESS_TOKEN=[secret]"),
        ("/a?%74oken=x", "/a?%74oken=[secret]"),
        ("/a?b=1&new-password=x=y", "/a?b=1&new-password=[secret]"),
        ("/a?token=", "/a?token="),
        ("/a?tokens", "/a?tokens"),
        ("/a?b=mlp_0123456789abcdefghij", "/a?b=[secret]"),
        ("/mlj_0123456789abcdefghij/x", "/[secret]/x"),
        ("/a?b=eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2ln", "/a?b=[secret]"),
        ("http://ann:hush@localhost/a", "http://[secret]@localhost/a"),
        ("/a?mail=ann@example.org", "/a?mail=ann@example.org"),
    ],
)
def test_what_of_a_url_a_log_shows(url: str, shown: str) -> None:
    assert redacted(url.encode()).decode() == shown


def test_the_environment_is_the_tests_own() -> None:
    """The seeds are not in the environment of the tests, or the tests above would show nothing."""
    assert not re.search(r"mlp_", "".join(os.environ.values()))
