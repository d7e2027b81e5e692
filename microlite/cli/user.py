"""`microlite user`: who you are here, and what is set for you."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from microlite.cli.asking import read_secret
from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.identity import Nobody, find_identity, log_in_of
from microlite.cli.link import connect
from microlite.cli.login import NOT_LOGGED_IN
from microlite.cli.moments import write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_json, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN
from microlite.core.user_config import UserConfig, check_key, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIDDEN = "hidden"
"""Stands for a secret that is set."""


@click.group(cls=Subcommands, invoke_without_command=True)
@output_option
@click.pass_context
def user(context: click.Context, output: str) -> None:
    """Show who you are here; your token, namespace, password and settings.

    Without a log-in, commands act as the admin of this machine, whom the platform knows by its socket.
    """
    if context.invoked_subcommand is not None:
        return
    options = context.ensure_object(Options)
    identity = find_identity(options)
    if identity.log_in is None and not options.token:
        if output == "json":
            print_json({"logged_in": False, **_without_log_in()})
            return
        click.echo(f"{NOT_LOGGED_IN}: commands act as the admin of this machine")
        return
    own = options if identity.log_in is None else options._replace(namespace=identity.log_in.namespace)
    with connect(own, identity=identity) as link:
        who = link.ask("auth", "inspect", token=link.token)
    renewed = identity.log_in is not None and identity.log_in.refresh_token
    if output == "json":
        print_json({"logged_in": True, **who})
        return
    lines = (
        ("user", who["account"]),
        ("name", who.get("name", "")),
        ("type", who.get("type", "") if who.get("type", "user") != "user" else ""),
        ("namespace", who.get("namespace", DEFAULT_NAMESPACE)),
        ("scopes", ", ".join(who.get("scopes", ())) or "none"),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(who.get("metadata", {}).items()))),
        ("by", "MICROLITE_TOKEN" if options.token else ""),
        ("until", "" if renewed or _is_platform_admin(who) else write_time(who["expires"])),
    )
    for name, value in lines:
        if value:
            click.echo(f"{name:9}  {plain(value)}")


@user.command
@click.pass_obj
def token(options: Options) -> None:
    """Print your access token, for a program that sends it as `Authorization: Bearer …`.

    It holds for minutes. For a program that runs longer make a token of its own: `microlite auth create token`.
    """
    with connect(options) as link:
        found = link.token
    if not found:
        raise CommandError(
            f"{NOT_LOGGED_IN}; the token of the admin of this machine stands in {options.home / 'admin.token'}"
        )
    click.echo(found)


@user.group(cls=Subcommands, invoke_without_command=True)
@click.pass_context
def namespace(context: click.Context) -> None:
    """Print the namespace that commands mean, and choose another one."""
    if context.invoked_subcommand is None:
        click.echo(context.ensure_object(Options).namespace)


@namespace.command("set")
@click.argument("name", shell_complete=completes("namespaces"))
@click.pass_obj
def set_namespace(options: Options, name: str) -> None:
    """Let commands mean this namespace where no --namespace says otherwise.

    Where you have logged in to it, they act as that account; else as the one of your latest log-in, which may have no
    right there.
    """
    from microlite.core.log_ins import LogIns

    try:
        with connect(options._replace(namespace=name)) as link:
            link.ask("auth", "rules.list")
    except (CommandError, errors.Error) as error:
        if type(error) is errors.NotFound:  # there is no such namespace; all else may be different tomorrow
            raise
    LogIns(options.home).choose_namespace(name)


@user.group("set", cls=Subcommands, no_args_is_help=True)
def set_of_user() -> None:
    """Change what belongs to your account."""


@set_of_user.command
@click.option("--old-password", metavar="SECRET", help="The one until now. Others can read it there.")
@click.option("--new-password", metavar="SECRET", help="The one from now on. Others can read it there.")
@click.option(
    "--secret-stdin", is_flag=True, help="Read both from stdin: the old one, and the new one on a second line."
)
@click.pass_obj
def password(options: Options, old_password: str | None, new_password: str | None, secret_stdin: bool) -> None:
    """Change your password. Your log-ins elsewhere end by that, and your personal access tokens are deleted."""
    from microlite.core.log_ins import LogIns

    identity = find_identity(options)
    log_in = identity.log_in
    if log_in is None or not log_in.refresh_token:
        raise CommandError(
            f"{NOT_LOGGED_IN} with a password; an admin changes one with: microlite auth update secret ID"
        )
    old = read_secret("Old password", old_password, secret_stdin, option="--old-password")
    new = read_secret("New password", new_password, secret_stdin, option="--new-password", confirmed=True)
    own = options._replace(namespace=log_in.namespace)
    with connect(own, identity=identity) as link:
        link.ask("auth", "accounts.change-secret", id=log_in.account, old_secret=old, new_secret=new)
    with connect(own, identity=Nobody()) as link:
        found = link.ask("auth", "token", id=log_in.account, secret=new)
    LogIns(options.home).keep(log_in_of(found, log_in.namespace, log_in.account))


def _is_platform_admin(who: Mapping[str, Any]) -> bool:
    """Whether it is who has the admin's token, which does not end."""
    return (who.get("namespace"), who["account"]) == (PLATFORM_ADMIN.namespace, PLATFORM_ADMIN.id)


