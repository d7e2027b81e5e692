"""`microlite doctor`: each thing that can be broken is found, with the command that mends it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from microlite.cli import checks
from microlite.core.engine import migrations
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn


@pytest.fixture
def port() -> int:
    """The first of three ports that are free, below those which the system gives to whoever asks for any."""
    while True:
        first = random.randrange(12_000, 30_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(first, first + 3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return first


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("MICROLITE_CACHE", str(folder))
    return folder


def findings(microlite: Microlite, port: int, code: int) -> dict[str, dict[str, str]]:
    said = microlite("doctor", "--output", "json", "--port", str(port))
    assert said.code == code
    return {finding["check"]: finding for finding in json.loads(said.out)}


def test_a_sound_machine_has_nothing_to_mend(microlite: Microlite, port: int) -> None:
    found = findings(microlite, port, 0)
    assert {finding["verdict"] for finding in found.values()} == {"ok"}
    assert list(found) == [
        *("python", "home", "cache", "file system", "disk", "clock", "platform", "log-in", "ports", "exposure"),
        *("sockets", "leftovers", "database", "open files", "watches", "uvloop", "tools", "isolation"),
    ]
    assert "none runs" in found["platform"]["detail"]


def test_a_log_in_that_has_ended_is_found(
    microlite: Microlite, platform: StandIn, home: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else is looked at as the admin of the machine, and does not suffer from it."""
    assert findings(microlite, port, 0)["log-in"]["detail"] == "none: commands act as the admin of this machine"
    assert microlite("login", "ann", "--secret-stdin", stdin="s3cret-of-ann\n").code == 0
    assert findings(microlite, port, 0)["log-in"]["detail"] == "ann, in default"
    platform.ledger.revoke()
    found = findings(microlite, port, 0)
    assert found["log-in"] == {
        "check": "log-in",
        "verdict": "warning",
        "detail": "the log-in of ann has ended; log in again with: microlite login ann",
        "mend": "microlite login ann",
    }
    assert found["platform"]["verdict"] == "ok"
    monkeypatch.setenv("MICROLITE_TOKEN", "forged")
    assert findings(microlite, port, 0)["log-in"]["mend"] == "unset MICROLITE_TOKEN"
    monkeypatch.delenv("MICROLITE_TOKEN")
    (home / "log-ins.json").chmod(0o644)
    found = findings(microlite, port, 1)
    assert (found["log-in"]["verdict"], found["log-in"]["mend"]) == ("broken", f"chmod 600 {home}/log-ins.json")


def test_text_shows_the_command_below_what_it_mends(microlite: Microlite, home: Path, port: int) -> None:
    home.chmod(0o755)
    said = microlite("doctor", "--port", str(port))
    assert said.code == 1
    at = next(number for number, line in enumerate(said.out.splitlines()) if line.startswith("broken   home"))
    assert said.out.splitlines()[at + 1].strip() == f"mend it with: chmod 700 {home}"


def test_a_cache_that_others_can_write_is_found(microlite: Microlite, cache: Path, port: int) -> None:
    cache.chmod(0o777)
    found = findings(microlite, port, 1)["cache"]
    assert (found["verdict"], found["mend"]) == ("broken", f"chmod go-w {cache}")


def test_a_home_that_does_not_exist_is_no_fault(microlite: Microlite, home: Path, port: int) -> None:
    home.rmdir()
    assert "does not exist yet" in findings(microlite, port, 0)["home"]["detail"]


def test_a_running_platform_is_asked(microlite: Microlite, platform: StandIn, port: int) -> None:
    found = findings(microlite, port, 0)
    assert "gateway http://127.0.0.1:8080" in found["platform"]["detail"]
    assert found["ports"]["verdict"] == "ok"


def test_a_platform_of_another_version_is_pointed_out(
    microlite: Microlite, platform: StandIn, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlite.cli.checks_platform.__version__", "9.9")
    assert findings(microlite, port, 0)["platform"]["verdict"] == "warning"


def test_a_port_in_use_is_told_with_its_program(microlite: Microlite) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        found = findings(microlite, port, 1)["ports"]
    assert found["detail"].startswith(f"port {port} (gateway) is in use")
    assert str(os.getpid()) in found["detail"]
    assert re.fullmatch(r"microlite server --port \d+", found["mend"])
    with socket.create_server(("127.0.0.1", int(found["mend"].split()[-1]))):
        pass  # it is free, as it should be


def test_a_dashboard_port_in_use_is_a_warning(microlite: Microlite, port: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port + 2))
        taken.listen()
        found = findings(microlite, port, 0)["ports"]
    assert (found["verdict"], f"port {port + 2} (dashboard)" in found["detail"]) == ("warning", True)


@pytest.fixture
def stale(home: Path) -> Iterator[Path]:
    path = home / "run" / "0123.s"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    yield path
    path.unlink()


def test_sockets_without_a_process_are_found(microlite: Microlite, stale: Path, port: int) -> None:
    found = findings(microlite, port, 0)["sockets"]
    assert (found["verdict"], found["mend"]) == ("warning", f"rm {stale}")


def test_files_from_the_future_mean_a_slow_clock(microlite: Microlite, home: Path, port: int) -> None:
    file = home / "microlite.db"
    file.touch()
    ahead = time.time() + 3600
    os.utime(file, (ahead, ahead))
    found = findings(microlite, port, 1)["clock"]
    assert "59 minutes" in found["detail"] or "60 minutes" in found["detail"]


