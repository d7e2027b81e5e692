"""`microlite config`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from microlite.cli.completes import completes
from microlite.cli.config_text import entry_rows, explained_lines, for_terminal, plain, rendered, update_lines
from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

secret_option = click.option("-s", "--secret", is_flag=True, help="Show secrets, for admins.")
path_option = click.option(
    "-p", "--path", default="", shell_complete=completes("config_paths"), help="Only what lies there."
)
key_argument = click.argument("key", shell_complete=completes("config_paths"))
optional_key = click.argument("key", required=False, shell_complete=completes("config_paths"))


@click.group(cls=Subcommands)
def config() -> None:
    """Settings that services follow while they run; secrets and history.

    They are typed, and in layers: what is set hides the environment, files, and what services declare in their code.

    \b
        microlite config set shop.limits.max 10
        microlite config get shop.limits.max --explain
        microlite config set shop.mail.password --secret
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


@config.command
@optional_key
@secret_option
@click.option("--all", "everything", is_flag=True, help="The whole configuration.")
@click.option("--explain", is_flag=True, help="Say where each value comes from, and what it hides.")
@output_option
@click.pass_obj
def get(options: Options, key: str | None, secret: bool, everything: bool, explain: bool, output: str) -> None:
    """Print the value at a path: text as it is, everything else as JSON. Secrets are shown as [secret].

    A path is dotted, limits.max; a word with a dot in it stands in double quotes, 'hosts."example.org"'.
    """
    if (key is None) != everything:
        raise click.UsageError("name a path, as in `microlite config get limits.max`, or --all")
    with connect(options) as link:
        if explain:
            found = link.ask("config", "explain", path=key or "", secret=secret)
            if not found and key:
                raise errors.NotFound(f"nothing is set at {key}")
            if output == "json":
                print_json(found)
            else:
                for line in explained_lines(found):
                    click.echo(line)
            return
        value = link.ask("config", "get", path=key or "", secret=secret)
    if output == "json":
        print_json(value)
    else:
        text = plain(value)
        # Exactly as it is for a program, which `color` says; for a person without what a terminal would obey.
        click.echo(for_terminal(text) if sys.stdout.isatty() else text, color=True)


@config.command("set")
@key_argument
@click.argument("value", required=False)
@click.option("-s", "--secret", is_flag=True, help="Keep it encrypted; without a value you are asked for it.")
@click.option("--secret-stdin", is_flag=True, help="Read a secret from stdin, in place of a prompt.")
@click.option("--string", "as_text", is_flag=True, help="Take the value as text, also where it is JSON.")
@click.pass_obj
def set_(options: Options, key: str, value: str | None, secret: bool, secret_stdin: bool, as_text: bool) -> None:
    """Set a value: what is JSON is taken as such, everything else is text. A table is merged leaf by leaf."""
    if secret_stdin:
        if value is not None:
            raise click.UsageError("say the value, or --secret-stdin, not both")
        secret, value = True, sys.stdin.read().removesuffix("\n")
        as_text = True
    elif value is None:
        if not secret:
            raise click.UsageError(f"say the value: microlite config set {key} <value>")
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"a secret is wanted for {key}, and nobody can be asked here: give it with --secret-stdin"
            )
        value = click.prompt(f"Secret for {key}", hide_input=True, err=True)
        as_text = True
    elif secret:
        click.echo(
            "the secret now stands in the history of your shell; leave it out to be asked, or use --secret-stdin",
            err=True,
        )
    with connect(options) as link:
        try:
            link.ask("config", "set", path=key, value=value if as_text else _read(value), secret=secret)
        except errors.BadRequest as error:
            if not as_text and "expected str" in error.detail and not isinstance(_read(value), str):
                raise errors.BadRequest(f"{error.detail}; to set it as text, add --string") from None
            raise


@config.command("del")
@key_argument
@click.pass_obj
def delete(options: Options, key: str) -> None:
    """Take back what was set at a path, and all below it; files, environment and defaults hold again."""
    with connect(options) as link:
        link.ask("config", "unset", path=key)


@config.command
@optional_key
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many."
)
@click.option("--before", type=int, default=0, help="Only changes before this revision.")
@output_option
@click.pass_obj
def history(options: Options, key: str | None, limit: int, before: int, output: str) -> None:
    """List the last changes, the newest first: who, when, what. Secrets are never shown."""
    with connect(options) as link:
        entries = link.ask("config", "history", path=key or "", limit=limit, before=before)
    if output == "json":
        print_json(entries)
    else:
        print_table(("REVISION", "WHEN", "BY", "ACTION", "PATH", "OLD", "NEW"), entry_rows(entries))


