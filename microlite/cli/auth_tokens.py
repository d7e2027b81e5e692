"""`microlite auth … token` and `microlite auth … join-token`: secrets for programs, and for nodes of other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from microlite.cli.asking import confirm
from microlite.cli.auth_words import list_all, print_created, split_names
from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.moments import read_seconds, write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table

if TYPE_CHECKING:
    from microlite.cli.link import Link


@click.command("tokens")
@click.option(
    "--account",
    default="",
    metavar="ID",
    help="Those of this account, for admins.",
    shell_complete=completes("accounts"),
)
@output_option
@click.pass_obj
def list_tokens(options: Options, account: str, output: str) -> None:
    """List your personal access tokens; as the admin of this machine, those of all accounts. Secrets are shown nowhere."""
    with connect(options) as link:
        found = tokens_of(link, account)
    if output == "json":
        print_json(found)
        return
    print_table(
        ("ID", "Name", "Account", "Scopes", "Expires", "Used"),
        [
            (
                one["id"],
                one["name"],
                one["account"],
                ", ".join(one.get("scopes", ())),
                write_time(one["expires"]),
                write_time(one["used"]) if one.get("used") else "never",
            )
            for one in found
        ],
    )


def tokens_of(link: Link, account: str) -> list[dict[str, Any]]:
    """The tokens of an account; without one the caller's own, or of all accounts for the admin of the machine."""
    if account or not link.is_machine_admin:
        found: list[dict[str, Any]] = link.ask("auth", "tokens.list", account=account)
        return found
    accounts = list_all(link, "accounts.list")
    return [one for each in accounts for one in link.ask("auth", "tokens.list", account=each["id"])]


@click.command("token")
@click.argument("name")
@click.option(
    "--account", default="", metavar="ID", help="For whom it acts; else for you.", shell_complete=completes("accounts")
)
@click.option(
    "--scopes", multiple=True, metavar="A,B", help="Of the account's scopes, those that it has.  [default: all]"
)
@click.option("--expiry", metavar="DURATION", default="30d", show_default=True, help="How long it holds: 12h, 90d.")
@output_option
@click.pass_obj
def create_token(options: Options, name: str, account: str, scopes: tuple[str, ...], expiry: str, output: str) -> None:
    """Create a personal access token, NAME says what for, and print it: nobody can read it again.

    A program sends it as `Authorization: Bearer …`; commands take it from MICROLITE_TOKEN.

    \b
        microlite auth create token nightly --scopes orders:read --expiry 90d
        export MICROLITE_TOKEN=$(microlite auth create token ci -o json | jq -r .token)
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    fields: dict[str, Any] = {"name": name, "account": account, "expires_in": read_seconds(expiry, "--expiry")}
    if scopes:
        fields["scopes"] = split_names(scopes)
    with connect(options) as link:
        created = link.ask("auth", "tokens.create", **fields)
    print_created("Token", created, output)


@click.command("token")
@click.argument("id", shell_complete=completes("tokens"))
@click.option(
    "--account", default="", metavar="ID", help="Whose it is, for admins.", shell_complete=completes("accounts")
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_token(options: Options, id: str, account: str, yes: bool) -> None:
    """Delete a personal access token: who shows it is refused from now on."""
    confirm(f"Delete the token {id}? Programs that use it are refused from then on.", yes)
    with connect(options) as link:
        if not account and link.is_machine_admin:
            account = next((one["account"] for one in tokens_of(link, "") if one["id"] == id), "")
        link.ask("auth", "tokens.delete", id=id, account=account)
    click.echo("Token deleted")


@click.command("join-tokens")
@output_option
@click.pass_obj
def list_join_tokens(options: Options, output: str) -> None:
    """List the join tokens of the namespace. Their secrets are shown nowhere."""
    with connect(options) as link:
        found = link.ask("auth", "join-tokens.list")
    if output == "json":
        print_json(found)
        return
    print_table(
        ("ID", "Service", "Expires", "Created by"),
        [
            (one["id"], one.get("service", "") or "*", write_time(one["expires"]), one.get("created_by", ""))
            for one in found
        ],
    )


@click.command("join-token")
@click.option("--service", default="", help="The only service whose nodes it lets in.  [default: all]")
@click.option("--expiry", metavar="DURATION", default="1h", show_default=True, help="Until when a node can join by it.")
@output_option
@click.pass_obj
def create_join_token(options: Options, service: str, expiry: str, output: str) -> None:
    """Create a token by which nodes of other machines join, and print it: nobody can read it again."""
    with connect(options) as link:
        created = link.ask("auth", "join-tokens.create", service=service, expires_in=read_seconds(expiry, "--expiry"))
    print_created("Join token", created, output)


@click.command("join-token")
@click.argument("id", shell_complete=completes("join_tokens"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_join_token(options: Options, id: str, yes: bool) -> None:
    """Delete a join token: no node joins by it any more, and those that have are cut off."""
    confirm(f"Delete the join token {id}?", yes)
    with connect(options) as link:
        link.ask("auth", "join-tokens.delete", id=id)
    click.echo("Join token deleted")
