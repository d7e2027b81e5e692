"""`microlite run` in the foreground: what it shows, and how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from microlite.core.errors import ServiceUnavailable
from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.lines import Line, Stream
from microlite.core.runtime.states import State
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn, running


def happening(topic: Topic, service: str = "greeter", **more: object) -> Happening:
    return Happening(at=1.0, topic=topic, service=service, **more)  # type: ignore[arg-type]  # as the caller gives it


def wrote(text: str, stream: Stream = Stream.STDOUT) -> Happening:
    return happening(Topic.LOG, line=Line(1.0, "greeter", "greeter-1", stream, text))


@pytest.fixture
def greeter(tmp_path: Path) -> str:
    """A folder with a service."""
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "main.py").write_text('from microlite import Service\n\nService("greeter").run()\n')
    return str(folder)


@pytest.fixture
def ended(platform: StandIn) -> StandIn:
    """A platform whose session ends by itself after its happenings, as if somebody had killed the services."""
    platform.end_sessions()
    return platform


def test_no_platform_is_started_for_nothing(microlite: Microlite, home: Path, tmp_path: Path) -> None:
    """What lies on this machine is looked at first."""
    folder = tmp_path / "empty"
    folder.mkdir()
    for words in (["run", str(folder)], ["run", "--detach", str(folder)]):
        said = microlite(*words)
        assert (said.code, said.out) == (127, "")
        assert said.err.startswith(f"{folder}: no main.py")
    assert list(home.iterdir()) == []


def test_a_session_shows_urls_logs_reloads_and_failures(microlite: Microlite, ended: StandIn, tmp_path: Path) -> None:
    trace = ("Traceback (most recent call last):", "NameError: x")
    ended.happenings = [
        happening(Topic.STATE, state=State.BUILDING),
        happening(Topic.PROGRESS, text="installing 3 packages"),
        wrote("installing 3 packages", Stream.PLATFORM),
        happening(Topic.STATE, state=State.STARTING),
        wrote("hello"),
        happening(Topic.STATE, state=State.RUNNING),
        happening(Topic.RELOAD, text="main.py", seconds=0.0312),
        wrote("… 5 lines dropped here", Stream.PLATFORM),
        wrote("\x1b[32mgreen\x1b[0m"),
        happening(Topic.STATE, "orders-of-all", state=State.RUNNING, http=True),
        happening(Topic.FAILED, text="exited with code 1", lines=trace),
        *(wrote(text, Stream.STDERR) for text in trace),
        happening(Topic.STATE, state=State.BACKOFF),
        happening(Topic.STATE, state=State.RUNNING),
        wrote("once more"),
        *(wrote(text, Stream.STDERR) for text in trace),
        happening(Topic.FAILED, text="exited with code 2", lines=trace),
    ]
    said = microlite("run", str(tmp_path))
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "greeter | installing 3 packages",
        "greeter | hello",
        "greeter is running: http://127.0.0.1:8080/greeter",
        "  curl 'http://127.0.0.1:8080/greeter/hello?name=world'",
        "greeter | reloaded in 31 ms (main.py)",
        "greeter | … 5 lines dropped here",
        "greeter | green",
        "orders-of-all is running: http://orders-of-all.localhost:8080/  (or http://127.0.0.1:8080/orders-of-all/)",
        "greeter       | failed: exited with code 1",
        "greeter       | Traceback (most recent call last):",
        "greeter       | NameError: x",
        "greeter       | running again",
        "greeter       | once more",
        "greeter       | Traceback (most recent call last):",
        "greeter       | NameError: x",
        "greeter       | failed: exited with code 2",
        "greeter       | stopped",
        "orders-of-all | stopped",
    ]


def test_the_line_to_try_leads_into_the_namespace_of_the_session(
    microlite: Microlite, ended: StandIn, tmp_path: Path
) -> None:
    ended.happenings = [happening(Topic.STATE, state=State.RUNNING)]
    said = microlite("--namespace", "shop", "run", str(tmp_path))
    assert said.out.splitlines()[1].endswith("/greeter/hello?name=world' -H 'Micro-Namespace: shop'")


@pytest.mark.parametrize("late", [False, True])
def test_a_declaration_that_cannot_be_is_told_once(
    microlite: Microlite, ended: StandIn, greeter: str, late: bool
) -> None:
    """Whether the log's line comes before the failure or after it. One that no failure tells stays a line."""
    said = "hello (/srv/greeter/main.py:5): every: '10 minutes' is no duration: write a number with a unit"
    lines = [wrote("    @greeter.every(...)", Stream.STDERR), wrote(f"DeclarationError: {said}", Stream.STDERR)]
    failed = happening(
        Topic.FAILED,
        text=f"{said.replace('/srv/greeter/', '')}; the next change tries again",
        lines=tuple(one.line.text for one in lines if one.line is not None),
    )
    ended.happenings = [
        *([failed, *lines] if late else [*lines, failed]),
        happening(Topic.STATE, state=State.ERROR),
        wrote("DeclarationError: hello (main.py:1): this one is printed", Stream.STDERR),
        wrote("by the program"),
    ]
    out = microlite("run", greeter).out
    assert out.count("is no duration") == 1
    assert "failed: hello (main.py:5): every" in out
    assert out.count("@greeter.every(...)") == 1
    assert "this one is printed" in out


