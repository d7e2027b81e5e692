"""A command is any program, run without a shell and under the same care as a script."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from microlite.core.runtime.launch.api import MARKER, Kind, LaunchError, LaunchSpec

Bench = Any


def spec(argv: str | tuple[str, ...], **env: str) -> LaunchSpec:
    return LaunchSpec(name="web", kind=Kind.COMMAND, argv=argv, cwd="/", env=env)


async def test_it_gets_its_environment_and_nothing_else(forks: Bench) -> None:
    """Not even what an interpreter on the way sets for itself when it finds the C locale."""
    forks.env = {"PATH": os.environ["PATH"], "PORT": "8123"}
    code, node = await forks.run(kind=Kind.COMMAND, argv=("env",))
    lines = dict(line.split("=", 1) for line in node.out.splitlines())
    assert code == 0
    assert lines.pop(MARKER)
    assert lines == forks.env


async def test_its_own_locale_is_left_alone(forks: Bench) -> None:
    forks.env = {"PATH": os.environ["PATH"], "LC_CTYPE": "C"}
    _, node = await forks.run(kind=Kind.COMMAND, argv=("env",))
    assert "LC_CTYPE=C\n" in node.out


async def test_it_starts_in_its_folder_with_signals_and_descriptors_of_a_new_program(forks: Bench) -> None:
    _, node = await forks.run(kind=Kind.COMMAND, argv=("sh", "-c", "pwd; grep -E 'SigBlk|SigIgn' /proc/self/status"))
    folder, blocked, ignored = node.out.splitlines()
    assert folder == str(forks.folder)
    ours = ~(3 << 31)  # 32 and 33 are the C library's own, and nobody can reset them
    assert int(blocked.split()[1], 16) & ours == int(ignored.split()[1], 16) & ours == 0
    _, node = await forks.run(kind=Kind.COMMAND, argv=("ls", "/proc/self/fd"))
    assert sorted(int(fd) for fd in node.out.split() if int(fd) != 3) == [0, 1, 2, 200]  # 3 is the folder that ls reads


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("serve --port $PORT", ("serve", "--port", "80")),
        ("serve --bind '0.0.0.0:${PORT}' a\\ b", ("serve", "--bind", "0.0.0.0:80", "a b")),
        ("echo $OTHER 5$ $$", ("echo", "$OTHER", "5$", "$$")),
        (("echo", "$PORT"), ("echo", "$PORT")),
    ],
)
def test_a_string_is_split_as_a_shell_would_and_its_variables_are_filled_in(
    argv: str | tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert spec(argv, PORT="80").words() == words


@pytest.mark.parametrize("argv", ["", (), "say 'this"])
async def test_a_command_without_words_is_refused(forks: Bench, argv: str | tuple[str, ...]) -> None:
    with pytest.raises(LaunchError, match="web"):
        await forks.launcher.start(spec(argv))


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("no-such-program", "x"), 127, "cannot run 'no-such-program': no such program on PATH"),
        (("/etc/passwd",), 126, "cannot run '/etc/passwd': [Errno 13] Permission denied"),
        (("sh", "-c", "exit 3"), 3, ""),
    ],
)
async def test_its_exit_code_is_a_shells(forks: Bench, argv: tuple[str, ...], code: int, said: str) -> None:
    exit_code, node = await forks.run(kind=Kind.COMMAND, argv=argv)
    assert exit_code == code
    assert node.err == (f"microlite: {said}\n" if said else "")


async def test_terminate_reaches_every_process_of_it(forks: Bench, ended: Any) -> None:
    """A wrapper that does not pass signals on (a shell, npm) must not leave its program running."""
    node = await forks.start(kind=Kind.COMMAND, argv=("sh", "-c", "sleep 600 & echo $!; wait"))
    grandchild = int(await node.line())
    node.process.terminate()
    assert (await node.exit()).signal == signal.SIGTERM
    await ended(grandchild)
