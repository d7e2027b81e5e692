"""`microlite new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from microlite.cli.failure import FAILED, USAGE, CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

_TEMPLATES: Final = Path(__file__).parents[1] / "scaffold"
_ENDING: Final = ".txt"
"""Templates carry it so that no tool takes them for the code that they become."""


class Kind(NamedTuple):
    """What a project can be."""

    text: str
    """What `--help` says of it."""
    summary: str
    """What the project says of itself."""


KINDS: Final = {
    "service": Kind("a service with an endpoint (the default)", "A service that greets."),
    "handler": Kind("a service made of a class: each public method is an endpoint", "A service that keeps notes."),
    "stream": Kind("endpoints that stream to the caller, from the caller, and both", "A service that streams."),
    "consumer": Kind("handles each event of a topic, with retries and dead letters", "A service that handles events."),
    "schedule": Kind("does something at its times, by interval or cron", "A service that does something at its times."),
    "http": Kind("any program that speaks HTTP, here with Python's own server", "A program that speaks HTTP."),
}
"""The kinds by what is typed; each is a folder of templates."""


class New(click.Command):
    """The command with its kinds in the help, a line for each, and an answer for who names nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`.

        Raises:
            CommandError: no name was typed.
        """
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            raise CommandError(f"specify a name for the service, as in: {ctx.command_path} greeter", USAGE) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Command`."""
        with formatter.section("Kinds"):
            formatter.write_dl([(name, kind.text) for name, kind in KINDS.items()])
        super().format_options(ctx, formatter)


def _complete_kind(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=kind.text) for name, kind in KINDS.items() if name.startswith(incomplete)]


@click.command(cls=New)
@click.argument("place", metavar="NAME | FOLDER", type=click.Path(file_okay=False))
@click.option(
    "--kind",
    type=click.Choice(tuple(KINDS)),
    default="service",
    show_default=True,
    help="What it is.",
    shell_complete=_complete_kind,
)
def new(place: str, kind: str) -> None:
    """Create a service in a new folder, with a test that passes and a README.

    The last part of a path is the name. Where it is written differently, a service's name is in lower case, with hyphens.
    """
    folder = Path(place).expanduser()
    name = _read_name(folder.absolute().name)
    written = "" if name == folder.name else f" (a service's name is written so, not {folder.name})"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise CommandError(f"'{folder}' already exists", FAILED) from None
    click.echo(f"Creating service {name}{written}\n")
    files = _fill(folder, name, kind)
    click.echo("\n".join((f"{folder}", *_tree(files))))
    click.echo(
        "\nNext:\n"
        f"  cd {_quoted(folder)}\n"
        "  microlite run .    # and each save swaps in the new code\n"
        "  microlite test\n\n"
        "README.md says how to call it."
    )


def _read_name(typed: str) -> str:
    """The normalised name of a service that may be called so.

    Raises:
        CommandError: no service may.
    """
    from microlite.core import errors
    from microlite.core.description.naming import check_service_name

    try:
        return check_service_name(typed)
    except errors.BadRequest as error:
        raise CommandError(error.detail, FAILED) from None


def _fill(folder: Path, name: str, kind: str) -> list[str]:
    """Write the files of a project and return their names, sorted. A kind's own template goes before the common one."""
    templates: dict[str, Path] = {}
    for source in ("common", kind):
        for template in (_TEMPLATES / source).iterdir():
            templates[template.name.removesuffix(_ENDING)] = template
    words = _words(name, kind)
    files = []
    for file, template in templates.items():
        text = template.read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace("{{" + word + "}}", value)
        files.append(".gitignore" if file == "gitignore" else file)
        (folder / files[-1]).write_text(text, encoding="utf-8")
    return sorted(files)


def _words(name: str, kind: str) -> Mapping[str, str]:
    """What stands in a template in double braces."""
    # The endpoints of a class that is called as its service have no part of their own for it.
    notes = name if name == "notes" else f"{name}.notes"
    return {
        "name": name,
        "summary": KINDS[kind].summary,
        "notes": notes,
        "spaced": notes.replace(".", " "),
        "path": notes.replace(".", "/"),
    }


def _tree(files: list[str]) -> list[str]:
    return [f"{'└──' if file == files[-1] else '├──'} {file}" for file in files]


def _quoted(folder: Path) -> str:
    import shlex

    return shlex.quote(str(folder))
