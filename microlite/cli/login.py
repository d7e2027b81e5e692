"""`microlite login` and `microlite logout`."""

from __future__ import annotations

import sys
import time

import click

from microlite.cli.asking import ask, read_secret, warn
from microlite.cli.failure import FAILED, CommandError
from microlite.cli.identity import Bearer, Nobody, find_identity, log_in_of
from microlite.cli.link import connect
from microlite.cli.options import WITHOUT, Options
from microlite.core import errors

STDIN = "-"
"""In place of a token: it is read from stdin."""

NOT_LOGGED_IN = "You are not logged in"
"""What stands where somebody acts without an account of theirs."""


@click.command
@click.argument("id", required=False)
@click.option("--username", "--email", "username", metavar="ID", help="The account, in place of ID.")
@click.option(
    "--password",
    metavar="SECRET",
    help="Its secret. Other users of this machine can read what stands here: better leave it out.",
)
@click.option("--secret-stdin", is_flag=True, help="Read the secret from the first line of stdin.")
@click.option("--token", metavar="TOKEN", help="Log in with a personal access token instead; - reads it from stdin.")
@click.pass_obj
def login(
    options: Options,
    id: str | None,
    username: str | None,
    password: str | None,
    secret_stdin: bool,
    token: str | None,
) -> None:
    """Log in as an account; commands act as it from now on.

    What is not said is asked for, the secret without showing it. Tokens are kept in log-ins.json in the platform's folder,
    which only you can read, and are renewed by themselves. Without a log-in, commands act as the admin of this machine.

    \b
        microlite login ann
        microlite --namespace shop login ann --secret-stdin < secret
        microlite login --token - < token
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from microlite.core.log_ins import LogIns

    if id and username and id != username:
        raise click.UsageError("name one account: ID or --username")
    if token is not None:
        if id or username or password is not None or secret_stdin:
            raise click.UsageError("--token says who you are: leave the account and its secret out")
        _log_in_by_token(options, token)
        return
    account = id or username or ask("Username", "--username")
    secret = read_secret("Password", password, secret_stdin, option="--password")
    with connect(options, identity=Nobody()) as link:
        found = link.ask("auth", "token", id=account, secret=secret)
    with connect(options, identity=Bearer(found["access_token"], "the answer")) as link:
        who = link.ask("auth", "whoami")
    LogIns(options.home).keep(log_in_of(found, who.get("namespace", "default"), who["account"]))
    _welcome(options)


@click.command
@click.pass_obj
def logout(options: Options) -> None:
    """Log out, and act as the admin of this machine again.

    The tokens of the log-in end at the platform, and are forgotten here. A personal access token is only forgotten; end it
    with `microlite auth delete token`.
    """
    from microlite.core.log_ins import LogIns

    log_in = find_identity(options).log_in
    if log_in is None:
        if options.token:
            raise CommandError(f"{NOT_LOGGED_IN}: you act by the token in MICROLITE_TOKEN")
        raise CommandError(NOT_LOGGED_IN)
    trouble = ""
    if log_in.refresh_token:
        try:
            with connect(options, identity=Nobody()) as link:
                link.ask("auth", "logout", token=log_in.refresh_token)
        except CommandError as error:
            trouble = error.detail
        except errors.Error as error:
            if not isinstance(error, errors.BadRequest | errors.Unauthorized):  # those say that it has ended already
                trouble = error.detail
    LogIns(options.home).forget(log_in)
    if trouble:
        raise CommandError(
            f"the log-in of {log_in.account} is forgotten here, but its tokens hold until they expire: {trouble}",
            FAILED,
        )
    click.echo("Successfully logged out.")


def _log_in_by_token(options: Options, token: str) -> None:
    from microlite.cli.token_namespace import token_namespace
    from microlite.core.log_ins import LogIn, LogIns

    if token == STDIN:
        token = sys.stdin.readline()
    else:
        warn("--token")
    token = token.strip()
    if not token:
        raise CommandError("a token cannot be empty")
    own = options if options.says_namespace else options._replace(namespace=token_namespace(token) or "default")
    with connect(own, identity=Bearer(token, "--token")) as link:
        who = link.ask("auth", "inspect", token=token)
    log_in = LogIn(
        namespace=who.get("namespace", "default"),
        account=who["account"],
        access_token=token,
        created=time.time(),
        expires=who["expires"],
    )
    LogIns(options.home).keep(log_in)
    _welcome(options)


def _welcome(options: Options) -> None:
    click.echo("Successfully logged in.")
    if options.token:
        click.echo("Commands act by the token in MICROLITE_TOKEN as long as that is set.", err=True)
    elif options.account == WITHOUT:
        click.echo("Commands with `--account -` act as the admin of this machine all the same.", err=True)
