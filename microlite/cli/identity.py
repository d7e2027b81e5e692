"""As whom the command line acts: the account that has logged in, that of a token, or the admin of this machine."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.cli.commands import PROGRAM
from microlite.cli.failure import UNAUTHORIZED, CommandError
from microlite.cli.options import WITHOUT
from microlite.core import errors
from microlite.core.context import NOBODY

if TYPE_CHECKING:
    from microlite.cli.options import Options
    from microlite.core.log_ins import LogIn, LogIns
    from microlite.core.rpc.blocking import BlockingClient

_TIMEOUT: Final = 10.0
"""Seconds for an answer about a token."""


class Identity:
    """For whom calls are made. This one is the admin of the machine: whoever is at the platform's socket.

    Attributes:
        log_in: the log-in, where there is one.
    """

    log_in: LogIn | None = None

    def token(self, client: BlockingClient) -> str:
        """What goes along with a call, for `frames.Call.token`.

        Args:
            client: by which it is renewed if that is due.

        Raises:
            CommandError: the log-in has ended.
        """
        return ""

    def explain(self, client: BlockingClient, error: errors.Unauthorized) -> Exception:
        """What to raise where a call was refused for want of an account: whether that is the token's fault."""
        return error


class Nobody(Identity):
    """Nobody: for what is asked before there is an account."""

    def token(self, client: BlockingClient) -> str:
        """See `Identity`."""
        return NOBODY


class Bearer(Identity):
    """Whom a token stands for.

    Args:
        token: that was given.
        source: where it comes from, for people.
    """

    def __init__(self, token: str, source: str) -> None:
        self._token = token
        self._source = source

    def token(self, client: BlockingClient) -> str:
        """See `Identity`."""
        return self._token

    def explain(self, client: BlockingClient, error: errors.Unauthorized) -> Exception:
        """See `Identity`."""
        if _holds(client, "", self._token):
            return error
        return CommandError(f"the token in {self._source} is not accepted: {error.detail}", UNAUTHORIZED)


class LoggedIn(Identity):
    """An account that has logged in here.

    Args:
        log_ins: keep it.
        log_in: its tokens, as far as they are known.
    """

    def __init__(self, log_ins: LogIns, log_in: LogIn) -> None:
        self._log_ins = log_ins
        self.log_in: LogIn = log_in

    def token(self, client: BlockingClient) -> str:
        """See `Identity`."""
        if self.log_in.is_due(time.time()):
            if self.log_in.refresh_token:
                self.log_in = self._renew(client)
            elif self.log_in.expires <= time.time():
                raise ended(self.log_in)
        return self.log_in.access_token

    def explain(self, client: BlockingClient, error: errors.Unauthorized) -> Exception:
        """See `Identity`."""
        log_in = self.log_in
        return error if _holds(client, log_in.namespace, log_in.access_token) else ended(log_in)

    def _renew(self, client: BlockingClient) -> LogIn:
        """New tokens; those that another command has got meanwhile, where one has."""
        with self._log_ins.locked():
            mine = self.log_in
            kept = self._log_ins.find(mine.namespace, mine.account)
            if kept is None:
                raise ended(mine)
            if not kept.is_due(time.time()):
                return kept
            try:
                found = _ask(client, mine.namespace, "token", NOBODY, refresh_token=kept.refresh_token)
            except (errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.BadRequest):
                raise ended(mine) from None
            renewed = log_in_of(found, mine.namespace, mine.account)
            self._log_ins.renew(renewed)
            return renewed


def find_identity(options: Options) -> Identity:
    """For whom the calls of a command are made.

    That is the account of `--account`; else of the token in `MICROLITE_TOKEN`; else of `MICROLITE_ACCOUNT`; else of the
    latest log-in in the namespace, or the latest one of all; and the admin of this machine where nobody has logged in.

    Raises:
        CommandError: an account is named that has not logged in here.
    """
    if options.token:
        return Bearer(options.token, "MICROLITE_TOKEN")
    if options.account == WITHOUT or not (options.account or os.path.lexists(options.home / "log-ins.json")):
        return Identity()
    from microlite.core.log_ins import LogIns

    log_ins = LogIns(options.home)
    if not options.account:
        found = log_ins.current(options.namespace)
        return LoggedIn(log_ins, found) if found is not None else Identity()
    found = log_ins.find(options.namespace, options.account)
    if found is None:
        raise CommandError(
            f"the account {options.account} has not logged in to the namespace {options.namespace} here; log in with: "
            f"{login_command(options.namespace, options.account)}",
            UNAUTHORIZED,
        )
    return LoggedIn(log_ins, found)


def _ask(client: BlockingClient, namespace: str, endpoint: str, token: str, **fields: object) -> dict[str, Any]:
    answer = client.call(
        "auth", endpoint, msgspec.msgpack.encode(fields), namespace=namespace, timeout=_TIMEOUT, token=token
    )
    found: dict[str, Any] = msgspec.msgpack.decode(answer)
    return found


def log_in_of(token: dict[str, Any], namespace: str, account: str) -> LogIn:
    """A log-in from what `auth.token` answers."""
    from microlite.core.log_ins import LogIn

    return LogIn(
        namespace=namespace,
        account=account,
        access_token=token["access_token"],
        refresh_token=token.get("refresh_token", ""),
        created=token["created"],
        expires=token["expires"],
    )


def ended(log_in: LogIn) -> CommandError:
    """What to say of a log-in that holds no more: it has expired, or was revoked."""
    return CommandError(
        f"the log-in of {log_in.account} has ended; log in again with: "
        f"{login_command(log_in.namespace, log_in.account)}",
        UNAUTHORIZED,
    )


def login_command(namespace: str, account: str) -> str:
    """The words by which an account logs in."""
    option = f"--namespace {namespace} " if namespace != "default" else ""
    return f"{PROGRAM} {option}login {account}"


def _holds(client: BlockingClient, namespace: str, token: str) -> bool:
    """Whether the platform accepts a token; True where it cannot be asked."""
    try:
        _ask(client, namespace, "whoami", token)
    except errors.Unauthorized:
        return False
    except errors.Error:
        return True
    return True
