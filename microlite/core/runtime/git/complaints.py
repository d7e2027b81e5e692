"""What git says when it fails, as a sentence that says what to do. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.user_config import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.runtime.git.address import Address

_UNKNOWN_HOST: Final = re.compile(r"could not resolve|name or service not known|nodename nor servname|no address assoc")
_PRIVATE: Final = re.compile(
    r"could not read (?:username|password)|authentication failed|terminal prompts disabled|error: 40[13]"
    r"|repository .*not found|not found\b|error: 404|access denied|could not be found"
)
_SSH_KEY: Final = re.compile(r"permission denied|too many authentication failures|no supported authentication")
_HOST_KEY: Final = re.compile(r"host key verification failed")
_UNREACHABLE: Final = re.compile(
    r"timed out|connection refused|failed to connect|couldn't connect|no route to host|network is unreachable"
    r"|connection reset|less than \d+ bytes/sec|operation too slow"
)
_CERTIFICATE: Final = re.compile(r"certificate|\bssl\b|\btls\b")
_OWNER: Final = re.compile(r"dubious ownership")
_NO_REPOSITORY: Final = re.compile(r"does not appear to be a git repository|not a git repository|no such file")
_NOT_ALLOWED: Final = re.compile(r"transport .* not allowed")
_NOT_GIVEN: Final = re.compile(r"not our ref|unadvertised object|couldn't find remote ref")
_NO_SPACE: Final = re.compile(r"no space left|disk quota exceeded")


class NotGiven(errors.NotFound):
    """The repository does not give this commit by its id: it has none, or only gives what a branch or tag names."""


def explain(address: Address, lines: Sequence[str], *, has_credential: bool) -> errors.Error:
    """The error for a person.

    Args:
        address: what was to be fetched.
        lines: what git wrote last.
        has_credential: whether the host was shown one.
    """
    said = "\n".join(lines).lower()
    where, host = address.repository, address.host
    if _NO_SPACE.search(said):
        return errors.InsufficientStorage(f"{where}: the disk is full")
    if _NOT_GIVEN.search(said):
        return NotGiven(f"{where}: has no commit {address.ref!r}")
    if _UNKNOWN_HOST.search(said):
        return errors.NotFound(f"{where}: there is no host {host}, or this machine is offline")
    if _HOST_KEY.search(said):
        return errors.Forbidden(
            f"{where}: this machine does not know the key of {host}: connect once by hand (ssh {host}) and check it"
        )
    if _SSH_KEY.search(said) and not address.web:
        return errors.Forbidden(f"{where}: {host} takes none of your ssh keys: add one there, or to your ssh agent")
    if _OWNER.search(said):
        return errors.Forbidden(
            f"{where}: belongs to another user; if you trust it: git config --global --add safe.directory {where}"
        )
    if _UNREACHABLE.search(said):
        return errors.BadGateway(f"{where}: {host} does not answer: {_telling(lines, _UNREACHABLE)}")
    if address.web and _PRIVATE.search(said):
        return _private(address, has_credential=has_credential)
    if _CERTIFICATE.search(said) and address.web:
        return errors.BadGateway(f"{where}: the certificate of {host} cannot be trusted: {_telling(lines)}")
    if _NOT_ALLOWED.search(said):
        return errors.Forbidden(f"{where}: leads to a transport that is not used to fetch code: {_telling(lines)}")
    if _NO_REPOSITORY.search(said) or _PRIVATE.search(said):
        return errors.NotFound(f"{where}: there is no git repository there, or you may not see it")
    return errors.BadGateway(f"{where}: git failed: {_telling(lines)}")


def _private(address: Address, *, has_credential: bool) -> errors.Error:
    host = address.host
    key = f"{CREDENTIALS}{host}"
    if has_credential:
        return errors.Forbidden(
            f"{address.repository}: there is no such repository, or the credential for {host} does not open it: "
            f"microlite user config set {key} <token>"
        )
    hint = "" if address.repository.endswith(".git") else "; if its name has more parts, end it with .git"
    return errors.NotFound(
        f"{address.repository}: there is no such repository, or it is private: "
        f"microlite user config set {key} <token>{hint}"
    )


def _telling(lines: Sequence[str], wanted: re.Pattern[str] = re.compile(r"^(?:fatal|error): ")) -> str:
    """The line that says most, without git's mark: the last that is as wanted, else the last."""
    line = next(
        (line for line in reversed(lines) if wanted.search(line.lower())), (list(lines) or ["it said nothing"])[-1]
    )
    return line.removeprefix("fatal: ").removeprefix("error: ").removeprefix("ssh: ").strip()
