"""`microlite user config`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.user_config import UserConfig, check_key, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIDDEN = "hidden"
"""Stands for a secret that is set."""


@click.group(cls=Subcommands)
def user() -> None:
    """Look after what is set for you, on this machine."""


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
