"""What a user has set for themselves, in one file of their home: where short names lead, and credentials for git hosts."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from microlite.core import errors
from microlite.core.private_files import read_private, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASE_URL: Final = "git.baseurl"
"""The key under which short names of services are looked for."""

CREDENTIALS: Final = "git.credentials."
"""What the keys of credentials begin with; behind it stands the host."""

KEYS: Final = {
    BASE_URL: "Where short names of services lead: `microlite run helloworld` runs `<git.baseurl>/helloworld`.",
    f"{CREDENTIALS}<host>": "A token, or `user:password`, for private repositories on that host. Never shown.",
}
"""All keys, with what they are for."""

_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


class Credential(NamedTuple):
    """What opens a git host over HTTP."""

    user: str
    secret: str


class UserConfig:
    """The file, read at each question, so that what is set counts from then on.

    Args:
        home: the folder of the platform.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "user.json"

    @property
    def base_url(self) -> str:
        """Where short names lead; empty if nobody has said so."""
        return self.all().get(BASE_URL, "")

    def credential(self, host: str) -> Credential | None:
        """What opens this host, by its name with its port, else without.

        A token alone goes with a name that every host takes for a token; `user:password` is taken apart.
        """
        values = self.all()
        host = host.lower()
        value = values.get(f"{CREDENTIALS}{host}") or values.get(f"{CREDENTIALS}{host.rpartition(':')[0]}") or ""
        if not value:
            return None
        user, colon, secret = value.partition(":")
        return Credential(user, secret) if colon else Credential(_TOKEN_USERS.get(host, "x-access-token"), value)

    def all(self) -> Mapping[str, str]:
        """All that is set, by key.

        Raises:
            Forbidden: others can read the file.
            BadRequest: it does not hold what this class writes.
        """
        written = read_private(self._path)
        if written is None:
            return {}
        try:
            return msgspec.json.decode(written, type=dict[str, str])
        except msgspec.DecodeError as error:
            raise errors.BadRequest(f"{self._path}: is not what `microlite user config` writes: {error}") from None

    def set(self, key: str, value: str) -> None:
        """Keep a value under a key.

        Raises:
            BadRequest: there is no such key, or it cannot have this value.
        """
        key = check_key(key)
        value = value.strip()
        if not value or any(ord(character) < 32 for character in value):
            raise errors.BadRequest(f"{key}: a value is one line of text")
        if key == BASE_URL and (" " in value or "@" in value.partition("://")[2].partition("/")[0]):
            raise errors.BadRequest(f"{key}: {value!r} is no address: write it like github.com/owner/repository")
        self._write({**self.all(), key: value})

    def delete(self, key: str) -> None:
        """Forget a key.

        Raises:
            NotFound: it is not set.
            BadRequest: there is no such key.
        """
        key = check_key(key)
        values = dict(self.all())
        if values.pop(key, None) is None:
            raise errors.NotFound(f"nothing is set for {key}")
        self._write(values)

    def _write(self, values: Mapping[str, str]) -> None:
        content = msgspec.json.format(msgspec.json.encode(dict(sorted(values.items()))), indent=2)
        write_private(self._path, content + b"\n")


_TOKEN_USERS: Final = {"gitlab.com": "oauth2", "bitbucket.org": "x-token-auth"}
"""The name that goes with a token where it is not `x-access-token`."""


def check_key(key: str) -> str:
    """The key as it is kept.

    Raises:
        BadRequest: there is none of this name; says which is meant.
    """
    tidy = key.strip().lower()
    if tidy == BASE_URL:
        return tidy
    if tidy.startswith(CREDENTIALS):
        host = tidy.removeprefix(CREDENTIALS)
        if not _HOST.fullmatch(host):
            raise errors.BadRequest(f"{key}: {host!r} is no name of a host: write it like {CREDENTIALS}github.com")
        return tidy
    near = difflib.get_close_matches(tidy, KEYS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {' and '.join(KEYS)}"
    raise errors.BadRequest(f"there is no key {key}: {hint}")


def is_secret(key: str) -> bool:
    """Whether the value of a key is never shown."""
    return key.startswith(CREDENTIALS)
