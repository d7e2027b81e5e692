"""Real platforms as processes, with an interpreter that every user reaches, and all ways in which they isolate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from microlite import connect
from microlite.core.library.caller import Caller
from microlite.core.runtime.isolation.availability import bwrap_path, unreachable, why_not_bwrap, why_not_uid
from tests.conftest import MISSING

REPOSITORY = Path(__file__).parents[2]
STRANGER = 64321
"""A user who is nobody on this machine, for platforms that do not run as root."""

PATIENCE = 20.0


class Way(NamedTuple):
    """A platform of this user that isolates by this mode."""

    mode: str
    user: int


WAYS = {"uid": Way("uid", 0), "bwrap-as-root": Way("bwrap", 0), "bwrap": Way("bwrap", STRANGER)}


@pytest.fixture(scope="session")
def interpreter() -> Iterator[str]:
    """A Python that every user can run, and that finds microlite: a copy, where the one that runs here is closed."""
    site = Path(sysconfig.get_paths()["purelib"])
    closed = [path for path in (Path(sys.executable), site, REPOSITORY) if unreachable(path)]
    if not closed:
        yield sys.executable
        return
    folder = Path(tempfile.mkdtemp(prefix="microlite-python-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield _copy_interpreter(folder, site, closed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_interpreter(folder: Path, site: Path, closed: list[Path]) -> str:
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    left_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "config-*", "ensurepip")
    shutil.copytree(base / "lib" / version, folder / "lib" / version, ignore=left_out, symlinks=True)
    for library in (base / "lib").glob("libpython*"):
        shutil.copy(library, folder / "lib")
    (folder / "bin").mkdir()
    python = folder / "bin" / version
    program = Path(sys.executable).resolve().read_bytes()
    closed_place = os.fsencode(base / "lib")  # where it looks for its own library
    python.write_bytes(program.replace(closed_place + b"\0", b"$ORIGIN/../lib".ljust(len(closed_place), b"\0") + b"\0"))
    python.chmod(0o755)
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir()
    if site in closed:
        shutil.copytree(site, packages, dirs_exist_ok=True, ignore=shutil.ignore_patterns("playwright"))
        for path in packages.glob("*microlite*"):  # leads to the repository
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if REPOSITORY in closed:
        shutil.copytree(REPOSITORY / "microlite", packages / "microlite")
    lines = [str(path) for path in (REPOSITORY, site) if path not in closed]
    (packages / "microlite-test.pth").write_text("".join(f"{line}\n" for line in lines))
    return str(python)


class Server:
    """A platform as a process, with room for services that its user alone can enter."""

    def __init__(self, way: Way, python: str, folder: Path) -> None:
        self.way, self.python, self.folder = way, python, folder
        self.home, self.services, self.isolated = folder / "home", folder / "services", folder / "isolated"
        self.process: subprocess.Popen[bytes]
        self._stack = contextlib.AsyncExitStack()
        self.caller: Caller
        folder.chmod(0o711)
        for made in (self.home, self.services):
            made.mkdir(mode=0o700)
            os.chown(made, way.user, way.user)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self, *words: str) -> None:
        ours, theirs = socket.socketpair()
        words = words or ("--isolate-by", self.way.mode)
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it is quick
            [
                *(self.python, "-m", "microlite", "--home", str(self.home), "server", "--port", "0", "--no-dashboard"),
                *("--ready-fd", str(theirs.fileno()), "--isolate-folder", str(self.isolated), *words),
            ],
            pass_fds=(theirs.fileno(),),
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "SECRET_OF_THE_PLATFORM": "hush"},
            user=self.way.user,
            group=self.way.user,
            extra_groups=[],
        )
        theirs.close()
        ours.setblocking(False)
        said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 4096), PATIENCE)
        ours.close()
        assert said == b"ready", said
        self.caller = await self._stack.enter_async_context(connect(self.home))

    @contextlib.asynccontextmanager
    async def until_left(self) -> AsyncIterator[None]:
        """For one that was started by hand."""
        try:
            yield
        finally:
            await self.__aexit__()

    async def leave(self) -> None:
        await self._stack.aclose()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.leave()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self.process.wait, PATIENCE)

    def write(self, path: str, source: str) -> Path:
        file = self.services / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        for made in (file, *file.parents):
            if made == self.services:
                break
            os.chown(made, self.way.user, self.way.user)
            made.chmod(0o700 if made.is_dir() else 0o600)
        return file

    async def run(self, folder: str, **options: Any) -> dict[str, Any]:
        """Run a service detached, and see to it that it runs."""
        request = {"sources": [str(self.services / folder)], **options}
        statuses: Any = await asyncio.wait_for(self.caller.call("runtime.run", request=request), PATIENCE)
        status: dict[str, Any] = statuses[0]
        assert status["state"] == "running", (status["error"], status["story"])
        return status

    async def call(self, endpoint: str, /, **request: Any) -> Any:
        return await asyncio.wait_for(self.caller.call(endpoint, **request), PATIENCE)

    def processes(self) -> list[int]:
        """Those that the platform, alive or not, has started: all carry the folder in their environment or command."""
        mark, found = str(self.folder).encode(), []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        return [pid for pid in found if pid not in (self.process.pid, os.getpid())]


@pytest.fixture(params=list(WAYS))
async def server(request: pytest.FixtureRequest, interpreter: str) -> AsyncIterator[Server]:
    """A platform for each way of isolating; not started."""
    way = WAYS[request.param]
    if os.geteuid() != 0:
        pytest.skip("starts platforms of several users, which only root can")
    if way.mode == "bwrap" and not bwrap_path():
        pytest.skip(f"{MISSING}bubblewrap")
    reason = why_not_bwrap() if way.mode == "bwrap" else why_not_uid()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="iso-", dir="/var/tmp"))
    try:
        yield Server(way, interpreter, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
