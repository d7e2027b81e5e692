"""`microlite shell`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.version import __version__

if TYPE_CHECKING:
    from microlite.cli.prompt.console import Console


@click.command
@click.option("-c", "program", metavar="CODE", help="Run this, and end.")
@click.pass_context
@click.pass_obj
def shell(options: Options, context: click.Context, program: str | None) -> None:
    """Call services from a Python prompt, with completion.

    Each service is an object there: await greeter.hello(name="Ann"). What is piped in is run like -c: as a whole, ending
    with the exit code of the first error.

    \b
        microlite shell -c 'await greeter.hello(name="Ann")'
        microlite shell < script.py
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    with connect(options) as link:
        gateway = link.gateway
        if link.token:
            link.ask("auth", "whoami")  # says so at once if the log-in has ended
    if program is None and not sys.stdin.isatty():
        program = sys.stdin.read()

    from microlite.cli.prompt.console import Console
    from microlite.cli.prompt.line import Line
    from microlite.core.library.loop_thread import LoopThread

    line, thread = Line(options), LoopThread().start()
    console = Console(line, thread)
    before, sys.displayhook = sys.displayhook, console.display
    try:
        if program is not None:
            console.execute(program)
        else:
            _converse(console, options, gateway)
    finally:
        sys.displayhook = before
        thread.run(line.close())
        thread.stop()
    context.exit(console.exit_code if program is not None else 0)


def _converse(console: Console, options: Options, gateway: str) -> None:
    from microlite.cli.prompt.history import editing
    from microlite.cli.prompt.interrupts import prompt_interrupts

    console.refresh()
    with editing(console, options.home), prompt_interrupts():
        console.interact(f"microlite {__version__}, gateway {gateway}\n{_example(console)}", exitmsg="")


def _example(console: Console) -> str:
    """A line to try, with a service that runs."""
    from microlite.cli.prompt.objects import Endpoint, ServiceObject
    from microlite.core.description.naming import BUILT_IN_SERVICES

    for found in console.words.values():
        if not isinstance(found, ServiceObject) or found.described.name in BUILT_IN_SERVICES:
            continue
        for name in dir(found):
            one = getattr(found, name)
            if isinstance(one, Endpoint) and one.described.streaming == "unary" and not one.described.is_triggered:
                fields = ", ".join(f"{field}=…" for field in one.described.request.get("required", ()))
                return f"Try: await {one.path}({fields})    Tab completes, help() says more, Ctrl-D leaves"
    return "No service runs yet; those that start are found. help() says more, Ctrl-D leaves"
