"""What the source files below some folders contain, so that a change is told from a mere event. Blocking."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.runtime.tree import folders, is_source_file

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGEST: Final = 4 * 1024 * 1024
_RACY: Final = 1_000_000_000


class _File(msgspec.Struct, frozen=True):
    size: int
    modified: int  # nanoseconds
    inode: int
    hashed: int  # when the content was read, nanoseconds since the epoch
    digest: bytes


class Difference(msgspec.Struct, frozen=True):
    """What a look at the disk found.

    Attributes:
        changed: files that are new or have another content.
        missing: files that were there and are not. An editor may be about to put them back: nothing is forgotten
            until `Snapshot.forget`.
    """

    changed: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class Snapshot:
    """The content, as hashes, of the source files below some folders.

    Args:
        roots: absolute paths of the folders; one that does not exist is empty.
        extensions: of the files that count.
        single: absolute paths of files elsewhere that count too, whatever their names are; they may not exist.
    """

    def __init__(self, roots: Iterable[str], extensions: frozenset[str], single: Iterable[str] = ()) -> None:
        self.roots = tuple(roots)
        self._extensions = extensions
        self._single = frozenset(single)
        self._whole: frozenset[str] = frozenset()
        self._files: dict[str, _File] = {}
        self.folders: frozenset[str] = frozenset()
        """All folders to be watched, as they were at the time of the last `scan`."""

    def scan(self) -> Difference:
        """Walk the folders. Files whose size, time and inode are as before are taken to be as before."""
        self._whole = frozenset(folder for root in self.roots for folder in folders(root))
        beside = {os.path.dirname(path) for path in self._single}  # noqa: PTH120 - texts
        self.folders = self._whole | {folder for folder in beside if os.path.isdir(folder)}  # noqa: PTH112 - as above
        present = {path for path in self._single if os.path.isfile(path)}  # noqa: PTH113 - as above
        for folder in self._whole:
            try:
                with os.scandir(folder) as entries:
                    present.update(entry.path for entry in entries if is_source_file(entry.name, self._extensions))
            except OSError:
                continue
        changed = frozenset(path for path in present if self._differs(path, trust_time=True))
        return Difference(changed, frozenset(self._files.keys() - {path for path in present if path in self._files}))

    def check(self, paths: Iterable[str]) -> Difference:
        """Look at these files, whatever their times say."""
        changed, missing = set[str](), set[str]()
        for path in paths:
            folder, name = os.path.split(path)
            source = path in self._single or (folder in self._whole and is_source_file(name, self._extensions))
            if not source and path not in self._files:
                continue
            if self._differs(path, trust_time=False):
                changed.add(path)
            elif path in self._files and not os.path.lexists(path):
                missing.add(path)
        return Difference(frozenset(changed), frozenset(missing))

    def forget(self, paths: Iterable[str]) -> None:
        """These files are gone for good."""
        for path in paths:
            self._files.pop(path, None)

    def _differs(self, path: str, *, trust_time: bool) -> bool:
        """Whether the file is there with another content than known; it is known from now on."""
        known = self._files.get(path)
        now = time.time_ns()
        try:
            status = os.stat(path)  # noqa: PTH116 - paths are texts here, thousands of them
            if not stat.S_ISREG(status.st_mode):
                return False
            same = known is not None and (known.size, known.modified, known.inode) == (
                status.st_size,
                status.st_mtime_ns,
                status.st_ino,
            )
            # A file may change twice within one tick of its file system's clock: a time near that of our reading
            # proves nothing (git calls such entries racy).
            if trust_time and same and known is not None and known.hashed - known.modified > _RACY:
                return False
            if status.st_size > _LARGEST:
                digest = f"{status.st_mtime_ns}".encode()
            else:
                with open(path, "rb") as file:  # noqa: PTH123 - see above
                    digest = hashlib.blake2b(file.read(_LARGEST), digest_size=16).digest()
        except OSError:
            return False
        self._files[path] = _File(status.st_size, status.st_mtime_ns, status.st_ino, now, digest)
        return known is None or known.digest != digest
