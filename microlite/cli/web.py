"""`microlite web`."""

from __future__ import annotations

import os
import sys

import click

from microlite.cli.link import connect
from microlite.cli.options import Options


@click.command
@click.option("--no-open", is_flag=True, help="Print the link instead of opening it.")
@click.pass_obj
def web(options: Options, no_open: bool) -> None:
    """Open the dashboard in a browser, logged in.

    The link works once, within a minute. Where there is no browser to open, it is printed.
    """
    with connect(options) as link:
        url: str = link.ask("auth", "link")["url"]
        dashboard = link.dashboard
    if not no_open and has_display() and _open(url):
        click.echo(f"The dashboard opens in your browser: {dashboard}")
        return
    click.echo(url)
    click.echo("Open it in a browser within a minute; it works once.", err=True)


def has_display() -> bool:
    """Whether a browser could show itself here: not over SSH, and not where only a text browser would take the terminal."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
