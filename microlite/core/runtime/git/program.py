"""Runs the git of this machine so that it never asks, never runs code of a repository, and shows nobody a secret."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections import deque
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.runtime.git.complaints import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from microlite.core.runtime.git.address import Address
    from microlite.core.user_config import Credential, UserConfig

ASK_TIMEOUT: Final = 60.0
"""Seconds for what only asks a repository."""

FETCH_TIMEOUT: Final = 900.0
"""Seconds for what fetches; one that stands still ends earlier."""

_KEPT: Final = frozenset(
    {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"}
    | {"GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_COMMAND", "GIT_HTTP_PROXY_AUTHMETHOD"}
)
"""Variables of git that a user may have set for all repositories; others name one, or write secrets into a trace."""

_HELPER: Final = (
    '!f() { test "$1" = get && printf "username=%s\npassword=%s\n" "$CREDENTIAL_USER" "$CREDENTIAL_SECRET"; }; f'
)
"""A credential helper that gives what the environment of this one git holds."""

_PROTOCOLS: Final = {
    "https": "https:ssh",
    "ssh": "ssh:https",
    "http": "http:https",
    "git": "git:https:ssh",
    "file": "file",
}
"""By the transport of an address, those that git may use: a user's own settings (`insteadOf`) may put ssh in place of
https, but no redirection leads from there to one that anybody can read, or to a program."""

_BETWEEN: Final = 1.0
"""Seconds between two words about the progress."""

_LAST_LINES: Final = 50
_STEP: Final = re.compile(r"(?P<what>[A-Z][\w ]+):\s+(?P<percent>\d+)% ")


class Git:
    """The program.

    Args:
        environ: what it inherits, proxies and the user's own git configuration among it.
        config: has the credentials.
    """

    def __init__(self, environ: Mapping[str, str], config: UserConfig) -> None:
        self._path = environ.get("PATH", os.defpath)
        self._config = config
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith(("GIT_", "MICROLITE_")) or name in _KEPT
        }
        self._environ.pop("SSH_ASKPASS", None)
        self._environ |= {
            "GIT_ASKPASS": "",
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "SSH_ASKPASS_REQUIRE": "never",
            "LC_ALL": "C",
            "LANGUAGE": "",
        }

    async def ask(self, address: Address, *words: str) -> str:
        """What a command prints that needs the repository and no folder.

        Raises:
            Error: it failed; says why and what to do.
        """
        return await self._remote(address, words, cwd=None, timeout=ASK_TIMEOUT, progress=None)

    async def fetch(self, address: Address, folder: Path, progress: Callable[[str], object], *words: str) -> None:
        """Fetch from a repository into the one in `folder`.

        Raises:
            Error: it failed; says why and what to do.
        """
        await self._remote(address, ("fetch", *words), cwd=folder, timeout=FETCH_TIMEOUT, progress=progress)

    async def local(self, folder: Path, *words: str) -> str:
        """What a command prints that needs no other repository than that in `folder`.

        Raises:
            Error: it failed.
        """
        code, said, complaint = await self._run(words, folder, self._settings({}), FETCH_TIMEOUT, None)
        if code:
            raise errors.Unprocessable(f"git {words[0]} failed: {complaint[-1] if complaint else f'exit code {code}'}")
        return said

    async def _remote(
        self,
        address: Address,
        words: Sequence[str],
        *,
        cwd: Path | None,
        timeout: float,
        progress: Callable[[str], object] | None,
    ) -> str:
        credential = await asyncio.to_thread(self._config.credential, address.host) if address.web else None
        environ = self._settings(await self._for_ssh(), address.web, credential)
        environ["GIT_ALLOW_PROTOCOL"] = _PROTOCOLS[address.transport]
        try:
            code, said, complaint = await self._run(words, cwd, environ, timeout, progress)
        except TimeoutError:
            raise errors.GatewayTimeout(f"{address.text}: no answer within {timeout:.0f} s; try again") from None
        if code:
            raise explain(address, complaint, has_credential=credential is not None)
        return said

    async def _for_ssh(self) -> dict[str, str]:
        """An ssh that never asks, whichever one the user has chosen."""
        chosen = self._environ.get("GIT_SSH_COMMAND")
        if chosen is None and "GIT_SSH" in self._environ:
            return {}
        if chosen is None:
            code, said, _ = await self._run(
                ("config", "--get", "core.sshCommand"), None, self._environ, ASK_TIMEOUT, None
            )
            chosen = said.strip() if code == 0 else ""
        return {"GIT_SSH_COMMAND": f"{chosen or 'ssh'} -o BatchMode=yes -o ConnectTimeout=20"}

    def _settings(self, more: Mapping[str, str], web: str = "", credential: Credential | None = None) -> dict[str, str]:
        """The environment: settings go there, where no list of processes shows them."""
        settings = [
            ("core.hooksPath", os.devnull),
            ("core.fsmonitor", "false"),
            ("advice.detachedHead", "false"),
            ("http.lowSpeedLimit", "100"),
            ("http.lowSpeedTime", "30"),
            ("maintenance.auto", "false"),
            ("gc.auto", "0"),
        ]
        environ = {**self._environ, **more}
        if credential is not None:
            # The empty one takes back the user's own helpers, which would else keep a secret that is not theirs.
            settings += [("credential.helper", ""), (f"credential.{web}.helper", _HELPER)]
            environ |= {"CREDENTIAL_USER": credential.user, "CREDENTIAL_SECRET": credential.secret}
        environ["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings):
            environ[f"GIT_CONFIG_KEY_{number}"] = key
            environ[f"GIT_CONFIG_VALUE_{number}"] = value
        return environ

    async def _run(
        self,
        words: Sequence[str],
        cwd: Path | None,
        environ: Mapping[str, str],
        timeout: float,
        progress: Callable[[str], object] | None,
    ) -> tuple[int, str, list[str]]:
        program = shutil.which("git", path=self._path)
        if program is None:
            raise errors.Unprocessable(
                "git is needed to run code from a repository, and is not on the PATH: install it "
                "(Debian, Ubuntu: apt install git; Fedora: dnf install git; macOS: xcode-select --install)"
            )
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            cwd=cwd or "/",
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # without a terminal nothing can ask there
        )
        assert process.stdout is not None, "it was asked for"
        assert process.stderr is not None, "it was asked for"
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                out = group.create_task(process.stdout.read(), name="microlite: output of git")
                complaint = group.create_task(_follow(process.stderr, progress), name="microlite: progress of git")
                group.create_task(process.wait(), name="microlite: end of git")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await asyncio.shield(process.wait())
        return process.returncode or 0, out.result().decode(errors="replace"), complaint.result()


async def _follow(stream: asyncio.StreamReader, progress: Callable[[str], object] | None) -> list[str]:
    """Read what git writes for people: its last lines, and now and then how far it is."""
    clock = asyncio.get_running_loop().time
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    rest, told = "", clock()
    while data := await stream.read(65536):
        *whole, rest = re.split(r"[\r\n]+", rest + data.decode(errors="replace"))
        for line in filter(None, whole):
            step = _STEP.search(line)
            if step is None:
                lines.append(line)
            elif progress is not None and clock() - told >= _BETWEEN:
                told = clock()
                progress(f"{step['what'].lower()}: {step['percent']} %")
    if rest:
        lines.append(rest)
    return list(lines)
