"""`microlite auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from microlite.cli.auth_accounts import (
    create_account,
    delete_account,
    list_accounts,
    update_account,
    update_secret,
)
from microlite.cli.auth_explain import explain
from microlite.cli.auth_keys import list_keys, rotate_keys
from microlite.cli.auth_rules import create_rule, delete_rule, list_rules
from microlite.cli.auth_tokens import (
    create_join_token,
    create_token,
    delete_join_token,
    delete_token,
    list_join_tokens,
    list_tokens,
)
from microlite.cli.subcommands import Subcommands

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group(cls=Subcommands, no_args_is_help=True)
def auth() -> None:
    """Accounts, rules and tokens: who may do what, and why.

    \b
        microlite auth create account ann --scopes orders:write
        microlite auth create rule --scope orders:write --resource service:orders:create --access granted write-orders
        microlite auth explain --account ann orders.create
        microlite auth list rules
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


@auth.group("list", cls=Subcommands, no_args_is_help=True)
def list_() -> None:
    """List accounts, rules, tokens or keys."""


@auth.group(cls=Subcommands, no_args_is_help=True)
def create() -> None:
    """Create an account, a rule or a token."""


@auth.group(cls=Subcommands, no_args_is_help=True)
def delete() -> None:
    """Delete an account, a rule or a token."""


@auth.group(cls=Subcommands, no_args_is_help=True)
def update() -> None:
    """Change an account or its secret."""


@auth.group(cls=Subcommands, no_args_is_help=True)
def rotate() -> None:
    """Put new keys in the place of old ones."""


auth.add_command(explain)
for group, commands in (
    (list_, (list_accounts, list_join_tokens, list_keys, list_rules, list_tokens)),
    (create, (create_account, create_join_token, create_rule, create_token)),
    (delete, (delete_account, delete_join_token, delete_rule, delete_token)),
    (update, (update_account, update_secret)),
    (rotate, (rotate_keys,)),
):
    add: Callable[[click.Command], None] = group.add_command
    for command in commands:
        add(command)
