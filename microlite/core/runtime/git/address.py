"""What a user writes to name a folder of a git repository at a ref: told from other words, taken apart and checked.

Forms: `github.com/o/r/path@ref` with any host, `https://…`, `ssh://…`, `git://…`, `git@host:o/r.git`, `file:///…`, a
path to a repository on this disk, and short names below a base. Nothing here runs git; only for repositories on this
disk is the disk looked at.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMES: Final = ("https", "http", "ssh", "git", "file")
"""The transports that are used; git knows more, of which `ext::` runs any program."""

_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCP: Final = re.compile(r"(?P<user>[A-Za-z0-9][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?P<rest>[^/].*|/[^/].*)")
_SHORT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*(?:@.+)?")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?", re.IGNORECASE)
_NOT_IN_REFS: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_END: Final = "//"
"""Marks where the repository ends and the folder in it begins, where the address does not tell."""
_OWNER_AND_NAME: Final = 2


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of a repository, at a ref.

    Attributes:
        repository: as it is shown, and the beginning of `text`.
        url: what git is given.
        host: with its port if it has one; empty for a repository on this disk.
        path: of the folder or file in the repository, without slashes around it; empty for its root.
        ref: a branch, tag or commit; empty for the default branch.
    """

    repository: str
    url: str
    host: str = ""
    path: str = ""
    ref: str = ""

    @property
    def place(self) -> str:
        """Repository and path, without the ref."""
        if not self.path:
            return self.repository
        return f"{self.repository}{'' if self.repository.endswith('/') else '/'}{self.path}"

    @property
    def text(self) -> str:
        """The address in one word; read again, it is the same address."""
        return f"{self.place}@{self.ref}" if self.ref else self.place

    @property
    def project(self) -> str:
        """The name of the repository."""
        return re.split("[/:]", self.repository.rstrip("/"))[-1].removesuffix(".git")

    @property
    def name(self) -> str:
        """The last element of the path, or the name of the repository."""
        return self.path.rpartition("/")[2] or self.project

    @property
    def transport(self) -> str:
        """One of `SCHEMES`."""
        scheme, separator, _ = self.url.partition("://")
        return scheme if separator else "ssh"

    @property
    def web(self) -> str:
        """Scheme and host, if credentials can be used for it; else empty."""
        return f"{self.transport}://{self.host}" if self.transport in ("https", "http") else ""

    def at(self, path: str) -> Address:
        """Another folder or file of the same repository, at the same ref."""
        return msgspec.structs.replace(self, path="" if path == "." else path)


class _Split(NamedTuple):
    repository: str
    path: str


def parse_address(typed: str, *, base: str = "") -> Address | None:
    """The address that a word is; None if it looks like none.

    Args:
        typed: the word.
        base: where short names such as `helloworld` are to be found; empty to know none.

    Raises:
        BadRequest: it looks like an address, and is wrong or not allowed; says why.
    """
    if "://" in typed:
        return _of_url(typed)
    if re.match(r"[A-Za-z0-9+.-]+::", typed):
        raise errors.BadRequest(f"{typed}: only {', '.join(SCHEMES)} and git@host:path can be used to fetch code")
    if (scp := _SCP.fullmatch(typed)) is not None:
        return _of_scp(typed, scp)
    if typed.startswith(("/", ".", "~")):
        return None
    host, slash, rest = typed.partition("/")
    if slash and rest and ("." in host or ":" in host) and "@" not in host:
        return _of_host(typed, "https", host, rest, shown=host)
    if base and _SHORT.fullmatch(typed):
        return parse_address(f"{base.rstrip('/')}/{typed}")
    return None


def of_path(path: str) -> Address | None:
    """The address that an absolute path is: into a bare repository, or into any with `@ref` behind it. Else None.

    Raises:
        BadRequest: what stands behind the `@` can be no ref.
    """
    if not os.path.exists(path):  # noqa: PTH110 - a text
        for found in re.finditer("@", path):
            split = _on_disk(os.path.normpath(path[: found.start()]))
            if split is not None:
                ref = path[found.end() :] or "@"
                return _checked(path, split.repository, _file_url(split.repository), "", split.path, ref)
    split = _on_disk(path.rstrip("/"))
    if split is None or not _is_bare(split.repository):
        return None
    return _checked(path, split.repository, _file_url(split.repository), "", split.path, "")


def address_of(source: str) -> Address | None:
    """The address that a source of a request is, which holds absolute paths and addresses; None for a folder or file.

    Raises:
        Error: it looks like an address, and is wrong or not allowed; says why.
    """
    return of_path(source) if source.startswith("/") else parse_address(source)


def is_pin(ref: str) -> bool:
    """Whether a ref has the form of a commit."""
    return _COMMIT.fullmatch(ref) is not None


