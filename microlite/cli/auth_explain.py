"""`microlite auth explain`."""

from __future__ import annotations

from typing import Any

import click

from microlite.cli.auth_rules import COLUMNS, read_resource, rule_row
from microlite.cli.auth_words import PUBLIC, split_names
from microlite.cli.completes import completes
from microlite.cli.described import read_target
from microlite.cli.link import connect
from microlite.cli.moments import write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_json, print_table


@click.command
@click.argument("target", metavar="SERVICE.ENDPOINT", shell_complete=completes("single_targets"))
@click.option(
    "--account",
    default="",
    metavar="ID",
    help="Who would call.  [default: nobody]",
    shell_complete=completes("accounts"),
)
@click.option("--service", default="", help="In place of an account: a service that calls as itself.")
@click.option("--scopes", multiple=True, metavar="A,B", help="What would hold with these scopes in place of its own.")
@output_option
@click.pass_obj
def explain(options: Options, target: str, account: str, service: str, scopes: tuple[str, ...], output: str) -> None:
    """Say why a call is allowed or denied: which rule decides, who has set it, and which other rules apply.

    In place of an endpoint it can be a topic, a table or a part of the configuration: topic:orders:publish.

    \b
        microlite auth explain --account ann orders.create
        microlite auth explain --account ann table:shop/customers:write
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if account and service:
        raise click.UsageError("name who would call: --account or --service, not both")
    fields: dict[str, Any] = {"account": account, "service": service, "resource": _resource(target)}
    if scopes:
        fields["scopes"] = split_names(scopes)
    with connect(options) as link:
        found = link.ask("auth", "rules.explain", **fields)
    if output == "json":
        print_json(found)
        return
    word = click.style("allowed", fg="green") if found["granted"] else click.style("denied", fg="red")
    click.echo(f"{word}: {plain(found['reason'])}")
    rule = found.get("rule")
    if rule is not None:
        click.echo(f"\nThe rule {rule['id']} decides: {_sentence(rule)}")
        print_table(COLUMNS, [rule_row(rule)])
    others = found.get("others", ())
    if others:
        click.echo("\nOther rules that apply, in the order in which they would decide:")
        print_table(COLUMNS, map(rule_row, others))


def _resource(target: str) -> dict[str, str]:
    if ":" in target:
        return read_resource(target, "SERVICE.ENDPOINT")
    service, endpoint = read_target([target])
    return {"type": "service", "name": service, "endpoint": endpoint}


def _sentence(rule: dict[str, Any]) -> str:
    who = rule.get("created_by") or "the platform"
    at = f" at {write_time(rule['created'])}" if rule.get("created") else ""
    scopes = {"": "everybody", "*": "all accounts of the namespace", "+": "all accounts of all namespaces"}
    whom = scopes.get(rule.get("scope", ""), f"accounts with the scope {rule.get('scope', PUBLIC)}")
    return f"it was set by {who}{at}, for {whom}"
