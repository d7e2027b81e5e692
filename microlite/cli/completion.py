"""`microlite completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for completion in a shell.

    \b
    For bash, in ~/.bashrc:              eval "$(microlite completion bash)"
    For zsh, in ~/.zshrc:                eval "$(microlite completion zsh)"
    For fish, in ~/.config/fish/completions/microlite.fish, what `microlite completion fish` prints.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from microlite.cli.entry import COMPLETION_VARIABLE
    from microlite.cli.root import PROGRAM

    script = get_completion_class(shell)
    assert script is not None, "click knows all of SHELLS"
    click.echo(script(context.find_root().command, {}, PROGRAM, COMPLETION_VARIABLE).source())
