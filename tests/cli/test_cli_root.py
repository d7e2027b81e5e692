"""The root: help, versions, global options, words that are no command, and what is imported for which."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from microlite import __main__ as program
from microlite.cli import external
from microlite.cli.commands import COMMANDS
from microlite.cli.root import Root, root
from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.core.description.naming import COMMANDS as RESERVED
from microlite.version import __version__
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn


def test_help_shows_every_command_with_its_text(microlite: Microlite) -> None:
    said = microlite("--help")
    assert (said.code, said.err) == (0, "")
    for name, entry in COMMANDS.items():
        assert f"  {name} " in said.out
        assert entry.text.split()[0] in said.out
    assert microlite("-h").out == said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_text_of_a_command_begins_its_own_help(name: str, microlite: Microlite) -> None:
    command = Root().get_command(click.Context(root), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").startswith(COMMANDS[name].text.rstrip("."))
    assert microlite(name, "--help").code == 0


def test_no_service_may_take_the_name_of_a_command() -> None:
    assert set(COMMANDS) <= RESERVED | BUILT_IN_SERVICES


def test_the_version_is_told_in_both_ways(microlite: Microlite) -> None:
    assert microlite("--version") == (0, f"microlite {__version__}\n", "")
    assert microlite("version") == (0, f"microlite {__version__}\n", "")
    assert f'"version": "{__version__}"' in microlite("--output", "json", "version").out


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        ((), 1, "No command provided to microlite. Please refer to 'microlite --help'\n"),
        (("--foo",), 2, "No such option '--foo'. Please refer to 'microlite --help'\n"),
        (("run", "--foo"), 2, "No such option '--foo'. Please refer to 'microlite run --help'\n"),
        (("cache", "x"), 1, "Unrecognized subcommand for microlite cache: x. "),
        (("status",), 4, "Failed to connect to the microlite server at {home}; start one with: microlite server\n"),
        (("run", "missing"), 127, "There is no folder or file "),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(
    microlite: Microlite, home: Path, words: tuple[str, ...], code: int, err: str
) -> None:
    said = microlite(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(err.format(home=home))
    assert said.err.count("\n") == 1


def test_a_group_alone_shows_its_help(microlite: Microlite) -> None:
    said = microlite("cache")
    assert said.code == 0
    assert "clean" in said.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion_script(microlite: Microlite, shell: str) -> None:
    said = microlite("completion", shell)
    assert said.code == 0
    assert f"{shell}_complete" in said.out


def test_completion_offers_commands_and_services(home: Path, platform: StandIn) -> None:
    environ = {**os.environ, "_MICROLITE_COMPLETE": "bash_complete", "_MICROLITE_LINE": f"microlite --home {home} "}
    said = subprocess.run([sys.executable, "-m", "microlite"], env=environ, capture_output=True, text=True, check=False)
    found = {line.split("\t")[1] for line in said.stdout.splitlines()}
    assert {"run", "status", "greeter", "orders"} <= found
    assert said.stderr == ""


def test_a_program_on_the_path_is_a_command(
    microlite: Microlite, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, list[str], str]] = []
    monkeypatch.setattr(
        external, "_replace", lambda path, words, environ: ran.append((path, words, environ["MICROLITE_HOME"]))
    )
    script = tmp_path / "microlite-deploy"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert microlite("deploy", "--to", "x", "--help").code == 0
    assert ran == [(str(script), [str(script), "--to", "x", "--help"], str(home))]


def test_home_and_namespace_come_from_the_environment(
    home: Path, platform: StandIn, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MICROLITE_HOME", str(home))
    monkeypatch.setenv("MICROLITE_NAMESPACE", "shop")
    monkeypatch.setattr(sys, "argv", ["microlite", "call", "greeter.whoami", "--output", "raw"])
    assert program.main() == 0
    assert capfd.readouterr().out == '{"namespace":"shop"}\n'


def test_no_traceback_without_the_wish_for_one(microlite: Microlite, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("microlite.cli.services.connect", broken)
    said = microlite("services")
    assert said.code == 1
    assert said.err == ("Unexpected RuntimeError: a mistake of ours; MICROLITE_DEBUG=1 shows where it comes from\n")
    monkeypatch.setenv("MICROLITE_DEBUG", "1")
    assert "Traceback" in microlite("services").err


def test_ctrl_c_is_quiet(microlite: Microlite, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("microlite.cli.services.connect", interrupted)
    assert microlite("services") == (130, "", "")


def test_a_reader_that_goes_away_is_no_error(home: Path, platform: StandIn) -> None:
    """`microlite stream … | head` ends without a word."""
    command = [sys.executable, "-m", "microlite", "--home", str(home), "stream", "greeter", "count", '{"to":100000}']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(10) == 1


def test_colours_reach_no_file(microlite: Microlite, platform: StandIn) -> None:
    assert "\x1b" not in microlite("greeter", "--help").out


OURS = {"microlite", "microlite.version", "microlite.cli"}
TEXTS = OURS | {f"microlite.cli.{name}" for name in ("commands", "completes", "entry", "failure", "options", "root")}
HEAVY = {"asyncio", "ssl", "http", "urllib.request", "logging", "uvloop", "aiohttp", "uvicorn", "apsw", "psutil"}
HEAVY |= {"jwt", "cryptography", "argon2"}


def _imported(*words: str) -> set[str]:
    script = (
        f"import sys\nfrom microlite.cli.entry import run\ncode = run({list(words)!r})\n"
        "print('\\0', code, *sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *names = said.stdout.rpartition("\0")[2].split()
    assert code == "0", said.stderr
    return set(names)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_import_only_texts(word: str) -> None:
    found = _imported(word)
    assert {name for name in found if name.startswith("microlite")} <= TEXTS
    assert not found & (HEAVY | {"msgspec"})


@pytest.mark.parametrize(
    "words",
    [
        ("call", "greeter", "hello"),
        ("greeter", "hello", "--name", "Ann"),
        ("status",),
        ("services",),
        ("describe", "greeter"),
        ("logs", "greeter"),
    ],
)
def test_a_client_command_loads_no_event_loop(home: Path, platform: StandIn, words: tuple[str, ...]) -> None:
    found = _imported("--home", str(home), *words)
    assert not found & HEAVY
    assert not {name for name in found if name.startswith(("microlite.web", "microlite.core.engine"))}


LISTS_NOTHING = {
    *("new", "server", "run", "update", "kill", "attach", "stream", "shell", "web", "test", "completion"),
    *("config set", "config del", "config rollback", "config export", "config import"),
    *("store write", "store delete", "store export", "store import"),
    *("store blobs delete", "store blobs read", "store blobs write"),
    *("openapi", "asyncapi", "user config set", "user config delete"),
    *(f"namespace {name}" for name in ("create", "delete", "set")),
    *(f"schedules {name}" for name in ("add", "pause", "resume", "remove", "run")),
    *("broker unsubscribe", "events ack", "events nack", "events topics create", "events topics delete"),
    *("events groups delete", "events groups lag", "events groups reset", "events groups settings"),
    *("events dead delete", "events dead edit", "events dead redrive"),
    *("login", "logout", "user token", "user namespace set", "user set password"),
    *(f"auth delete {name}" for name in ("account", "join-token", "rule", "token")),
    *("auth create rule", "auth update account", "auth update secret"),
}
"""Commands without `--output`: they change something, or, as `openapi` does, print a document of one form only."""


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _leaves(f"{name} {below.name}", below)
    else:
        yield name, command


def test_every_listing_can_be_read_by_programs() -> None:
    """Whoever adds a command decides: it takes `--output`, or it has nothing to list."""
    context = click.Context(root)
    leaves = dict(leaf for name in COMMANDS for leaf in _leaves(name, _command(context, name)))
    without = {name for name, command in leaves.items() if "output" not in {one.name for one in command.params}}
    assert without <= LISTS_NOTHING, "these list something, and not as JSON"


def _command(context: click.Context, name: str) -> click.Command:
    assert isinstance(root, Root)
    found = root.get_command(context, name)
    assert found is not None
    return found
