"""Virtual environments for projects with dependencies of their own: made once for each content, and kept.

An environment lies at its final place from the start, since its scripts name their interpreter by an absolute path; it
counts from the moment on when its marker does, which is written last. A lock, which the installer's processes inherit,
keeps a second builder out, also when the first one's platform was killed and its installer still writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import sys
import time
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Final

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from microlite.core import errors
from microlite.core.runtime.installer import Installer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from pathlib import Path

    from microlite.core.clock import Clock
    from microlite.core.runtime.requirements import Requirements

_MARKER: Final = "microlite.json"
_LOCK_RETRY: Final = 0.1
_WEEK: Final = 7 * 86400.0


class Environment(msgspec.Struct, frozen=True):
    """An environment that is ready.

    Attributes:
        key: its name, by its content.
        folder: absolute path.
        python: absolute path of its interpreter.
        bin: absolute path of the folder with its programs, to stand first in `PATH`.
    """

    key: str
    folder: str
    python: str
    bin: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment was made for; the marker's content, and what its key is a hash of.

    Attributes:
        lines: requirements.
        constraints: versions that hold if a package is installed.
        local: hash of local files.
        python: version of the interpreter, `3.13`.
        interpreter: its path.
        library: folder of the library that is made known by a `.pth`.
        version: of microlite.
    """

    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    local: str
    python: str
    interpreter: str
    library: str
    version: str

    def key(self) -> str:
        """The same for the same content, whatever project asks."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:24]


class Environments:
    """All environments of one home.

    Args:
        folder: `<home>/environments`.
        library: the folder that holds microlite and its `needs`, and nothing else: it goes to the end of the path, so
            that what the project pins wins.
        version: of microlite.
        needs: the least version of each package that the library imports, `{"msgspec": "0.22"}`.
        installer: makes environments and installs into them.
        clock: for waiting, and for the age of environments.
        python: the interpreter of the platform, which is that of all environments.
    """

    def __init__(
        self,
        folder: Path,
        *,
        library: Path,
        version: str,
        needs: Mapping[str, str],
        installer: Installer,
        clock: Clock,
        python: str = sys.executable,
    ) -> None:
        self._folder = folder
        self._library = library
        self._version = version
        self._needs = needs
        self._installer = installer
        self._clock = clock
        self._python = python

    def find(self, requirements: Requirements) -> Environment | None:
        """The environment for these requirements, if it is ready."""
        environment = self._environment(self._asked(requirements).key())
        return environment if self._is_ready(environment.key) else None

    async def ensure(
        self, requirements: Requirements, progress: Callable[[str], object] = lambda _: None
    ) -> Environment | None:
        """The environment for these requirements, made now if it was not there.

        Cancelling it ends the installer and leaves nothing behind.

        Args:
            requirements: of the project.
            progress: is called with each line that tells how it goes on; not at all if it was there.

        Returns:
            None if there is nothing to install: the project runs in the environment of the platform.

        Raises:
            errors.Unprocessable: the requirements cannot be met; holds the installer's last lines.
            errors.InsufficientStorage: the disk is full.
        """
        await asyncio.to_thread(self._check_wishes, requirements)
        if not requirements.installs:
            return None
        asked = self._asked(requirements)
        environment = self._environment(asked.key())
        if not self._is_ready(environment.key):
            async with self._locked(environment.key, progress) as lock:
                if not self._is_ready(environment.key):
                    await self._build(asked, requirements, progress, lock)
        # The marker's time is when the environment was last wanted.
        with contextlib.suppress(OSError):
            now = self._clock.now()
            os.utime(self._folder / environment.key / _MARKER, (now, now))
        return environment

    async def prune(self, keep: Collection[str], *, unused_for: float = _WEEK) -> list[str]:
        """Remove environments that are not needed, and what killed platforms left unfinished.

        Args:
            keep: keys of environments that are in use.
            unused_for: only those that nobody asked for in so many seconds.

        Returns:
            the keys of those that are gone.
        """
        return await asyncio.to_thread(self._prune, frozenset(keep), self._clock.now() - unused_for)

    def _asked(self, requirements: Requirements) -> Asked:
        return Asked(
            lines=requirements.lines,
            constraints=requirements.constraints,
            local=requirements.local,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            interpreter=self._python,
            library=str(self._library),
            version=self._version,
        )

    def _environment(self, key: str) -> Environment:
        folder = self._folder.absolute() / key
        return Environment(key, str(folder), str(folder / "bin" / "python"), str(folder / "bin"))

    def _is_ready(self, key: str) -> bool:
        return (self._folder / key / _MARKER).is_file() and (self._folder / key / "bin" / "python").exists()

    async def _build(
        self, asked: Asked, requirements: Requirements, progress: Callable[[str], object], lock: int
    ) -> None:
        key = asked.key()
        folder = self._folder / key
        try:
            await asyncio.to_thread(_remove, folder)  # a killed platform may have left a part of it
            progress(f"installing {requirements.file}")
            await self._installer.install(folder, self._python, requirements, progress, lock)
            await asyncio.to_thread(self._finish, folder, asked, requirements)
        except BaseException as error:
            await asyncio.to_thread(_remove, folder)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.InsufficientStorage(
                    f"the disk is full: no environment for {requirements.folder} could be made in {self._folder}"
                ) from error
            raise
        progress(f"installed {requirements.file}")

    def _finish(self, folder: Path, asked: Asked, requirements: Requirements) -> None:
        sites = list(folder.glob("lib/python*/site-packages"))
        if len(sites) != 1:
            raise errors.Unprocessable(f"{folder}: is no environment of this Python: it has {len(sites)} site-packages")
        self._check_installed(sites[0], requirements)
        (sites[0] / "microlite.pth").write_text(f"{self._library}\n", encoding="utf-8")
        unfinished = folder / f"{_MARKER}.new"
        unfinished.write_bytes(msgspec.json.encode(asked))
        unfinished.replace(folder / _MARKER)

    def _check_wishes(self, requirements: Requirements) -> None:
        """Refuse at once what would end in an environment that cannot run the library."""
        where = f"{requirements.folder}/{requirements.file}"
        running = ".".join(str(part) for part in sys.version_info[:3])
        try:
            python = SpecifierSet(requirements.python)
        except InvalidSpecifier:
            raise errors.Unprocessable(
                f"{requirements.folder}/pyproject.toml: requires-python: {requirements.python!r} is no range of versions"
            ) from None
        if not python.contains(running, prereleases=True):
            raise errors.Unprocessable(
                f"{requirements.folder} needs Python {requirements.python}, and the platform runs on {running}: "
                "start it with another Python"
            )
        for wish in requirements.parsed():
            name = canonicalize_name(wish.name)
            if name == "microlite" and not wish.specifier.contains(self._version, prereleases=True):
                raise errors.Unprocessable(
                    f"{where}: asks for microlite{wish.specifier}, and the platform is {self._version}"
                )
            for exact in wish.specifier:
                if name in self._needs and exact.operator in ("==", "===") and not exact.version.endswith(".*"):
                    self._check_need(name, exact.version, f"{where}: pins")

    def _check_installed(self, site: Path, requirements: Requirements) -> None:
        """What no exact pin told before: an upper bound, or the need of another package."""
        for distribution in distributions(path=[str(site)]):
            name = canonicalize_name(distribution.metadata["Name"])
            if name in self._needs:
                self._check_need(name, distribution.version, f"{requirements.folder}/{requirements.file}: leads to")

    def _check_need(self, name: str, version: str, where: str) -> None:
        least = self._needs[name]
        with contextlib.suppress(InvalidVersion):  # an own version scheme: the import will tell
            if Version(version) < Version(least):
                raise errors.Unprocessable(
                    f"{where} {name} {version}, which is too old: microlite {self._version} needs {name} {least} or later"
                )

    @contextlib.asynccontextmanager
    async def _locked(self, key: str, progress: Callable[[str], object]) -> AsyncIterator[int]:
        """Hold the lock of an environment, whose descriptor is given; wait for whoever has it."""
        path = self._folder / f"{key}.lock"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = False
        while (descriptor := _try_lock(path)) is None:
            if not told:
                progress("waiting for another installation of the same requirements")
                told = True
            await self._clock.sleep(_LOCK_RETRY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _prune(self, keep: frozenset[str], before: float) -> list[str]:
        gone: list[str] = []
        for path in sorted(self._folder.glob("*.lock")):
            key = path.stem
            marker = self._folder / key / _MARKER
            if key in keep or (marker.is_file() and marker.stat().st_mtime > before):
                continue
            descriptor = _try_lock(path)
            if descriptor is None:
                continue  # it is just being made
            try:
                marker.unlink(missing_ok=True)  # first, so that nothing half-removed counts
                if (self._folder / key).exists():
                    _remove(self._folder / key)
                    gone.append(key)
                path.unlink()
            finally:
                os.close(descriptor)
        return gone


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None if somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it may have removed the file: then we hold the lock of a file that nobody else will find.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _remove(folder: Path) -> None:
    for _ in range(3):  # an installer that is being killed may still write
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
    shutil.rmtree(folder)
