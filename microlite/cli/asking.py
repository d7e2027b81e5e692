"""Secrets that a command takes: asked for without an echo, read from stdin, or, with a warning, from the command line."""

from __future__ import annotations

import sys

import click

from microlite.cli.failure import CommandError


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty()


def ask(text: str, option: str) -> str:
    """What somebody answers, one line.

    Args:
        text: the question, without a colon.
        option: by which it is said where nobody can be asked.
    """
    if not can_ask():
        raise click.UsageError(f"nobody can be asked here: give it with {option}")
    answer: str = click.prompt(text, err=True)
    return answer


def read_secret(
    text: str, given: str | None, from_stdin: bool, *, option: str = "--secret", confirmed: bool = False
) -> str:
    """A secret.

    Args:
        text: the question, without a colon.
        given: what stands on the command line, which every process of this machine can read; None for nothing.
        from_stdin: whether it is the next line of stdin.
        option: that takes it on the command line.
        confirmed: whether it is asked for twice, since nobody sees what is typed.
    """
    if given is not None and from_stdin:
        raise click.UsageError(f"give {option} or --secret-stdin, not both")
    if given is not None:
        warn(option)
        return _check(given)
    if from_stdin:
        return _check(sys.stdin.readline().rstrip("\r\n"))
    if not can_ask():
        raise click.UsageError("a secret is wanted, and nobody can be asked here: give it with --secret-stdin")
    answer: str = click.prompt(text, hide_input=True, confirmation_prompt=confirmed, err=True)
    return _check(answer)


def warn(option: str) -> None:
    """Say that a secret on the command line is none for long."""
    click.echo(
        f"the secret after {option} can be read in the list of processes and in your shell's history; "
        "leave it out to be asked, or use --secret-stdin",
        err=True,
    )


def confirm(question: str, yes: bool) -> None:
    """Ask before something goes for good.

    Raises:
        CommandError: the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not can_ask():
        raise CommandError("nobody can be asked here whether that is meant: say --yes")
    if not click.confirm(question, err=True):
        raise CommandError("nothing was changed")


def _check(secret: str) -> str:
    if not secret:
        raise CommandError("a secret cannot be empty")
    return secret