@config.command
@click.argument("since", type=click.IntRange(0), required=False)
@click.argument("until", type=click.IntRange(0), default=0)
@path_option
@output_option
@click.pass_obj
def diff(options: Options, since: int | None, until: int, path: str, output: str) -> None:
    """Show what is different between two revisions: SINCE and UNTIL, or now; without any, the last change."""
    with connect(options) as link:
        if since is None:
            last = link.ask("config", "history", limit=1)
            since = last[0]["revision"] - 1 if last else 0
        found = link.ask("config", "diff", since=since, until=until, path=path)
    if output == "json":
        print_json(found)
        return
    for one in found:
        if one.get("had"):
            click.secho(f"- {one['path']} = {plain(one.get('old'), quoted=True)}", fg="red")
        if one.get("has"):
            click.secho(f"+ {one['path']} = {plain(one.get('new'), quoted=True)}", fg="green")


@config.command
@click.argument("revision", type=click.IntRange(0))
@path_option
@click.pass_obj
def rollback(options: Options, revision: int, path: str) -> None:
    """Make everything that was set what it was after a change; `config history` has the revisions.

    It is a change of its own, and can be rolled back itself.
    """
    with connect(options) as link:
        link.ask("config", "rollback", revision=revision, path=path)


@config.command
@optional_key
@secret_option
@output_option
@click.pass_obj
def watch(options: Options, key: str | None, secret: bool, output: str) -> None:
    """Print each change at or below a path, in all layers, until Ctrl-C."""
    with connect(options) as link:
        for update in link.follow("config", "watch", dict[str, Any], path=key or "", secret=secret):
            if output == "json":
                if update.get("settings") or update.get("gone"):
                    click.echo(msgspec.json.encode(update))
                continue
            for line in update_lines(update):
                click.echo(line)


@config.command
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "form", type=click.Choice(("json", "yaml", "toml")), help="In place of what FILE ends with.")
@click.option(
    "-s", "--secret", is_flag=True, help='Have secrets in it, in clear, as {"$secret": …}; else they are left out.'
)
@path_option
@click.pass_obj
def export(options: Options, file: Path | None, form: str | None, secret: bool, path: str) -> None:
    """Write what was set to FILE, or print it: for `config import`, or as a file for `server --config`."""
    form = form or _format(file, "json")
    with connect(options) as link:
        text = rendered(link.ask("config", "export", path=path, secret=secret), form)
    if file is None or str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.touch(0o600 if secret else 0o666)
        if secret:
            file.chmod(0o600)
        file.write_text(text)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from None


@config.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--format", "form", type=click.Choice(("json", "yaml", "toml", "env")), help="In place of what FILE ends with."
)
@click.option("--replace", is_flag=True, help="Take away what is set and does not stand in the file.")
@click.pass_obj
def import_(options: Options, file: Path, form: str | None, replace: bool) -> None:
    """Set everything that stands in a TOML, YAML, JSON or .env file; - reads stdin."""
    from microlite.core.config.files import from_variables, parse, text_value
    from microlite.core.config.paths import format_path
    from microlite.core.config.tree import nest

    form = form or _format(file, "json")
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    values: Mapping[str, Any] = parse(text, form, str(file))
    if form == "env":
        found = from_variables(values.items())
        values = nest({format_path(words): text_value(one) for words, (_, one) in found.items()})
    with connect(options) as link:
        link.ask("config", "import", values=values, replace=replace, timeout=300.0)


@config.command
@output_option
@click.pass_obj
def check(options: Options, output: str) -> None:
    """List what does not work: values that fit no declaration, files, secrets without a key. Exit code 1 if there is any."""
    with connect(options) as link:
        found = link.ask("config", "check")
    if output == "json":
        print_json(found)
    else:
        rows = [
            (one["path"], one["layer"], one.get("source", ""), one.get("service", ""), one["problem"]) for one in found
        ]
        print_table(("PATH", "LAYER", "SOURCE", "SERVICE", "PROBLEM"), rows)
    if found:
        click.get_current_context().exit(1)


@config.command("rotate-key")
@output_option
@click.pass_obj
def rotate_key(options: Options, output: str) -> None:
    """Make a new key for the secrets, encrypt them all anew, those of the history too, and forget the old key."""
    with connect(options) as link:
        found = link.ask("config", "rotate-key", timeout=600.0)
    if output == "json":
        print_json(found)
    else:
        click.echo(f"{found['values']} secret values are encrypted with the new key {found['key']}")


def _read(text: str) -> Any:
    from microlite.core.config.files import text_value

    return text_value(text)


def _format(file: Path | None, otherwise: str) -> str:
    if file is None or str(file) == "-":
        return otherwise
    from microlite.core.config.files import format_of

    try:
        return format_of(file.name)
    except errors.BadRequest as error:
        raise CommandError(f"{error.detail}; or say it with --format") from None
