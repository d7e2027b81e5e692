"""`microlite test`: pytest over a project, with microlite and what the project needs, from wherever it has to come."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from microlite.cli.failure import FAILED, CommandError
from microlite.cli.options import Options
from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.runtime.requirements import Requirements

_PYTEST: Final = "pytest"
_GROUPS: Final = ("test", "dev")
"""The dependency groups (PEP 735) that say what tests need: the first that is there."""
_LAST: Final = "MICROLITE_IMPORT_LAST"
"""The variable with the folder that the plug-in puts at the end of `sys.path`."""
_ANCHORS: Final = ("microlite", "msgspec")
"""Packages by which the folders of microlite and of what it needs are found; in the one file they are the same folder."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("folder", type=click.Path(file_okay=False), required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]...")
@click.pass_context
@click.pass_obj
def test(options: Options, context: click.Context, folder: str | None, arguments: tuple[str, ...]) -> None:
    """Run the tests of a project with pytest; without a folder, of the one you are in.

    What main.py needs and what the dependency group `test` or `dev` of pyproject.toml names is used as it is here if it is
    installed; else it is installed, with pytest, into an environment that is kept for the next time. Modules are found as
    `run` finds them: in the folders that `path` names, and last in the root of the project. Further arguments are
    pytest's: microlite test . -k greets
    """
    if folder is not None and folder.startswith("-"):
        arguments = (folder, *arguments)
        folder = None
    place = Path(folder or ".").absolute()
    if not place.is_dir():
        raise errors.NotFound(f"there is no folder {place}; tests are chosen after it: microlite test . -k greets")
    wanted = _wanted(place)
    python = sys.executable if _are_here(wanted) else _environment(options, wanted)
    command = [python, "-m", "pytest", *_plugin(), *arguments]
    code = _wait(subprocess.Popen(command, cwd=place, env=_variables(place)))
    context.exit(code if code >= 0 else 128 - code)


def _wanted(folder: Path) -> Requirements:
    """What has to be importable: the project's own requirements, those of its tests, and pytest.

    Raises:
        BadRequest: a file that says so is malformed.
    """
    from msgspec.structs import replace
    from packaging.utils import canonicalize_name

    from microlite.core.runtime.manifest import read_pyproject
    from microlite.core.runtime.requirements import Requirements, parse_requirement, read_requirements

    own = read_requirements(folder) or Requirements(folder=str(folder), file="pyproject.toml")
    lines = [*own.lines, *_group(read_pyproject(folder), folder)]
    named = [parse_requirement(line) for line in lines]
    if not any(one is not None and canonicalize_name(one.name) == _PYTEST for one in named):
        lines.append(_PYTEST)
    return replace(own, lines=tuple(lines))


def _group(pyproject: dict[str, Any], folder: Path) -> Sequence[str]:
    groups = pyproject.get("dependency-groups", {})
    name = next((name for name in _GROUPS if name in groups), None)
    if name is None:
        return ()
    lines = groups[name]
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise errors.BadRequest(f"{folder / 'pyproject.toml'}: [dependency-groups] {name}: is no list of texts")
    return lines


def _are_here(wanted: Requirements) -> bool:
    """Whether the Python that runs this has it all, so that nothing needs to be installed."""
    from microlite.core.runtime.requirements import parse_requirement

    if any(parse_requirement(line) is None for line in wanted.lines):
        return False  # a path or an option: only an installer knows what it stands for
    try:
        return all(
            one.url is None and one.specifier.contains(importlib.metadata.version(one.name), prereleases=True)
            for one in wanted.parsed()
        )
    except importlib.metadata.PackageNotFoundError:
        return False


def _environment(options: Options, wanted: Requirements) -> str:
    """The interpreter of an environment that has it all, made now if it is not there."""
    import asyncio

    from microlite import onefile
    from microlite.core.assembly.environments import make_environments
    from microlite.core.clock import SystemClock

    environments = make_environments(options.home, onefile.library_path(), SystemClock())
    if environments.find(wanted) is None:
        click.secho("Installing what the tests need, for this time and those to come", dim=True, err=True)
    try:
        found = asyncio.run(environments.ensure(wanted))
    except errors.Unprocessable as error:
        raise CommandError(error.detail, FAILED) from None
    assert found is not None, "pytest is wanted, at least"
    return found.python


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code of pytest. Ctrl-C is pytest's to end with, and to say what was interrupted."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _variables(folder: Path) -> dict[str, str]:
    """The environment with the whole of microlite importable: `microlite.testing` boots a platform in the test's process.

    It stands before what the project pins, as the platform needs the versions it was made with. What a project shares is
    importable as it is in `microlite run`: the folders of `path` first, its root last.
    """
    from microlite.core.runtime.importing import import_folders, project_root
    from microlite.core.runtime.manifest import read_manifest, read_pyproject

    manifest = read_manifest(folder, read_pyproject(folder))
    shared = import_folders(folder, manifest.path, f"{folder / 'pyproject.toml'}: [tool.microlite]") if manifest else ()
    specs = filter(None, map(importlib.util.find_spec, _ANCHORS))
    paths = (str(Path(spec.origin).parents[1]) for spec in specs if spec.origin is not None)
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(dict.fromkeys([*shared, *paths, *filter(None, given.split(os.pathsep))]))
    return {**os.environ, "PYTHONPATH": path, _LAST: str(project_root(folder) or "")}


def _plugin() -> Sequence[str]:
    """What makes pytest load the fixtures, where microlite is importable without being installed."""
    known = importlib.metadata.entry_points(group="pytest11", name="microlite")
    return () if known else ("-p", "microlite.testing.plugin")
