"""Programs `microlite-x` on the PATH, which are commands too, as git has it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from microlite.cli.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable

_replace: Callable[[str, list[str], dict[str, str]], object] = os.execve


class External(click.Command):
    """Runs a program in place of this one, with all further words as they are.

    It learns home, namespace and account by `MICROLITE_HOME`, `MICROLITE_NAMESPACE` and `MICROLITE_ACCOUNT`.

    Args:
        name: the word that the user typed.
        program: its path.
    """

    def __init__(self, name: str, program: str) -> None:
        super().__init__(name, add_help_option=False)
        self._program = program

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave all words to the program."""
        ctx.args = list(args)
        return []

    def invoke(self, ctx: click.Context) -> None:
        """See `click.Command`. Does not return."""
        options = ctx.find_object(Options)
        assert options is not None, "the root has set it"
        environment = {
            **os.environ,
            "MICROLITE_HOME": str(options.home),
            "MICROLITE_NAMESPACE": options.namespace,
        }
        if options.account:
            environment["MICROLITE_ACCOUNT"] = options.account
        if not options.token:
            environment.pop("MICROLITE_TOKEN", None)  # an account on the command line goes before it
        sys.stdout.flush()
        sys.stderr.flush()
        _replace(self._program, [self._program, *ctx.args], environment)
