"""What is completed where: arguments and options name the function that finds their candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import click


def completes(what: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """The `shell_complete` of an argument or option, in a module that only completion imports.

    Args:
        what: a function of `microlite.cli.candidates`.
    """

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> Any:
        from microlite.cli import candidates

        return getattr(candidates, what)(context, incomplete)

    return complete
