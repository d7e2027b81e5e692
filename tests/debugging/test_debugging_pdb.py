"""`breakpoint()` in a service that `microlite run` has started: pdb in its terminal, while the call waits."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WAIT = 30.0

SHOP = """
    import asyncio
    from microlite import Service

    shop = Service("shop")

    @shop.endpoint
    async def price(article: str) -> str:
        breakpoint()
        found = article + " costs 3"
        return found

    if __name__ == "__main__":
        shop.run()
"""


class Pty:
    """A command in a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.shown = ""
        self._seen = 0
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)

    def expect(self, text: str) -> None:
        """Wait until the text is shown, after what was waited for before."""
        deadline = time.monotonic() + WAIT
        while (at := self.shown.find(text, self._seen)) < 0:
            ready, _, _ = select.select([self.leader], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"expected {text!r}; so far:\n{self.shown}"
            try:
                self.shown += os.read(self.leader, 65_536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended before {text!r}:\n{self.shown}") from None
        self._seen = at + len(text)

    def type(self, line: str) -> None:
        os.write(self.leader, f"{line}\n".encode())

    def interrupt(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        if self.leader < 0:
            return
        if self.process.poll() is None:
            self.interrupt()
        with self.process:
            threading.Thread(target=self._drain, daemon=True).start()
            self.process.wait(WAIT)
        os.close(self.leader)
        self.leader = -1

    def _drain(self) -> None:
        try:
            while os.read(self.leader, 65_536):
                pass
        except OSError:
            pass


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MICROLITE_"))},
        "MICROLITE_HOME": str(tmp_path / "home"),
        "MICROLITE_CACHE": str(tmp_path / "cache"),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


MICROLITE = [sys.executable, "-m", "microlite"]


@pytest.fixture
def terminal(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Pty]]:
    opened = []

    def start(*words: str) -> Pty:
        opened.append(Pty([*MICROLITE, *words], environment, tmp_path))
        return opened[-1]

    yield start
    for one in reversed(opened):
        one.end()


@pytest.fixture
def call(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Calls the service by the command line; the caller's patience is a minute."""
    calls = []

    def start(article: str) -> subprocess.Popen[str]:
        words = ["call", "--timeout", "60", "shop.price", f'{{"article": "{article}"}}']
        calls.append(
            subprocess.Popen(
                [*MICROLITE, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return calls[-1]

    yield start
    for one in calls:
        with one:
            one.kill()


def write(tmp_path: Path, source: str) -> None:
    import textwrap

    folder = tmp_path / "shop"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(textwrap.dedent(source))


def status(environment: dict[str, str]) -> str:
    done = subprocess.run([*MICROLITE, "status"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_breakpoint_opens_pdb_in_the_terminal_of_run(
    tmp_path: Path,
    terminal: Callable[..., Pty],
    call: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
) -> None:
    """The variables are there, the service is `debugging` meanwhile, and after `c` the caller gets its answer."""
    write(tmp_path, SHOP)
    run = terminal("run", "--port", "0", "shop")
    run.expect("shop  http://")
    caller = call("tea")
    run.expect("shop stands at a breakpoint")
    before_it = sys.version_info >= (3, 13)  # from then on pdb stands at the call of breakpoint() itself
    run.expect("breakpoint()" if before_it else "found = article")
    run.expect("(Pdb) ")
    run.type("p article")
    run.expect("'tea'")
    if before_it:
        run.type("n")
        run.expect("found = article")
    assert " debugging " in status(environment)
    run.type("n")
    run.expect("return found")
    run.type("p found")
    run.expect("'tea costs 3'")
    run.type("c")
    out, _ = caller.communicate(timeout=WAIT)
    assert out == '"tea costs 3"\n'
    assert " running " in status(environment)


def test_who_only_looks_whether_a_terminal_is_there_opens_no_prompt(
    tmp_path: Path, terminal: Callable[..., Pty], environment: dict[str, str]
) -> None:
    """`doctor` asks every socket of the home whether somebody listens."""
    write(tmp_path, SHOP)
    run = terminal("run", "--port", "0", "shop")
    run.expect("shop  http://")
    subprocess.run([*MICROLITE, "doctor"], env=environment, capture_output=True, timeout=WAIT, check=False)
    write(tmp_path, SHOP.replace("3", "4"))
    run.expect("reloaded in")
    assert "breakpoint" not in run.shown


def test_ctrl_c_at_the_prompt_lets_the_call_finish_and_ends_the_session(
    tmp_path: Path, terminal: Callable[..., Pty], call: Callable[..., subprocess.Popen[str]]
) -> None:
    write(tmp_path, SHOP)
    run = terminal("run", "--port", "0", "shop")
    run.expect("shop  http://")
    caller = call("tea")
    run.expect("(Pdb) ")
    run.interrupt()
    out, _ = caller.communicate(timeout=WAIT)
    assert out == '"tea costs 3"\n'
    run.expect("shop | stopped")


def test_without_a_terminal_a_breakpoint_is_passed_until_somebody_attaches(
    tmp_path: Path,
    terminal: Callable[..., Pty],
    call: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
) -> None:
    write(tmp_path, SHOP)
    subprocess.run(
        [*MICROLITE, "run", "--port", "0", "--detach", str(tmp_path / "shop")],
        env=environment,
        check=True,
        timeout=WAIT,
    )
    try:
        out, _ = call("tea").communicate(timeout=WAIT)
        assert out == '"tea costs 3"\n'
        logs = subprocess.run([*MICROLITE, "logs", "shop"], env=environment, capture_output=True, text=True, check=True)
        assert (
            "breakpoint() at main.py:9 passed: no terminal is there; have one with: microlite attach shop"
            in logs.stdout
        )
        attached = terminal("attach", "shop")
        attached.expect("waiting for a breakpoint() in shop")
        caller = call("milk")
        attached.expect("(Pdb) ")
        attached.type("p article")
        attached.expect("'milk'")
        attached.type("c")
        out, _ = caller.communicate(timeout=WAIT)
        assert out == '"milk costs 3"\n'
        attached.end()
    finally:
        subprocess.run([*MICROLITE, "kill", "shop"], env=environment, check=True, timeout=WAIT)
        pid = int((tmp_path / "home" / "microlite.db.lock").read_text())
        os.kill(pid, signal.SIGTERM)


def test_a_closed_terminal_ends_the_session_and_leaves_no_socket(tmp_path: Path, terminal: Callable[..., Pty]) -> None:
    write(tmp_path, SHOP)
    run = terminal("run", "--port", "0", "shop")
    run.expect("shop  http://")
    platform = os.pidfd_open(int((tmp_path / "home" / "microlite.db.lock").read_text()))
    os.kill(run.process.pid, signal.SIGHUP)
    assert run.process.wait(WAIT) == 130
    assert select.select([platform], [], [], WAIT)[0], "the platform of the session goes on"
    os.close(platform)
    assert list((tmp_path / "home" / "run").iterdir()) == []