def _of_url(typed: str) -> Address:
    scheme, _, rest = typed.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        raise errors.BadRequest(f"{typed}: only {', '.join(SCHEMES)} and git@host:path can be used to fetch code")
    if scheme == "file":
        return _of_file(typed, rest)
    authority, slash, rest = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if ":" in user:
        where = host.rpartition("@")[2] or "<host>"
        raise errors.BadRequest(
            f"{scheme}://…@{where}/{rest}: a password does not belong into an address; "
            f"keep it with: microlite user config set git.credentials.{where}"
        )
    if not slash or not rest.strip("/"):
        raise errors.BadRequest(f"{typed}: names a host and no repository: write {scheme}://host/owner/repository")
    if scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise errors.BadRequest(f"{typed}: http would send code and credentials for everyone to read: use https")
    if at and not _USER.fullmatch(user):
        raise errors.BadRequest(f"{typed}: {user!r} is no name of a user")
    if scheme in ("https", "http"):
        plain = scheme == "https" and ("." in host or ":" in host)
        return _of_host(typed, scheme, host, rest, shown=host if plain else f"{scheme}://{host}")
    login = f"{user}@" if at else ""
    return _of_host(typed, scheme, host, rest, shown=f"{scheme}://{login}{host}", login=login)


def _of_host(typed: str, scheme: str, host: str, rest: str, *, shown: str, login: str = "") -> Address:
    if not _HOST.fullmatch(host):
        raise errors.BadRequest(f"{typed}: {host!r} is no name of a host")
    place, ref = _cut_ref(rest)
    repository, path = _split(typed, place)
    url = f"{scheme}://{login}{host}/{repository.removesuffix(_END)}"
    if re.match(r"(?:-/)?(?:tree|blob|src)/", path) and host.lower() in ("github.com", "gitlab.com", "bitbucket.org"):
        raise errors.BadRequest(
            f"{typed}: is the address of a page: write {shown}/{repository}/<folder>@<branch> instead"
        )
    return _checked(typed, f"{shown}/{repository}", url, host, path, ref)


def _of_scp(typed: str, found: re.Match[str]) -> Address:
    place, ref = _cut_ref(found["rest"])
    repository, path = _split(typed, place)
    login = f"{found['user']}@{found['host']}"
    url = f"{login}:{repository.removesuffix(_END)}"
    return _checked(typed, f"{login}:{repository}", url, found["host"], path, ref)


def _of_file(typed: str, rest: str) -> Address:
    host, slash, place = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise errors.BadRequest(f"{typed}: write file:///path: a repository on this disk")
    place, ref = _cut_ref(place)
    split = _on_disk("/" + unquote(place).strip("/"))
    if split is None:
        raise errors.NotFound(f"{typed}: there is no git repository at /{unquote(place)}")
    return _checked(typed, _file_url(split.repository), _file_url(split.repository), "", split.path, ref)


def _cut_ref(text: str) -> tuple[str, str]:
    """What stands before and behind the `@`; one at the beginning of an element belongs to the path."""
    found = re.search(r"(?<=[^/])@", text)
    return (text[: found.start()], text[found.end() :] or "@") if found else (text, "")


def _split(typed: str, place: str) -> _Split:
    """Where the repository ends: behind `.git`, before `//`, else behind owner and name."""
    if _END in place:
        repository, _, path = place.partition(_END)
        return _Split(repository.strip("/") + _END, path.strip("/"))
    parts = place.strip("/").split("/")
    for count, part in enumerate(parts, 1):
        if part.endswith(".git") and part != ".git":
            return _joined(parts, count)
    if len(parts) < _OWNER_AND_NAME:
        raise errors.BadRequest(f"{typed}: names no repository: write host/owner/repository, or end its name with .git")
    return _joined(parts, _OWNER_AND_NAME)


def _joined(parts: Sequence[str], count: int) -> _Split:
    return _Split("/".join(parts[:count]), "/".join(parts[count:]))


def _checked(typed: str, repository: str, url: str, host: str, path: str, ref: str) -> Address:
    for part in (*url.partition("://")[2].split("/"), *path.split("/")):
        if part in (".", "..") or part == ".git":
            raise errors.BadRequest(f"{typed}: {part!r} cannot stand in an address")
    if re.search(r"[\x00-\x20\x7f?#\\]", url + ("" if not host else path)):
        raise errors.BadRequest(f"{typed}: blanks, ?, # and \\ cannot stand in an address")
    if ref and (ref.startswith(("-", "/", ".")) or ref.endswith(("/", ".")) or ref == "@" or _NOT_IN_REFS.search(ref)):
        raise errors.BadRequest(f"{typed}: {ref!r} can be no branch, tag or commit")
    return Address(repository=repository, url=url, host=host, path=path, ref=ref)


def _file_url(path: str) -> str:
    return f"file://{quote(path)}"


def _on_disk(place: str) -> _Split | None:
    """The repository that a path leads to or into: the nearest one above it."""
    folder = place
    while True:
        if _is_bare(folder) or Path(folder, ".git").exists():
            return _Split(folder, place[len(folder) :].strip("/"))
        above = folder.rpartition("/")[0]
        if not above:
            return None
        folder = above


def _is_bare(folder: str) -> bool:
    """Whether a folder is a repository without a working tree."""
    path = Path(folder)
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
