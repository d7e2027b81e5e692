"""A platform with a certificate, as a user starts it: by the command line, and seen from outside."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from microlite.cli.options import Options, Ports
from microlite.cli.run import run
from microlite.core.serving import run_server
from microlite.core.settings import ServerOptions
from tests.gateway.authority import Authority
from tests.web_e2e.running import Running


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def serial(port: int, client: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        certificate = secured.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_all_faces_say_https(folder: Path) -> None:
    """And a new certificate is taken up when a service manager says so."""
    authority = Authority(folder)
    certificate, key = authority.issue("localhost")
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with Running(folder, *options, tls=authority.client()) as running:
        facts = json.loads((running.home / "server.json").read_text())
        assert facts["gateway"].startswith("https://localhost:")
        assert facts["dashboard"].startswith("https://localhost:")
        said = running.log.read_text()
        assert facts["gateway"] in said
        assert "other machines" not in said

        def command(*words: str) -> str:
            return subprocess.run(
                [*running._command(), *words], capture_output=True, text=True, check=True, timeout=30
            ).stdout

        assert command("web", "--no-open").startswith(f"{facts['dashboard']}/login/")
        findings = {one["check"]: one for one in json.loads(command("doctor", "-o", "json"))}
        assert findings["exposure"]["verdict"] == "warning"
        assert "expires in" in findings["exposure"]["detail"]  # it was issued for ten days

        before = serial(running.port, authority.client())
        authority.issue("localhost")
        running._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while serial(running.port, authority.client()) == before:
            assert time.monotonic() < deadline
        assert running._process.poll() is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "--tls-cert"),
        (
            {"tls_cert": Path("/nowhere/a.pem"), "tls_key": Path("/nowhere/a.key")},
            "a.pem (--tls-cert) cannot be read",
        ),
    ],
)
def test_what_would_be_open_by_oversight_does_not_start(
    options: dict[str, object], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything listens."""
    home = folder / "home"
    assert run_server(ServerOptions(home=home, port=0, **options)) != 0  # type: ignore[arg-type]  # as they come
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (home / "server.json").exists()


def test_a_weak_token_is_not_shown_to_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "admin.token").touch(0o600)
    (home / "admin.token").write_text("a-token-" * 4 + "\n")
    options = ServerOptions(home=home, port=0, host="0.0.0.0", insecure_http=True)
    assert run_server(options) != 0
    assert "delete" in capsys.readouterr().err


def test_a_session_hands_its_certificate_on(folder: Path) -> None:
    """As absolute paths, since the platform is another process; and never half of it."""
    ports = Ports(None, None, Path("/a.pem"), Path("/a.key"))
    assert ports.arguments() == ["--tls-cert", "/a.pem", "--tls-key", "/a.key"]
    said = CliRunner().invoke(run, ["--tls-cert", "a.pem"], obj=Options(folder, "default", "text"))
    assert said.exit_code == 2
    assert "--tls-key" in said.output
