"""Commands that are a topic with commands of its own: `microlite cache clean`."""

from __future__ import annotations

from typing import Final

import click

from microlite.cli.failure import CommandError

_LONGEST: Final = 300
"""Characters of what a list says of a command: more than any has."""


class Subcommands(click.Group):
    """A group that lists its commands with whole sentences, and says of an unknown word which command it was for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group`."""
        rows = [(name, command.get_short_help_str(_LONGEST)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group`.

        Raises:
            CommandError: there is no such subcommand.
        """
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            path = ctx.command_path
            raise CommandError(f"Unrecognized subcommand for {path}: {args[0]}. Please refer to '{path} --help'")
        return super().resolve_command(ctx, args)
