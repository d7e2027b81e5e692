"""From the words of a command line to an exit code: the edge where each error becomes one line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from microlite.cli.failure import INTERRUPTED, USAGE, CommandError, sentence
from microlite.cli.root import PROGRAM, root

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETION_VARIABLE = "_MICROLITE_COMPLETE"
"""By it a shell asks for completions, and for the script that asks; see `microlite.cli.completing`."""


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code. What went wrong stands on stderr, never as a traceback.

    Args:
        words: what stands after the program's name.
    """
    try:
        if COMPLETION_VARIABLE in os.environ:
            from microlite.cli.completing import complete

            return complete(os.environ[COMPLETION_VARIABLE])
        with root.make_context(PROGRAM, list(words)) as context:
            root.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as end:
        click.echo(end.format_message())
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        _drop_output()
        return 1
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a user who has not asked for it
        if os.environ.get("MICROLITE_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        from microlite.core.runtime.lines import for_terminal

        detail, code = explain(error)
        click.echo("\n".join(map(for_terminal, detail.split("\n"))), err=True)  # it may quote what a stranger has sent
        return code
    return 0


def explain(error: Exception) -> tuple[str, int]:
    """The line for a person, and the exit code."""
    if isinstance(error, CommandError):
        return sentence(error.detail), error.code
    if isinstance(error, click.ClickException):
        return _explain_usage(error)
    from microlite.core import errors

    if isinstance(error, errors.Error):
        return sentence(str(error)), errors.exit_code(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return sentence(f"{where}{error.strerror}"), 1
    return f"Unexpected {type(error).__name__}: {error}; MICROLITE_DEBUG=1 shows where it comes from", 1


def _explain_usage(error: click.ClickException) -> tuple[str, int]:
    text = sentence(error.format_message().rstrip("."))
    if not isinstance(error, click.UsageError):
        return text, error.exit_code
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    return f"{text}. Please refer to '{path} --help'", USAGE


def _drop_output() -> None:
    """Let nothing more go to the closed pipe: Python flushes at its end, and would complain there."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # stdout is no file, in tests, and then there is no pipe either
