"""What a word after `run`, `update` and `kill` means: a folder, a git address, a short name."""

from __future__ import annotations

from pathlib import Path

import pytest

from microlite.core.runtime.api import ServiceStatus
from microlite.core.runtime.states import State
from microlite.core.user_config import UserConfig
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn

COMMIT = "1a2b3c4" + "0" * 33


def fetched(name: str, source: str, version: str = "latest") -> ServiceStatus:
    return ServiceStatus(name=name, version=version, source=source, commit=COMMIT, state=State.RUNNING)


def asked(platform: StandIn) -> str:
    (source,) = platform.asked.pop()[1]["request"].sources
    assert isinstance(source, str)
    return source


def test_an_address_is_passed_on_and_an_existing_folder_goes_first(
    microlite: Microlite, platform: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert microlite("run", "--detach", "https://github.com/o/r/x@v1").code == 0
    assert asked(platform) == "github.com/o/r/x@v1"
    folder = tmp_path / "github.com" / "o" / "r"
    folder.mkdir(parents=True)
    assert microlite("run", "--detach", "github.com/o/r").code == 0
    assert asked(platform) == str(folder)


def test_a_short_name_needs_a_base(
    microlite: Microlite, platform: StandIn, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = microlite("run", "--detach", "helloworld")
    assert said.code == 127
    assert "there is no folder or file" in said.err.lower()
    assert "microlite user config set git.baseurl github.com/<owner>/<repository>" in said.err
    assert "git.baseurl" not in microlite("run", "--detach", "./helloworld").err
    assert "git.baseurl" not in microlite("run", "--detach", "main.py").err
    UserConfig(home).set("git.baseurl", "github.com/o/services")
    assert microlite("run", "--detach", "helloworld@v1").code == 0
    assert asked(platform) == "github.com/o/services/helloworld@v1"


def test_what_is_wrong_with_an_address_is_said_before_anything_starts(microlite: Microlite, home: Path) -> None:
    said = microlite("run", "https://ann:s3cret@github.com/o/r")
    assert said.code == 127
    assert "microlite user config set git.credentials.github.com" in said.err
    assert "s3cret" not in said.err
    assert not (home / "microlite.db").exists()


def test_update_and_kill_take_the_address_of_what_runs(
    microlite: Microlite, platform: StandIn, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository stands for all that runs from it, without a ref for any."""
    monkeypatch.chdir(tmp_path)
    platform.statuses = [
        fetched("orders", "github.com/o/r/services/orders@main", "main"),
        fetched("orders", "github.com/o/r/services/orders@v1", "v1"),
        fetched("bills", "github.com/o/r/services/bills@main", "main"),
        fetched("other", "github.com/o/other"),
    ]
    for typed, killed in (
        ("github.com/o/r/services/orders@v1", ["orders@v1"]),
        ("https://github.com/o/r@main", ["orders@main", "bills"]),
        ("github.com/o/r/services", ["orders@main", "orders@v1", "bills"]),
        ("other/.", None),
    ):
        said = microlite("kill", typed)
        if killed is None:
            assert said.code == 4
        else:
            assert said == (0, "", "")
            assert platform.asked.pop() == ("kill", {"services": killed})
    assert microlite("kill", "github.com/o/nothing").err.startswith("Nothing runs from github.com/o/nothing")


def test_update_says_when_a_commit_cannot_move(microlite: Microlite, platform: StandIn) -> None:
    platform.outcome = [fetched("orders", "github.com/o/r@1a2b3c4", "1a2b3c4")]
    said = microlite("update", "orders")
    assert said.code == 0
    assert said.err == "orders is pinned to commit 1a2b3c4: run it at a branch to have it move\n"
    platform.outcome = [fetched("orders", "github.com/o/r@main", "main")]
    assert microlite("update", "orders") == (0, "", "")


def test_status_shows_the_commit_and_for_whom_a_service_waits(microlite: Microlite, platform: StandIn) -> None:
    platform.statuses = [
        fetched("orders", "github.com/o/r@main", "main"),
        ServiceStatus(name="till", version="latest", state=State.PENDING, waiting_for=("orders", "stock")),
    ]
    _, orders, till = microlite("status").out.splitlines()
    assert "github.com/o/r@main (1a2b3c4)" in orders
    assert "waiting for orders, stock" in till


def test_a_detached_run_says_for_whom_a_service_waits(microlite: Microlite, platform: StandIn, tmp_path: Path) -> None:
    platform.outcome = [ServiceStatus(name="till", version="latest", state=State.PENDING, waiting_for=("orders",))]
    assert microlite("run", str(tmp_path), "--detach").err == "Service till does not run: it waits for orders\n"
