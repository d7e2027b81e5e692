"""`microlite completion`."""

from __future__ import annotations

import os

import click

SHELLS = {
    "bash": ("~/.bashrc", 'eval "$(microlite completion bash)"'),
    "zsh": ("~/.zshrc", 'eval "$(microlite completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "microlite completion fish | source"),
}
"""By shell: where a line is added, and which."""


@click.command
@click.argument("shell", type=click.Choice(tuple(SHELLS)), required=False)
def completion(shell: str | None) -> None:
    """Print the script for completion in a shell; without a shell, how it is installed.

    Completed are commands, options and their values; services that run, their endpoints and fields.
    """
    if shell is not None:
        from microlite.cli.completing import SCRIPTS

        click.echo(SCRIPTS[shell], nl=False)
        return
    own = os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119 - a client command does without pathlib
    for name in [own] if own in SHELLS else SHELLS:
        file, line = SHELLS[name]
        click.echo(f"For {name}, add this line to {file} and open a new terminal:\n\n  {line}\n")
    if own in SHELLS:
        click.echo(f"For another shell: microlite completion {'|'.join(name for name in SHELLS if name != own)}")
