"""Unpacking the one file: under a lock, aside, and put in place by one rename.

Whatever happens on the way (a second start, a kill, a full disk), an extraction is there as a whole or not at all.
shiv's code does the extraction; what is around it is ours. The build copies this module into microlite.pyz.
"""
# One style with the modules beside it, which run at each start.
# ruff: noqa: PTH102, PTH104, PTH118, PTH123, PTH208, PTH211

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from .cleaning import SPARED, locked, remove_leftovers, remove_unused
from .folder import LIBRARY, CacheError, choose
from .tree import boot, hold, settled

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _Window(io.RawIOBase):
    """The bytes [start, start + size) of an open file, as a file: the payload inside the archive."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Payload(zipfile.ZipFile):
    """The payload; extracting from it shows how far it is, on a terminal."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._total = len(self.infolist())
        self._done = 0
        self._shown = -1

    def extract(self, member: Any, path: Any = None, pwd: bytes | None = None) -> str:
        extracted = super().extract(member, path, pwd)
        self._done += 1
        percent = 100 * self._done // self._total
        if percent != self._shown and sys.stderr.isatty():
            self._shown = percent
            sys.stderr.write(f"\rmicrolite: unpacking (once for this version) {percent:3} %")
            sys.stderr.flush()
        return extracted

    def close(self) -> None:
        if self._shown >= 0:
            sys.stderr.write("\r\x1b[K")  # the line has done its work
            sys.stderr.flush()
            self._shown = -1
        super().close()


@contextlib.contextmanager
def _payload(archive: str, expected: object) -> Iterator[_Payload]:
    """Open the payload of ``archive``, whose id must be ``expected``."""
    try:
        with open(archive, "rb") as file, zipfile.ZipFile(file) as outer:
            entry = outer.getinfo("payload.zip")
            file.seek(entry.header_offset + 26)  # the local header's lengths of name and extra field
            lengths = file.read(4)
            start = entry.header_offset + 30 + sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
            with io.BufferedReader(_Window(file, start, entry.file_size)) as window, _Payload(window) as payload:
                if json.loads(payload.read("environment.json"))["build_id"] != expected:
                    raise CacheError(f"{archive} was replaced while it started; start it again")
                yield payload
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise CacheError(f"{archive} is damaged ({error}); get a fresh copy") from error


def _library_targets(site_packages: str) -> dict[str, str]:
    found = {}
    for entry in os.listdir(site_packages):
        package, _, rest = entry.partition("-")
        if package in LIBRARY and (not rest or rest.endswith(".dist-info")):
            found[entry] = os.path.join("..", "site-packages", entry)
    return found


def _fill(payload: _Payload, tree: str) -> None:
    """Unpack into the new folder ``tree``: ``site-packages/``, ``library/`` and the note of the boot."""
    import _bootstrap  # type: ignore[import-not-found]  # shiv's, inside the archive

    # Its own lock polls for ever where locks do not work; ours is around this already.
    _bootstrap.FileLock = contextlib.nullcontext
    _bootstrap.extract_site_packages(payload, _bootstrap.Path(tree))
    library = os.path.join(tree, "library")
    os.mkdir(library)
    for entry, link in _library_targets(os.path.join(tree, "site-packages")).items():
        os.symlink(link, os.path.join(library, entry))
    note = boot()
    if not note:  # no way to tell a power cut later: have it on disk now
        os.sync()
    with open(os.path.join(tree, ".boot"), "w") as target:
        target.write(note or "verified")


def _whole(payload: _Payload, tree: str) -> bool:
    """Return whether each file of the payload is in ``tree`` as it should be; note it there if so."""
    for entry in payload.infolist():
        if entry.filename.startswith("site-packages"):
            try:
                with open(os.path.join(tree, entry.filename), "rb") as source:
                    if zlib.crc32(source.read()) != entry.CRC:
                        return False
            except OSError:
                return False
    with open(os.path.join(tree, ".boot"), "w") as target:
        target.write("verified")
    return True


def _reason(error: OSError, folder: str, wanted: int) -> str:
    if error.errno in _FULL:
        return (
            f"no space in {folder} to unpack ({wanted // 1_000_000} MB are needed); "
            "free some, or set MICROLITE_CACHE to a folder on another disk"
        )
    return f"cannot unpack into {folder} ({error.strerror}); set MICROLITE_CACHE to a folder of your own"


def unpack(archive: str, build: Mapping[str, object]) -> tuple[str, int]:
    """Unpack ``archive`` into the cache folder, or wait for another process that does.

    Args:
        archive: absolute path of the one file.
        build: the facts the build wrote; see `start.start`.

    Returns:
        Path of the extraction and the descriptor that holds its shared lock.

    Raises:
        CacheError: it cannot be; the message is one line for the user.
    """
    folder = choose(os.environ)
    name, wanted = str(build["name"]), int(str(build["unpacked"]))
    mask = os.umask(0o077)
    try:
        with locked(folder) as alone, _payload(archive, build["payload"]) as payload:
            if alone:
                remove_leftovers(folder)
            found = _placed(payload, folder, name, wanted)
            if alone:
                remove_unused(folder, spare=SPARED)
            return found
    except OSError as error:
        raise CacheError(_reason(error, folder, wanted)) from error
    finally:
        os.umask(mask)


def _placed(payload: _Payload, folder: str, name: str, wanted: int) -> tuple[str, int]:
    tree = os.path.join(folder, name)
    descriptor = hold(tree)
    if descriptor is not None:
        if settled(tree) or _whole(payload, tree):
            return tree, descriptor
        os.close(descriptor)
    if os.path.lexists(tree):
        shutil.rmtree(tree)
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    aside = os.path.join(folder, f".unpacking-{name}-{os.getpid()}")
    try:
        os.mkdir(aside, 0o700)
        _fill(payload, os.path.join(aside, "tree"))
        try:
            os.rename(os.path.join(aside, "tree"), tree)
        except OSError:
            if not os.path.lexists(tree):  # else another start was first, where locks do not work
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    descriptor = hold(tree)
    if descriptor is None:
        raise CacheError(f"{tree} vanished as soon as it was unpacked; start it again")
    return tree, descriptor
