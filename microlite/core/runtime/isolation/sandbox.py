"""What bubblewrap is told: which files a service sees, and that it sees no process, memory or name of anybody else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.core.runtime.isolation.availability import bwrap_path, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    *("alternatives", "ca-certificates", "gai.conf", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "pki", "protocols", "resolv.conf"),
    *("services", "ssl", "timezone"),
)
_MOST_LINKS: Final = 40


class View:
    """The files that a sandbox shows: those of the system, and what is added. Everything is read-only, but `write`.

    Args:
        hidden: a folder that is empty in the sandbox, wherever it lies, but for what is shown of it: the platform's home.
        write: folders that can be written.
        open_parents: whether another user id has to pass the folders above what is shown.
    """

    def __init__(self, *, hidden: str, write: tuple[str, ...], open_parents: bool) -> None:
        self._hidden = os.path.realpath(hidden)
        self._write = write
        self._open_parents = open_parents
        self._shown: dict[str, str] = {}
        self._links: dict[str, str] = {}

    def show(self, path: str, content: str = "") -> None:
        """Show a file or folder at its place, through whatever links that leads; with another content, if that is given."""
        self._links.update(_links(path))
        real = os.path.realpath(path)
        self._shown[real] = content or real

    def show_interpreter(self, python: str) -> None:
        """Show a Python with its standard library, and the environment that it is of."""
        environment = os.path.dirname(os.path.dirname(python))  # noqa: PTH120 - texts
        if os.path.isfile(f"{environment}/pyvenv.cfg"):  # noqa: PTH113 - see above
            self.show(environment)
        self._links.update(_links(python))
        real = Path(os.path.realpath(python))
        prefix = real.parents[1]
        self.show(str(prefix if any(prefix.glob("lib*/python3*/os.py")) else real))

    def words(self, cwd: str = "/") -> list[str]:
        """The command line of bubblewrap, up to the program in the sandbox."""
        words = [bwrap_path(), *namespaces(), "--cap-drop", "ALL"]
        if self._open_parents:  # the program begins as root, and takes its own id itself
            words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        made: dict[str, str] = {}
        for path in _SYSTEM:
            if os.path.islink(path):  # noqa: PTH114 - texts
                words += ["--symlink", os.readlink(path), path]  # noqa: PTH115 - texts
                made[path] = path
            elif os.path.isdir(path):  # noqa: PTH112 - texts
                words += ["--ro-bind", path, path]
                made[path] = path
        for name in _ETC:
            words += ["--ro-bind-try", os.path.realpath(f"/etc/{name}"), f"/etc/{name}"]
        words += ["--proc", "/proc", "--dev", "/dev", *self._perms("1777"), "--tmpfs", "/tmp"]  # noqa: S108 - its own
        folders: set[str] = set()
        outside = [path for path in sorted(self._shown, key=len) if not _lies_in(path, self._hidden)]
        for path in outside:
            words += self._bind(path, made, folders)
        if any(_lies_in(self._hidden, path) for path in outside):
            words += [*self._perms("0755"), "--tmpfs", self._hidden]
            made[self._hidden] = ""
        for path in sorted(self._shown, key=len):
            if _lies_in(path, self._hidden):
                words += self._bind(path, made, folders)
        for link, target in self._links.items():
            if _cover(link, made) in (None, self._hidden):
                words += [*self._parents(link, made, folders), "--symlink", target, link]
        for path in self._write:
            words += [*self._parents(path, made, folders), "--bind", path, path]
        for path in ("/", self._hidden) if self._hidden in made else ("/",):
            words += ["--remount-ro", path]
        return [*words, "--chdir", cwd]

    def _bind(self, path: str, made: dict[str, str], folders: set[str]) -> list[str]:
        content, cover = self._shown[path], _cover(path, made)
        if cover is not None and made[cover] + path[len(cover) :] == content:
            return []  # it is there already
        words = self._parents(path, made, folders)
        made[path] = content
        return [*words, "--ro-bind", content, path]

    def _parents(self, path: str, made: dict[str, str], folders: set[str]) -> list[str]:
        words = []
        for parent in reversed(Path(path).parents[:-1]):
            text = str(parent)
            if text not in folders and text not in _GIVEN and _cover(text, made) in (None, self._hidden):
                folders.add(text)
                words += [*self._perms("0755"), "--dir", text]
        return words

    def _perms(self, mode: str) -> list[str]:
        return ["--perms", mode] if self._open_parents else []


_GIVEN: Final = ("/tmp", "/proc", "/dev", "/etc")  # noqa: S108 - those of the sandbox


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _cover(path: str, made: dict[str, str]) -> str | None:
    """The nearest folder in the sandbox, already there, that the path lies in."""
    return max((folder for folder in made if _lies_in(path, folder)), key=len, default=None)


def _links(path: str) -> Iterator[tuple[str, str]]:
    """The symbolic links on the way to a path, each with its target."""
    followed = 0
    place, rest = "/", [part for part in path.split("/") if part]
    while rest and followed < _MOST_LINKS:
        part = rest.pop(0)
        if part == "..":
            place = os.path.dirname(place)  # noqa: PTH120 - texts
            continue
        step = os.path.join(place, part)  # noqa: PTH118 - texts
        if os.path.islink(step):  # noqa: PTH114 - texts
            followed += 1
            target = os.readlink(step)  # noqa: PTH115 - texts
            yield step, target
            place = "/" if target.startswith("/") else place
            rest = [part for part in target.split("/") if part not in ("", ".")] + rest
        else:
            place = step
