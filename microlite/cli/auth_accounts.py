"""`microlite auth … account`."""

from __future__ import annotations

from typing import Any

import click

from microlite.cli.asking import confirm, read_secret
from microlite.cli.auth_words import list_all, metadata_cell, print_created, split_names
from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option, pairs
from microlite.cli.output import print_json, print_table

_TYPES = ("user", "service")


@click.command("accounts")
@output_option
@click.pass_obj
def list_accounts(options: Options, output: str) -> None:
    """List the accounts of the namespace."""
    with connect(options) as link:
        found = list_all(link, "accounts.list")
    if output == "json":
        print_json(found)
        return
    print_table(
        ("ID", "Name", "Scopes", "Metadata"),
        [
            (one["id"], _name(one), ", ".join(one.get("scopes", ())), metadata_cell(one.get("metadata", {})))
            for one in found
        ],
    )


@click.command("account")
@click.argument("id", default="")
@click.option(
    "--secret",
    metavar="SECRET",
    help="Its secret; without one it gets a random one. Other users of this machine can read what stands here.",
)
@click.option("--secret-stdin", is_flag=True, help="Read the secret from the first line of stdin.")
@click.option("--scopes", multiple=True, metavar="A,B", help="What it may do: names that rules and endpoints ask for.")
@click.option("--type", "type_", type=click.Choice(_TYPES), default=_TYPES[0], show_default=True, help="Who it is.")
@click.option("--name", default="", help="What people call it.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="What is noted about it. Can be repeated.")
@output_option
@click.pass_obj
def create_account(
    options: Options,
    id: str,
    secret: str | None,
    secret_stdin: bool,
    scopes: tuple[str, ...],
    type_: str,
    name: str,
    metadata: tuple[str, ...],
    output: str,
) -> None:
    """Create an account, and print it. Without ID it gets a random one.

    Without an option for it the secret is random, and printed too: nobody can read it again.

    \b
        microlite auth create account ann --scopes orders:write --name Ann
        microlite auth create account ops --scopes admin --secret-stdin < secret
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    fields: dict[str, Any] = {
        "id": id,
        "type": type_,
        "name": name,
        "scopes": split_names(scopes),
        "metadata": pairs(metadata, "--metadata"),
    }
    if secret is not None or secret_stdin:
        fields["secret"] = read_secret("Secret", secret, secret_stdin)
    with connect(options) as link:
        created = link.ask("auth", "accounts.create", **fields)
    if "secret" in fields:
        del created["secret"]  # whoever gave it knows it, and terminals and logs of builds need not
    print_created("Account", created, output)


@click.command("account")
@click.argument("id", shell_complete=completes("accounts"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_account(options: Options, id: str, yes: bool) -> None:
    """Delete an account; its log-ins and tokens end."""
    confirm(f"Delete the account {id} with its tokens?", yes)
    with connect(options) as link:
        link.ask("auth", "accounts.delete", id=id)
    click.echo("Account deleted")


@click.command("account")
@click.argument("id", shell_complete=completes("accounts"))
@click.option("--scopes", multiple=True, metavar="A,B", help="The scopes from now on, all of them; '' for none.")
@click.option("--name", help="What people call it; '' for its id.")
@click.option(
    "--metadata", multiple=True, metavar="KEY=VALUE", help="The metadata from now on, all of it. Can be repeated."
)
@click.option("--disable/--enable", "disabled", default=None, help="Keep it out, with its tokens, or let it in again.")
@click.pass_obj
def update_account(
    options: Options,
    id: str,
    scopes: tuple[str, ...],
    name: str | None,
    metadata: tuple[str, ...],
    disabled: bool | None,
) -> None:
    """Change an account: only what is given here.

    \b
        microlite auth update account ann --scopes orders:write,orders:read
        microlite auth update account ann --disable
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    fields: dict[str, Any] = {}
    if scopes:
        fields["scopes"] = split_names(scopes)
    if name is not None:
        fields["name"] = name
    if metadata:
        fields["metadata"] = pairs(filter(None, metadata), "--metadata")
    if disabled is not None:
        fields["disabled"] = disabled
    if not fields:
        raise click.UsageError("say what is to change: --scopes, --name, --metadata, --disable or --enable")
    with connect(options) as link:
        link.ask("auth", "accounts.update", id=id, **fields)
    click.echo("Account updated")


@click.command("secret")
@click.argument("id", shell_complete=completes("accounts"))
@click.option(
    "--old-secret",
    "--old_secret",
    "old_secret",
    metavar="SECRET",
    default="",
    help="The one until now; an admin needs none.",
)
@click.option(
    "--new-secret",
    "--new_secret",
    "new_secret",
    metavar="SECRET",
    help="The one from now on. Others can read it there.",
)
@click.option("--secret-stdin", is_flag=True, help="Read the new secret from the first line of stdin.")
@click.pass_obj
def update_secret(options: Options, id: str, old_secret: str, new_secret: str | None, secret_stdin: bool) -> None:
    """Change the secret of an account. Without an option it is asked for.

    Its log-ins end by that, and its personal access tokens are deleted.
    """
    secret = read_secret(f"New secret of {id}", new_secret, secret_stdin, option="--new-secret", confirmed=True)
    with connect(options) as link:
        link.ask("auth", "accounts.change-secret", id=id, old_secret=old_secret, new_secret=secret)
    click.echo("Secret updated")


def _name(account: dict[str, Any]) -> str:
    name: str = account.get("name", "")
    return f"{name} (disabled)".strip() if account.get("disabled") else name
