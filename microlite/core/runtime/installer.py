"""The programs that make an environment and fill it: uv if it is there, else Python's own `venv` and a given pip."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.runtime.lines import LineSplitter, strip_ansi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from microlite.core.runtime.requirements import Requirements

_LAST_LINES: Final = 20
_LONGEST_LINE: Final = 4096
_REQUIREMENTS: Final = "requirements.txt"
_CONSTRAINTS: Final = "constraints.txt"

_NO_BUILD: Final = str(Path(__file__).with_name("no_build.py"))

_NOT_INHERITED: Final = frozenset(
    {
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_TARGET",
        "PIP_USER",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_PROJECT_ENVIRONMENT",
        "UV_SYSTEM_PYTHON",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    }
)
"""What would send packages to another place than the environment, or foreign modules into the installer."""


class InstallationFailed(errors.Unprocessable):
    """A project's requirements could not be installed.

    Args:
        detail: one sentence, with the line that tells most.
        lines: what the installer wrote last.
    """

    def __init__(self, detail: str, lines: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.lines = tuple(lines)


class Installer:
    """Makes environments.

    Args:
        pip: the command of a pip of version 22.3 or later (`--python`), such as `(python, "-m", "pip")`.
        uv: the path of uv, or empty to do without.
        environ: what the programs inherit, proxies and package indexes among it.
        timeout: an installation that takes longer, in seconds, has failed.
        wheels_by: the folder of a pip of that age, which installs wheels and nothing that has to be built, since building
            runs its code. It is used in place of `pip` and `uv`. Empty to install all.
    """

    def __init__(
        self,
        *,
        pip: Sequence[str],
        uv: str,
        environ: Mapping[str, str],
        timeout: float = 1800.0,
        wheels_by: str = "",
    ) -> None:
        self._wheels_by = wheels_by
        self._pip = tuple(pip)
        self._uv = uv
        self._timeout = timeout
        self._environ = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
        self._environ |= {"NO_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}

    async def install(
        self, folder: Path, python: str, requirements: Requirements, progress: Callable[[str], object], lock: int
    ) -> None:
        """Make an environment with these requirements in it.

        Args:
            folder: where; it does not exist yet.
            python: the interpreter it is made with.
            requirements: of the project, whose folder is the working directory.
            progress: is called with each line the programs write.
            lock: a descriptor that the programs inherit, so that it stays locked for as long as one of them lives.

        Raises:
            InstallationFailed: a program failed or took too long; the folder may hold a part.
        """
        await self._step(self._make(folder, python), requirements, progress, lock)
        await asyncio.to_thread(_write, folder, requirements)
        await self._step(self._fill(folder, requirements), requirements, progress, lock)
        if self._wheels_by:
            await asyncio.to_thread(_open_to_all, folder)

    async def _step(
        self, command: tuple[str, ...], requirements: Requirements, progress: Callable[[str], object], lock: int
    ) -> None:
        where = f"{requirements.folder}/{requirements.file}"
        lines = deque[str](maxlen=_LAST_LINES)

        def report(line: str) -> None:
            text = strip_ansi(line).rstrip()
            if text:
                lines.append(text)
                if not text.startswith(_UNINTERESTING):
                    progress(_FROM_FILE.sub("", text))

        try:
            async with asyncio.timeout(self._timeout):
                code = await self._run(command, requirements.folder, report, lock)
        except TimeoutError:
            raise InstallationFailed(f"{where}: not installed within {self._timeout:.0f} s", lines) from None
        except FileNotFoundError as error:
            raise InstallationFailed(f"{where}: {error.filename} is needed to install and is not there") from error
        if code:
            how = f"code {code}" if code > 0 else f"signal {-code}"
            said = _telling(lines) or "it said nothing"
            hint = "; an isolated service gets packages as wheels only" if self._wheels_by else ""
            raise InstallationFailed(f"{where}: the installation ended with {how}: {said}{hint}", lines)

    def _make(self, folder: Path, python: str) -> tuple[str, ...]:
        if self._uv:
            return (self._uv, "venv", "--quiet", "--no-project", "--python", python, str(folder))
        return (python, "-m", "venv", "--without-pip", str(folder))

    def _fill(self, folder: Path, requirements: Requirements) -> tuple[str, ...]:
        inside = str(folder / "bin" / "python")
        install: tuple[str, ...]
        if self._wheels_by:
            install = (inside, "-I", _NO_BUILD, self._wheels_by, "install", "--progress-bar", "off")
            install = (*install, "--only-binary", ":all:", "--no-cache-dir")
        elif self._uv:
            # Compiled here, as pip does: nodes run without writing bytecode, and would compile at each start.
            install = (self._uv, "pip", "install", "--python", inside, "--compile-bytecode", "--no-progress")
        else:
            install = (*self._pip, "--python", inside, "install", "--progress-bar", "off")
        constraints = ("-c", str(folder / _CONSTRAINTS)) if requirements.constraints else ()
        return (*install, "-r", str(folder / _REQUIREMENTS), *constraints)

    async def _run(self, command: tuple[str, ...], cwd: str, report: Callable[[str], None], lock: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
        )
        assert process.stdout is not None, "it was asked for"
        splitter = LineSplitter(_LONGEST_LINE)
        try:
            while piece := await process.stdout.read(65536):
                for line in splitter.feed(piece):
                    report(line)
            for line in splitter.flush():
                report(line)
            return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())


_UNINTERESTING: Final = ("Looking in ", "Using cached ", "  Using cached ")
"""How lines begin that say nothing of how it goes on."""

_FROM_FILE: Final = re.compile(r" \(from -r .*\)$")
"""Where a requirement is named, which is a file of ours."""


def _write(folder: Path, requirements: Requirements) -> None:
    """Put the requirements into the environment: for the installer, and for whoever wonders later."""
    for name, lines in ((_REQUIREMENTS, requirements.lines), (_CONSTRAINTS, requirements.constraints)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _open_to_all(folder: Path) -> None:
    """Let every user read an environment, who may be the one that runs it. Who reaches it, the folders above decide."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)  # noqa: PTH118 - texts, thousands of them
            if not os.path.islink(path):  # noqa: PTH114 - see above
                mode = os.stat(path).st_mode  # noqa: PTH116 - see above
                os.chmod(path, mode | 0o444 | (0o111 if mode & 0o100 else 0))  # noqa: PTH101 - see above
    folder.chmod(0o755)


def _telling(lines: Sequence[str]) -> str:
    """What was wrong, in a line: the first error that pip or uv names, with the cause that uv gives; else the last."""
    said = ""
    for line in lines:
        mark, _, rest = line.strip().partition(" ")
        if not said and mark in ("ERROR:", "error:", "×"):
            said = rest
        elif said and mark in ("cause:", "╰─▶"):
            return f"{said}: {rest}"
    return said or (lines[-1] if lines else "")
