"""Commits of repositories, as folders of this disk: fetched once, kept by commit, removed when nothing needs them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.runtime.git.complaints import NotGiven
from microlite.core.runtime.git.refs import Kind, Target, parse_listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from microlite.core.clock import Clock
    from microlite.core.runtime.git.address import Address
    from microlite.core.runtime.git.program import Git

UNUSED: Final = 7 * 86400.0
"""Seconds for which a commit is kept that nothing uses any more."""

_SHORT: Final = 12
_UNFINISHED: Final = ".new-"


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """One commit as a folder.

    Attributes:
        folder: absolute, by the name of the repository; the root of its tree, without history. An empty folder `.git`
            marks it as the root of a project, as in a clone.
        commit: its full id.
        kind: what the ref of the address is.
    """

    folder: str
    commit: str
    kind: Kind


class Checkouts:
    """All commits that a home keeps.

    A folder lies below the hash of its repository's address, so that a commit that is known from one repository is never
    taken for that of another, which may be one that its owner cannot read.

    Args:
        folder: `<home>/checkouts`.
        git: fetches.
        clock: tells how long something was not used.
    """

    def __init__(self, folder: Path, git: Git, clock: Clock) -> None:
        self._folder = folder.absolute()
        self._git = git
        self._clock = clock
        self._turns: dict[Path, asyncio.Lock] = {}
        self._number = 0

    async def get(self, address: Address, progress: Callable[[str], object]) -> Checkout:
        """The commit that the address means now, fetched if it is not there.

        Args:
            address: of a folder in it, which is not looked at.
            progress: is called with each line that tells how it goes on.

        Raises:
            Error: there is no such repository or ref, or it cannot be fetched; says what to do.
        """
        # A whole commit never means another one: where it is here, nobody has to be asked.
        if len(address.ref) in (40, 64) and self._place(address, address.ref).is_dir():
            return self._used(address, address.ref, Kind.COMMIT)
        progress(f"asking {address.repository}")
        target = await self._resolve(address)
        if target.wanted or self._place(address, target.commit).is_dir():
            commit = await self._ensure(address, target, progress)
        else:
            commit = await self._search(address, target.commit, progress)
        return self._used(address, commit, target.kind)

    async def restore(self, address: Address, commit: str, progress: Callable[[str], object]) -> None:
        """Fetch a commit again whose folder is gone.

        Raises:
            Error: it cannot be fetched.
        """
        if not self._place(address, commit).is_dir():
            await self._ensure(address, Target(Kind.COMMIT, commit, commit), progress)

    async def prune(self, keep: Collection[str]) -> list[str]:
        """Remove commits that nothing uses and nobody asked for in a week, and what was never finished.

        Args:
            keep: folders that are in use, or folders in them.

        Returns:
            The folders that are gone.
        """
        return await asyncio.to_thread(self._prune, tuple(keep))

    async def _resolve(self, address: Address) -> Target:
        said = await self._git.ask(
            address, "ls-remote", "--quiet", "--symref", "--", address.url, "HEAD", "refs/heads/*", "refs/tags/*"
        )
        listing = parse_listing(said)
        target = listing.find(address.ref)
        if target is not None:
            return target
        if not address.ref:
            raise errors.NotFound(
                f"{address.repository}: has no default branch, or nothing in it yet: name one: @branch"
            )
        near = listing.near(address.ref)
        there = f"; there are {', '.join(near)}" if near else "; it is empty"
        raise errors.NotFound(f"{address.repository}: has no branch, tag or commit {address.ref!r}{there}")

    async def _ensure(self, address: Address, target: Target, progress: Callable[[str], object]) -> str:
        place = self._place(address, target.commit)
        async with self._turns.setdefault(place, asyncio.Lock()):
            if not place.is_dir():
                progress(f"fetching {address.repository} at {target.commit[:_SHORT]}")
                async with self._aside(address) as tree:
                    await self._fetch(address, target, tree, progress)
                    await self._settle(tree, target.commit, place, progress)
        return target.commit

    async def _fetch(self, address: Address, target: Target, tree: Path, progress: Callable[[str], object]) -> None:
        shallow = ("--depth=1", "--no-tags", "--no-recurse-submodules", "--progress", "--", address.url)
        try:
            await self._git.fetch(address, tree, progress, *shallow, target.commit)
        except NotGiven:
            # Some hosts give no commit by its id: then what leads to it, with all that is before.
            await self._fetch_all(address, tree, progress)
            await self._find(address, tree, target.commit)

    async def _fetch_all(self, address: Address, tree: Path, progress: Callable[[str], object]) -> None:
        await self._git.fetch(
            address, tree, progress,
            "--no-recurse-submodules", "--progress", "--", address.url,
            "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*",
        )  # fmt: skip

    async def _search(self, address: Address, short: str, progress: Callable[[str], object]) -> str:
        """An abbreviated commit that no branch or tag ends with: known only to the whole history."""
        progress(f"fetching the history of {address.repository} to find {short}")
        async with self._aside(address) as tree:
            await self._fetch_all(address, tree, progress)
            commit = await self._find(address, tree, short)
            place = self._place(address, commit)
            async with self._turns.setdefault(place, asyncio.Lock()):
                if not place.is_dir():
                    await self._settle(tree, commit, place, progress)
        return commit

    async def _find(self, address: Address, tree: Path, commit: str) -> str:
        try:
            said = await self._git.local(tree, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        except errors.Unprocessable:
            raise errors.NotFound(f"{address.repository}: has no branch, tag or commit {commit!r}") from None
        return said.strip()

    @contextlib.asynccontextmanager
    async def _aside(self, address: Address) -> AsyncIterator[Path]:
        """An empty repository to fetch into, without the hooks that git's template may have; gone afterwards."""
        self._number += 1
        aside = self._folder / f"{_UNFINISHED}{os.getpid()}-{self._number}"
        tree = aside / address.project
        await asyncio.to_thread(tree.mkdir, 0o700, parents=True)
        self._folder.chmod(0o700)
        try:
            await self._git.local(tree, "init", "--quiet", "--template=", ".")
            yield tree
        finally:
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)

    async def _settle(self, tree: Path, commit: str, place: Path, progress: Callable[[str], object]) -> None:
        """Write the files of a commit, and give them their place when all of them are there."""
        await self._git.local(tree, "checkout", "--quiet", "--detach", "--no-recurse-submodules", commit)
        if (tree / ".gitmodules").is_file():
            progress("its submodules are not fetched")
        await asyncio.to_thread(_move, tree, place)

    def _place(self, address: Address, commit: str) -> Path:
        repository = hashlib.sha256(address.url.encode()).hexdigest()[:_SHORT]
        return self._folder / repository / commit

    def _used(self, address: Address, commit: str, kind: Kind) -> Checkout:
        place, now = self._place(address, commit), self._clock.now()
        os.utime(place, (now, now))
        return Checkout(folder=str(place / address.project), commit=commit, kind=kind)

    def _prune(self, keep: tuple[str, ...]) -> list[str]:
        own = f"{_UNFINISHED}{os.getpid()}-"
        for aside in self._folder.glob(f"{_UNFINISHED}*"):
            if not aside.name.startswith(own):  # one platform a home: that one is gone
                shutil.rmtree(aside, ignore_errors=True)
        gone: list[str] = []
        now = self._clock.now()
        for place in sorted(self._folder.glob("[0-9a-f]*/[0-9a-f]*")):
            if any(path.startswith(f"{place}{os.sep}") for path in keep):
                os.utime(place, (now, now))
            elif place.stat().st_mtime < now - UNUSED:
                aside = self._folder / f"{own}{place.name}"
                place.rename(aside)  # first, so that nothing half-removed counts
                shutil.rmtree(aside, ignore_errors=True)
                gone.append(str(place))
        return gone


def _move(tree: Path, place: Path) -> None:
    """Take the history out of a tree, and move the folder that it lies in."""
    shutil.rmtree(tree / ".git")
    (tree / ".git").mkdir()
    place.parent.mkdir(mode=0o700, exist_ok=True)
    tree.parent.rename(place)
