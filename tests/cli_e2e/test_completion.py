"""Completion in real shells, by the scripts that `microlite completion` prints."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microlite.cli.commands import COMMANDS
from microlite.core.rpc.paths import socket_path
from tests.cli.conftest import Microlite
from tests.cli_e2e.conftest import PROGRAM, Live
from tests.cli_e2e.terminal import Terminal

pytestmark = pytest.mark.timeout(180)

SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"not installed: {name}"))
    for name in ("bash", "zsh", "fish")
]


@pytest.fixture(scope="module")
def shop(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A platform with a service, whose environment has a program `microlite` on the PATH."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(Path(__file__).with_name("shop.py"), folder / "main.py")
    live.run(folder)
    programs = tmp_path_factory.mktemp("programs")
    (programs / "microlite").write_text(f'#!/bin/sh\nexec {sys.executable} -m microlite "$@"\n')
    (programs / "microlite").chmod(0o755)
    live.environment |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    yield live
    live.kill(["shop-2"])


def candidates(line: str, environment: dict[str, str], shell: str = "zsh") -> list[tuple[str, str, str]]:
    """Kind, value and text of each candidate, as a script gets them."""
    asked = {**environment, "_MICROLITE_COMPLETE": f"{shell}_complete", "_MICROLITE_LINE": f"microlite {line}"}
    done = subprocess.run(PROGRAM, env=asked, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    found = []
    for answer in done.stdout.splitlines():
        if answer:
            kind, value, text = answer.split("\t")
            found.append((kind, value, text))
    return found


def values(line: str, live: Live) -> list[str]:
    return [value for _, value, _ in candidates(line, live.environment)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("desc", ["describe"]),
        ("sho", ["shop-2"]),
        ("SHOP_", ["shop-2"]),
        ("describe sh", ["shop-2"]),
        ("describe --output=j", ["json"]),
        ("-o t", ["text"]),
        ("shop-2 w", ["watch", "wait"]),
        ("shop-2 ", ["order", "watch", "total", "double", "wait", "comments"]),
        ("shop-2 comments ", ["create", "list"]),
        ("shop-2 comments create ", ["--text", "--json", "--help"]),
        ("shop-2 order --", ["--item", "--size", "--colour", "--gift", "--json", "--help"]),
        ("shop-2 order --item tea --gift --", ["--size", "--colour", "--json", "--help"]),
        ("shop-2 order --size ", ["extra large", "small"]),
        ("shop-2 order --colour=g", ["green"]),
        ("shop-2 order --gift ", ["true", "false"]),
        ("shop-2 order --item ", []),
        ("call sh", ["shop-2"]),
        ("call shop-2 comments", ["comments.create", "comments.list"]),
        ("call shop-2.o", ["shop-2.order"]),
        ("stream shop-2 ", ["watch", "double"]),
        ("call shop-2 order ", []),
        ("kill s", ["shop-2"]),
        ("update s", ["shop-2"]),
        ("status s", ["shop-2"]),
        ("logs s", ["shop-2"]),
        ("logs --node shop", ["shop-2-1"]),
        ("logs shop-2 --node ", ["shop-2-1"]),
        ("new --kind h", ["handler", "http"]),
        ("cache c", ["clean"]),
        ("user config set git.", ["git.baseurl", "git.credentials."]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("nobody ", []),
        ("describe 'open quote", []),
    ],
)
def test_what_can_stand_at_the_cursor_is_offered(shop: Live, line: str, expected: list[str]) -> None:
    assert values(line, shop) == expected


def test_names_come_with_what_is_said_of_them(shop: Live) -> None:
    assert ("plain", "shop-2", "Sells things.") in candidates("", shop.environment)
    assert candidates("shop-2 order --i", shop.environment) == [("plain", "--item", "what is wanted.")]
    assert ("plain", "kill", COMMANDS["kill"].text) in candidates("", shop.environment)


@pytest.mark.parametrize(("line", "kind"), [("--home /t", "dir"), ("run ./", "file"), ("kill ./x", "file")])
def test_paths_are_left_to_the_shell(shop: Live, line: str, kind: str) -> None:
    assert [kind for kind, _, _ in candidates(line, shop.environment)] == [kind]


def test_values_are_one_word_in_bash(shop: Live) -> None:
    found = [value for _, value, _ in candidates("shop-2 order --size e", shop.environment, "bash")]
    assert found == ["extra\\ large"]


def test_without_a_platform_there_are_the_commands(tmp_path: Path) -> None:
    environment = {**os.environ, "MICROLITE_HOME": str(tmp_path)}
    assert [value for _, value, _ in candidates("serv", environment)] == ["server", "services"]
    for line in ("shop-2 ", "call shop-2 ", "logs ", "logs --node "):
        assert candidates(line, environment) == []


def test_a_platform_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    environment = {**os.environ, "MICROLITE_HOME": str(tmp_path)}
    path = socket_path(tmp_path / "run", "platform")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    began = time.monotonic()
    assert candidates("sho", environment) == []
    without = time.monotonic() - began
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        began = time.monotonic()
        assert candidates("sho", environment) == []
        assert time.monotonic() - began < without + 5  # 0.3 s, and whatever this machine is busy with
    path.unlink()


def test_nothing_disturbs_the_line_that_is_typed(tmp_path: Path) -> None:
    """Whatever goes wrong is silent."""
    for asked, line in (("bash_complete", "microlite --home"), ("nush_complete", ""), ("bash", ""), ("", "")):
        environment = {**os.environ, "_MICROLITE_COMPLETE": asked, "_MICROLITE_LINE": line, "HOME": str(tmp_path)}
        done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert "Traceback" not in done.stdout


def test_completion_loads_no_event_loop(shop: Live) -> None:
    script = "import sys\nfrom microlite.cli.entry import run\nrun([])\nprint(*sys.modules)"
    asked = {"_MICROLITE_COMPLETE": "bash_complete", "_MICROLITE_LINE": "microlite shop-2 order --"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**shop.environment, **asked}, capture_output=True, text=True, check=True)
    assert "--item" in done.stdout
    assert not set(done.stdout.split()) & {"asyncio", "ssl", "logging", "microlite.core.registry.api", "subprocess"}


def prompt(shell: str, live: Live, folder: Path, *, before: str = "") -> Terminal:
    """An interactive shell with completion as the help says to install it."""
    script = {
        "bash": f'{before}\neval "$(microlite completion bash)"\nPS1="ready> "\n',
        "zsh": f'{before}\nautoload -Uz compinit; compinit -u\neval "$(microlite completion zsh)"\nPS1="ready> "\n',
        "fish": f"{before}\nfunction fish_prompt; echo -n 'ready> '; end\nmicrolite completion fish | source\n",
    }[shell]
    (folder / "rc").write_text(script)
    command = {
        "bash": ["bash", "--rcfile", str(folder / "rc"), "-i"],
        "zsh": ["zsh", "-f", "-i"],
        "fish": ["fish", "--no-config", "-C", f"source {folder / 'rc'}", "-i"],
    }[shell]
    terminal = Terminal(command, live.environment, folder)
    if shell == "zsh":
        terminal.press(f"source {folder / 'rc'}\n")
    terminal.expect("ready> $")
    return terminal


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_at_the_prompt(shell: str, shop: Live, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with prompt(shell, shop, tmp_path) as terminal:
        for typed, completed in (
            ("sho", "shop-2 "),
            ("ord", "order "),
            ("--it", "--item "),
            ("tea --size sm", "small "),
            ("--colour=gr", "--colour=green"),
        ):
            if not typed.startswith("sho"):
                terminal.press(typed + "\t")
            else:
                terminal.press(f"microlite {typed}\t")
            terminal.expect(completed.rstrip())
            if completed.startswith("--colour"):
                break
        terminal.press("\n")
        assert '"item": "tea"' in terminal.expect("ready> ")


def test_in_bash_an_alias_and_a_function_complete_too(shop: Live, tmp_path: Path) -> None:
    command = f"{sys.executable} -m microlite"
    for before in (f"alias microlite='{command}'", f'microlite() {{ {command} "$@"; }}'):
        with prompt(
            "bash", shop, tmp_path, before=f"PATH=/usr/bin:/bin\nshopt -s expand_aliases\n{before}"
        ) as terminal:
            terminal.press("microlite shop-2 wat\t")
            terminal.expect("shop-2 watch ")


def test_in_bash_folders_complete_where_folders_are_meant(shop: Live, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with prompt("bash", shop, tmp_path) as terminal:
        terminal.press("microlite --home fo\t")
        terminal.expect("--home folder/")


@pytest.mark.parametrize(
    ("shell", "says"),
    [
        (
            "/bin/bash",
            'For bash, add this line to ~/.bashrc and open a new terminal:\n\n  eval "$(microlite completion',
        ),
        ("/usr/bin/zsh", "For zsh, add this line to ~/.zshrc"),
        ("/usr/bin/fish", "  microlite completion fish | source\n"),
        ("/bin/sh", "For bash, "),
    ],
)
def test_it_is_told_how_completion_is_installed(
    microlite: Microlite, monkeypatch: pytest.MonkeyPatch, shell: str, says: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    said = microlite("completion")
    assert said.code == 0
    assert says in said.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_same_both_ways(microlite: Microlite, shell: str) -> None:
    environment = {**os.environ, "_MICROLITE_COMPLETE": f"{shell}_source"}
    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=True)
    assert microlite("completion", shell) == (0, done.stdout, "")


def test_schedules_and_what_they_call_are_offered(shop: Live) -> None:
    shop.call("schedules", "add", "nightly", "shop-2.order", "--every", "1d")
    try:
        assert values("schedules pause n", shop) == ["nightly"]
        assert values("schedules add x sho", shop) == ["shop-2."]
        assert "shop-2.order" in values("schedules add x shop-2.o", shop)
        assert values("schedules add x shop-2.w", shop) == ["shop-2.wait"]  # what streams cannot be scheduled
    finally:
        shop.call("schedules", "remove", "nightly")