def test_the_line_to_try_has_what_the_endpoint_needs(microlite: Microlite, ended: StandIn, tmp_path: Path) -> None:
    ended.happenings = [happening(Topic.STATE, "orders", state=State.RUNNING)]
    line = microlite("run", str(tmp_path)).out.splitlines()[1]
    assert line == (
        "  curl http://127.0.0.1:8080/orders/create -H 'Content-Type: application/json' "
        """-d '{"customer":"Ann","items":[{"sku":"text","price":1.5}]}'"""
    )


def test_a_session_says_what_it_is_for(microlite: Microlite, ended: StandIn, tmp_path: Path) -> None:
    ended.happenings = []
    assert microlite("run", str(tmp_path)).code == 0
    assert tmp_path.name in ended.sessions


def test_the_first_ctrl_c_drains_and_the_session_goes_on_to_its_end(
    microlite: Microlite, platform: StandIn, tmp_path: Path
) -> None:
    """Of a name that runs in two versions, only that of a session is ended."""
    platform.statuses = [running("greeter", version="1"), running("greeter", version="2", detached=True)]
    platform.happenings = [happening(Topic.STATE, state=State.RUNNING)]
    platform.looked_up = lambda _: os.kill(os.getpid(), signal.SIGINT)
    said = microlite("run", str(tmp_path))
    assert said.code == 0
    assert platform.asked[-1] == ("kill", {"services": ["greeter@1"]})
    assert said.out.splitlines()[-1] == "greeter | stopped"
    assert "Ctrl-C again does not wait" in said.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_ends_at_once(microlite: Microlite, platform: StandIn, tmp_path: Path) -> None:
    platform.statuses = [running("greeter")]
    platform.happenings = [happening(Topic.STATE, state=State.RUNNING)]
    platform.looked_up = lambda _: os.kill(os.getpid(), signal.SIGINT)
    platform.killed = lambda: os.kill(os.getpid(), signal.SIGINT)  # the services go on draining
    assert microlite("run", str(tmp_path)).code == 130


def test_ctrl_c_before_anything_runs_ends_at_once(
    microlite: Microlite, platform: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "microlite.cli.session._say_platform", lambda *_: os.kill(os.getpid(), signal.SIGINT), raising=True
    )
    assert microlite("run", str(tmp_path)) == (130, "", "")


def test_where_no_platform_runs_one_is_started(
    microlite: Microlite, home: Path, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = StandIn(home)
    platform.end_sessions()
    asked: list[tuple[Path, list[str], bool]] = []

    def ensure(home: Path, arguments: list[str], *, session: bool) -> bool:
        asked.append((home, arguments, session))
        platform.__enter__()
        return True

    monkeypatch.setattr("microlite.core.library.session.ensure_platform_blocking", ensure)
    said = microlite("run", greeter, "--port", "9000")
    platform.__exit__(None, None, None)
    assert said.code == 0
    assert asked == [(home, ["--port", "9000"], True)]
    assert "gateway http://127.0.0.1:8080" in said.out


def test_a_platform_that_does_not_start_is_the_error(
    microlite: Microlite, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure(*_: object, session: bool) -> bool:
        assert not session
        raise ServiceUnavailable("port 8080 is taken by python (pid 1)")

    monkeypatch.setattr("microlite.core.library.session.ensure_platform_blocking", ensure)
    assert microlite("run", greeter, "--detach") == (1, "", "Port 8080 is taken by python (pid 1)\n")


def test_another_port_than_that_of_a_running_platform_is_pointed_out(
    microlite: Microlite, ended: StandIn, tmp_path: Path
) -> None:
    assert "--port is for one that is started" in microlite("run", str(tmp_path), "--port", "9000").err
    assert microlite("run", str(tmp_path), "--port", "8080").err == ""