def _without_log_in() -> dict[str, Any]:
    return {
        "account": PLATFORM_ADMIN.id,
        "namespace": PLATFORM_ADMIN.namespace,
        "scopes": PLATFORM_ADMIN.scopes,
    }


@user.group(cls=Subcommands, invoke_without_command=True)
@output_option
@click.pass_context
def config(context: click.Context, output: str) -> None:
    """Show, set and delete your settings: where short names lead, and credentials for git hosts.

    \b
    git.baseurl              where `microlite run helloworld` looks: github.com/owner/repository
    git.credentials.<host>   a token, or user:password, for private repositories on that host

    They lie in user.json in the platform's folder, which only you can read. Secrets are never shown.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if context.invoked_subcommand is None:
        _show(UserConfig(context.ensure_object(Options).home).all(), output)


@config.command
@click.argument("key", required=False, shell_complete=completes("settings"))
@output_option
@click.pass_obj
def get(options: Options, key: str | None, output: str) -> None:
    """Print a setting; without a key, all of them. A secret is shown as hidden."""
    values = UserConfig(options.home).all()
    if key is None:
        _show(values, output)
        return
    key = check_key(key)
    if key not in values:
        raise CommandError(f"nothing is set for {key}; set it with: microlite user config set {key} …")
    value = _shown(key, values[key])
    if output == "json":
        print_json(value)
    else:
        click.echo(value)


@config.command("set")
@click.argument("key", shell_complete=completes("settings"))
@click.argument("value", required=False)
@click.option("--secret-stdin", is_flag=True, help="Read a secret from the first line of stdin, in place of a prompt.")
@click.pass_obj
def set_(options: Options, key: str, value: str | None, secret_stdin: bool) -> None:
    """Set something. A secret is asked for, so that it stays out of the shell's history."""
    key = check_key(key)
    if secret_stdin and not is_secret(key):
        raise click.UsageError(f"--secret-stdin is for secrets, and {key} is none")
    if secret_stdin and value is not None:
        raise click.UsageError("say the value, or --secret-stdin, not both")
    if secret_stdin:
        value = sys.stdin.readline().strip()
    elif value is None:
        value = _ask(key)
    elif is_secret(key):
        click.echo(
            "the secret now stands in the history of your shell; leave it out to be asked, or use --secret-stdin",
            err=True,
        )
    UserConfig(options.home).set(key, value)


@config.command
@click.argument("key", shell_complete=completes("settings"))
@click.pass_obj
def delete(options: Options, key: str) -> None:
    """Forget a setting."""
    UserConfig(options.home).delete(key)


def _ask(key: str) -> str:
    if not is_secret(key):
        raise click.UsageError(f"say the value: microlite user config set {key} <value>")
    if not _can_ask():
        raise click.UsageError(
            f"a secret is wanted for {key}, and nobody can be asked here: give it with --secret-stdin"
        )
    asked: str = click.prompt(f"Token for {key.rpartition('credentials.')[2]}", hide_input=True, err=True)
    return asked


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _shown(key: str, value: str) -> str:
    return _HIDDEN if is_secret(key) else value


def _show(values: Mapping[str, str], output: str) -> None:
    shown = {key: _shown(key, value) for key, value in sorted(values.items())}
    if output == "json":
        print_json(shown)
    else:
        print_table(("KEY", "VALUE"), shown.items())
