"""`microlite auth … rule`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from microlite.cli.auth_words import PUBLIC
from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = ("ID", "Scope", "Access", "Resource", "Priority")
"""Of a table of rules."""


@click.command("rules")
@output_option
@click.pass_obj
def list_rules(options: Options, output: str) -> None:
    """List the rules of the namespace, those that decide first at the top.

    Of the rules that apply to a call, the one with the highest priority decides; of equal ones, a denial. Where none does,
    services of yours are closed, and those of the platform decide by the least role of the endpoint.
    """
    with connect(options) as link:
        found = link.ask("auth", "rules.list")
    if output == "json":
        print_json(found)
        return
    print_table(COLUMNS, map(rule_row, found))


@click.command("rule")
@click.argument("id")
@click.option(
    "--scope",
    default="",
    help="Whom it applies to: nothing for everybody, * for all accounts of the namespace, + for those of any namespace, "
    "else accounts with this scope.",
)
@click.option(
    "--resource",
    metavar="TYPE:NAME:ENDPOINT",
    required=True,
    help="What it is about: service:orders:create, topic:orders:publish, table:shop/customers:read, config:shop:write. "
    "A * at the end of a part stands for anything.",
)
@click.option(
    "--access", type=click.Choice(("granted", "denied")), default="granted", show_default=True, help="What it says."
)
@click.option(
    "--priority", type=int, default=0, show_default=True, help="Of the rules that apply, the highest decides."
)
@click.pass_obj
def create_rule(options: Options, id: str, scope: str, resource: str, access: str, priority: int) -> None:
    """Create a rule. It holds when this returns, also for calls between services.

    \b
        microlite auth create rule --resource 'service:orders:*' --access denied --priority 10 close-orders
        microlite auth create rule --scope orders:write --resource service:orders:create --priority 20 write-orders
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    about = read_resource(resource)
    with connect(options) as link:
        link.ask("auth", "rules.create", id=id, scope=scope, resource=about, access=access, priority=priority)
    click.echo("Rule created")


@click.command("rule")
@click.argument("id", shell_complete=completes("rules"))
@click.pass_obj
def delete_rule(options: Options, id: str) -> None:
    """Delete a rule. One without which nobody could log in, or no admin get in, stays."""
    with connect(options) as link:
        link.ask("auth", "rules.delete", id=id)
    click.echo("Rule deleted")


def read_resource(text: str, hint: str = "--resource") -> dict[str, str]:
    """The parts of a resource as a user typed it.

    Args:
        hint: what stands for it on the command line.

    Raises:
        click.BadParameter: it does not have three of them.
    """
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise click.BadParameter(
            f"{text!r} is no resource: write type:name:endpoint, as in service:orders:create or 'service:*:*'",
            param_hint=hint,
        )
    return dict(zip(("type", "name", "endpoint"), parts, strict=True))


def rule_row(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a rule in a table."""
    resource = rule.get("resource", {})
    parts = (resource.get("type", "service"), resource.get("name", "*"), resource.get("endpoint", "*"))
    return (
        rule["id"],
        rule.get("scope", "") or PUBLIC,
        str(rule.get("access", "granted")),
        ":".join(parts),
        str(rule.get("priority", 0)),
    )