def test_a_full_disk_is_found(
    microlite: Microlite, cache: Path, home: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mend is what frees space; where that is nothing of ours, what shows who takes it."""
    monkeypatch.setattr(checks, "LEAST_SPACE", 1 << 62)
    assert findings(microlite, port, 1)["disk"]["mend"] == f"du -xhd1 {home} | sort -h"
    (cache / "microlite-0").mkdir()
    assert findings(microlite, port, 1)["disk"]["mend"] == "microlite cache clean"


def test_a_home_on_a_network_is_found(
    microlite: Microlite, home: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(home), fstype="nfs4")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: mounts)
    found = findings(microlite, port, 1)["file system"]
    assert "nfs4" in found["detail"]
    assert found["mend"].startswith("export MICROLITE_HOME=")


@pytest.mark.parametrize(("version", "verdict", "code"), [((3, 10, 1), "broken", 1), ((3, 99, 0), "warning", 0)])
def test_a_python_outside_of_what_was_tried_is_told(
    microlite: Microlite,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    verdict: str,
    code: int,
) -> None:
    pretended = SimpleNamespace(version_info=version, executable="/usr/bin/python3", argv=["m"], platform="linux")
    monkeypatch.setattr(checks, "sys", pretended)
    assert findings(microlite, port, code)["python"]["verdict"] == verdict


def test_a_command_that_mends_does_mend(microlite: Microlite, home: Path, cache: Path, stale: Path, port: int) -> None:
    """Pasted into a shell, as it stands."""
    home.chmod(0o777)
    cache.chmod(0o777)
    (home / "server.json").write_text('{"pid": 999999999}')
    for check in ("home", "cache", "sockets", "leftovers"):
        found = findings(microlite, port, 1 if (home.stat().st_mode | cache.stat().st_mode) & 0o022 else 0)[check]
        assert found["verdict"] != "ok"
        subprocess.run(found["mend"], shell=True, check=True)
    assert {finding["verdict"] for finding in findings(microlite, port, 0).values()} == {"ok"}
    stale.touch()


def test_a_home_of_another_user_is_found(microlite: Microlite, home: Path, port: int) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    os.chown(home, 12345, -1)
    found = findings(microlite, port, 1)["home"]
    assert found["mend"] == f"sudo chown -R 0 {home}"


def test_a_damaged_database_is_found(microlite: Microlite, home: Path, port: int) -> None:
    path = home / "microlite.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    database.close()
    assert findings(microlite, port, 0)["database"]["verdict"] == "ok"
    content = bytearray(path.read_bytes())
    content[4096:12288] = os.urandom(8192)
    path.write_bytes(content)
    found = findings(microlite, port, 1)["database"]
    assert "is damaged" in found["detail"]
    aside = home / "damaged"
    assert found["mend"] == f"mkdir -p {aside} && mv {path}* {aside} && microlite restore BACKUP"
    # What mends it does mend it.
    backup = home.parent / "backup.db"
    with sqlite3.connect(backup) as database:
        database.executescript((migrations.FOLDER / "0001_records.sql").read_text())
        database.executescript("PRAGMA user_version = 1; PRAGMA application_id = 0x6D6C6974")
    database.close()
    restore = f"{sys.executable} -m microlite --home {home} restore {backup}"
    mend = found["mend"].replace("microlite restore BACKUP", restore)
    subprocess.run(mend, shell=True, check=True)
    assert findings(microlite, port, 0)["database"]["verdict"] == "ok"


def test_a_database_of_a_newer_version_is_found(microlite: Microlite, home: Path, port: int) -> None:
    with sqlite3.connect(home / "microlite.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "newer microlite (version 99" in findings(microlite, port, 1)["database"]["detail"]


def test_processes_that_nobody_looks_after_are_found(microlite: Microlite, home: Path, port: int) -> None:
    import hashlib

    marker = hashlib.blake2s(str(home).encode(), digest_size=8).hexdigest()
    environment = {**os.environ, "MICROLITE_LAUNCH": f"{marker}/spawn-1"}
    with subprocess.Popen(["sleep", "60"], env=environment) as orphan:
        found = findings(microlite, port, 0)["leftovers"]
        assert found["mend"] == f"kill -9 {orphan.pid}"
        subprocess.run(shlex.split(found["mend"]), check=True)


def test_too_few_open_files_are_found(home: Path, port: int, cache: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "microlite",
        "--home",
        str(home),
        "doctor",
        "--output",
        "json",
        "--port",
        str(port),
    ]
    limited = subprocess.run(
        command,
        env={**os.environ, "MICROLITE_CACHE": str(cache)},
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 4096)),
    )
    found = {finding["check"]: finding for finding in json.loads(limited.stdout)}["open files"]
    assert (found["verdict"], found["mend"]) == ("warning", "ulimit -n 4096")


def test_old_extractions_are_counted(microlite: Microlite, cache: Path, port: int) -> None:
    for number in range(4):
        (cache / f"microlite-{number}").mkdir()
        (cache / f"microlite-{number}" / "file").write_bytes(bytes(2_000_000))
    found = findings(microlite, port, 0)["cache"]
    assert (found["verdict"], found["mend"]) == ("warning", "microlite cache clean")
    assert "8 MB in 4 unused extractions" in found["detail"]


def test_it_takes_less_than_a_second(microlite: Microlite, port: int) -> None:
    began = time.monotonic()
    findings(microlite, port, 0)
    assert time.monotonic() - began < 1
