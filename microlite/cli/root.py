"""The root of the command line: which commands there are, the global options, and what an unknown word means."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from microlite.cli.commands import COMMANDS, PROGRAM, SECTIONS
from microlite.cli.completes import completes
from microlite.cli.options import OUTPUTS, read_options
from microlite.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_EPILOG: Final = (
    "Each service that runs is a command too: `microlite greeter` lists its endpoints, and "
    "`microlite greeter hello --name Ann` calls one. A program `microlite-x` on the PATH is the command `x`."
)


class Root(click.Group):
    """The command `microlite`: finds a command by its first word, in this table, on the PATH, or among the services."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name. There is one for each word: the last resort asks the platform for a service."""
        entry = COMMANDS.get(cmd_name)
        if entry is not None:
            module, _, name = entry.place.partition(":")
            command: click.Command = getattr(import_module(f"microlite.cli.{module}"), name)
            return command
        if cmd_name.startswith("-"):
            return None
        program = find_program(f"{PROGRAM}-{cmd_name}")
        if program is not None:
            from microlite.cli.external import External

            return External(cmd_name, program)
        from microlite.cli.dynamic import ServiceCommand

        return ServiceCommand(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group`; importing no command for its text."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.text) for name, entry in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """See `click.Group`: commands, then the services that run here."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        from microlite.cli.candidates import services

        found = [CompletionItem(name, help=entry.text) for name, entry in COMMANDS.items()]
        found = [item for item in found if item.value.startswith(incomplete)]
        return found + services(ctx, incomplete)


def find_program(name: str) -> str | None:
    """The path of an executable on the PATH, None if there is none."""
    if "/" in name:
        return None
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)  # noqa: PTH118 - asked on each start of a dynamic command
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113 - as above
            return path
    return None


@click.group(
    cls=Root,
    name=PROGRAM,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.option(
    "--home",
    envvar="MICROLITE_HOME",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the platform.  [default: ~/.microlite]",
)
@click.option(
    "--namespace",
    envvar="MICROLITE_NAMESPACE",
    shell_complete=completes("namespaces"),
    help="Whose services are meant.  [default: that of the log-in, else default]",
)
@click.option(
    "--account",
    metavar="ID",
    envvar="MICROLITE_ACCOUNT",
    shell_complete=completes("log_ins"),
    help="Act as this account that has logged in here; - as the admin of this machine.",
)
@click.option(
    "-o", "--output", type=click.Choice(OUTPUTS), default=OUTPUTS[0], show_default=True, help="How commands print."
)
@click.option("--no-color", is_flag=True, help="Print without colours, as NO_COLOR does.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def root(
    context: click.Context,
    home: Path | None,
    namespace: str | None,
    account: str | None,
    output: str,
    no_color: bool,
) -> None:
    """A development platform in one file: services, gateway and command line."""
    if context.invoked_subcommand is None:
        from microlite.cli.failure import CommandError

        raise CommandError(f"No command provided to {PROGRAM}. Please refer to '{PROGRAM} --help'")
    if no_color or os.environ.get("NO_COLOR"):
        context.color = False
    says_account = context.get_parameter_source("account") is click.core.ParameterSource.COMMANDLINE
    context.obj = read_options(home, namespace, output, account, says_account=says_account)
