"""Editing of lines at the prompt, where Python has readline: completion by Tab, and a history that is kept."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from microlite.cli.prompt.completer import Completer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from microlite.cli.prompt.console import Console

FILE: Final = "shell-history"
"""Its name in the home."""

_MOST_LINES: Final = 2000


@contextlib.contextmanager
def editing(console: Console, home: Path) -> Iterator[None]:
    """Edit lines with completion and history, for as long as the `with` lasts; without readline, lines are just read.

    Args:
        console: whose lines they are.
        home: the folder that holds the history, which only this user can read.
    """
    try:
        import readline
    except ImportError:
        yield
        return
    file = home / FILE
    with contextlib.suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        readline.read_history_file(file)
    completer = Completer(console, lambda: readline.get_line_buffer()[: readline.get_begidx()])
    readline.set_completer(completer.complete)
    readline.set_completer_delims(" \t\n\"'`@$><=;|&{(,[+-*/%^~!:)]}\\")
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(None)
        readline.set_history_length(_MOST_LINES)
        with contextlib.suppress(OSError):
            readline.write_history_file(file)
            file.chmod(0o600)
