"""The log-ins of a user, in one file of their home: tokens of each account, and which account commands act as."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.private_files import read_private, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE: Final = "log-ins.json"
"""The file, in a home."""

MARGIN: Final = 60.0
"""Seconds before its end when an access token is renewed."""


class LogIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One log-in.

    Attributes:
        namespace: whose account it is.
        account: its id.
        access_token: goes along with each call.
        refresh_token: gives a new pair, once; empty where the log-in cannot be renewed.
        created: when, in seconds since the Unix epoch.
        expires: until when the access token holds; 0 where nobody has said so.
    """

    namespace: str
    account: str
    access_token: str
    refresh_token: str = ""
    created: float = 0.0
    expires: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time for another access token: a minute before the end, or half-way of a shorter life."""
        return 0 < self.expires < now + min(MARGIN, (self.expires - self.created) / 2)


class _Kept(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What stands in the file.

    Attributes:
        namespace: that the user has chosen for commands; empty for that of the latest log-in.
        latest: the namespace of the latest log-in; empty after its log-out.
        current: by namespace, the account as which commands act there.
        log_ins: one for each account.
    """

    namespace: str = ""
    latest: str = ""
    current: dict[str, str] = {}
    log_ins: list[LogIn] = []


class LogIns:
    """The file, read at each question.

    Args:
        home: the folder of the platform.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    @property
    def namespace(self) -> str:
        """The namespace for commands that name none: the chosen one, else that of the latest log-in; empty for neither."""
        kept = self._read()
        if kept.namespace or kept.latest == PLATFORM_NAMESPACE:
            return kept.namespace
        return kept.latest

    def choose_namespace(self, namespace: str) -> None:
        """Let commands that name no namespace mean this one; empty takes that back."""
        with self.locked():
            kept = self._read()
            kept.namespace = namespace
            self._write(kept)

    def all(self) -> list[LogIn]:
        """All of them, by namespace and account."""
        return sorted(self._read().log_ins, key=lambda one: (one.namespace, one.account))

    def current(self, namespace: str) -> LogIn | None:
        """As which commands act in a namespace: the latest log-in there, else the latest of all; None before the first."""
        kept = self._read()
        for place in (namespace, kept.latest):
            found = _find(kept, place, kept.current.get(place, ""))
            if found is not None:
                return found
        return None

    def find(self, namespace: str, account: str) -> LogIn | None:
        """The log-in of an account: of the namespace, else of the platform's own one; None if there is none."""
        kept = self._read()
        return _find(kept, namespace, account) or _find(kept, PLATFORM_NAMESPACE, account)

    def keep(self, log_in: LogIn) -> None:
        """Keep a log-in that was just made: from now on commands act as it."""
        with self.locked():
            kept = self._read()
            _replace(kept, log_in)
            kept.current[log_in.namespace] = log_in.account
            kept.latest = log_in.namespace
            if log_in.namespace != PLATFORM_NAMESPACE and kept.namespace != log_in.namespace:
                kept.namespace = ""
            self._write(kept)

    def renew(self, log_in: LogIn) -> None:
        """Keep the new tokens of a log-in; to be called while `locked`. One that was forgotten meanwhile stays so."""
        kept = self._read()
        if _find(kept, log_in.namespace, log_in.account) is not None:
            _replace(kept, log_in)
            self._write(kept)

    def forget(self, log_in: LogIn) -> None:
        """Forget a log-in. No other one takes its place by itself."""
        with self.locked():
            kept = self._read()
            kept.log_ins = [one for one in kept.log_ins if not _is(one, log_in.namespace, log_in.account)]
            if kept.current.get(log_in.namespace) == log_in.account:
                del kept.current[log_in.namespace]
                if kept.latest == log_in.namespace:
                    kept.latest = ""
            self._write(kept)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this user from changing the file, for as long as the `with` lasts; not for two at once.

        A refresh token works once: who renews a log-in holds this from looking to keeping, so that two commands do not
        show the same one.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> _Kept:
        """What stands there.

        Raises:
            Forbidden: others can read the file.
            BadRequest: it does not hold what this class writes.
        """
        written = read_private(self._path)
        if written is None:
            return _Kept()
        try:
            return msgspec.json.decode(written, type=_Kept)
        except msgspec.DecodeError as error:
            raise errors.BadRequest(
                f"{self._path}: is not what `microlite login` writes: {error}; delete it and log in again"
            ) from None

    def _write(self, kept: _Kept) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")


def _find(kept: _Kept, namespace: str, account: str) -> LogIn | None:
    return next((one for one in kept.log_ins if _is(one, namespace, account)), None)


def _replace(kept: _Kept, log_in: LogIn) -> None:
    kept.log_ins = [*(one for one in kept.log_ins if not _is(one, log_in.namespace, log_in.account)), log_in]


def _is(log_in: LogIn, namespace: str, account: str) -> bool:
    return log_in.namespace == namespace and log_in.account == account
