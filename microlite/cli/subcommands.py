"""Commands that are a topic with commands of its own: `microlite cache clean`."""

from __future__ import annotations

import click

from microlite.cli.failure import CommandError


class Subcommands(click.Group):
    """A group that says of an unknown word which command it was for."""

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
