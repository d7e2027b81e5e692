"""From what a user typed after `run` to the services that are meant."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Final

import msgspec

from microlite.core import errors
from microlite.core.runtime.importing import import_folders, project_root
from microlite.core.runtime.inspection import Inspection, inspect
from microlite.core.runtime.manifest import (
    Manifest,
    Reload,
    check_name,
    folder_name,
    read_manifest,
    read_pyproject,
    split_command,
)
from microlite.core.runtime.requirements import requirements_file
from microlite.core.runtime.tree import folders

_ENTRY: Final = "main.py"
_DEPTH: Final = 3
_MOST_FOLDERS: Final = 5000
_BY_COMMAND: Final = 'any other program runs with --command "…" and PORT in its environment'


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One service to be run: where its code is and how it is started. What a user typed, completed and checked.

    Attributes:
        name: of the service, normalised.
        folder: absolute path of the folder, which is the working directory.
        entry: the file to run, relative to the folder; empty for a command.
        alone: whether the folder is only where the entry lies: what else is in it is no source of this service.
        command: the program and its arguments; empty for a file.
        requirements: the file of the folder that names its dependencies, empty if there is none.
        port: the port that a command listens on by itself; 0 if it takes the one in `PORT`.
        health: the path that a command answers with when it is well; empty to only try to connect.
        env: additions to the environment.
        instances: how many nodes.
        reload: how new code takes over.
        preload: modules that the fork server imports beforehand.
        watch: extensions of the files that count as source; empty for the usual ones.
        path: further folders to import from, absolute.
        root: that of the project, from which is imported last; empty if it belongs to none.
        config: absolute paths of files with settings, of which later ones hide earlier ones.
        depends_on: names of services that have to be healthy before it is started.
        broken: the syntax error that the entry had when it was found, if it had one.
        origin: the address in a git repository from which it was fetched; empty for a folder of the user's own.
        commit: which commit that was, by its full id.
    """

    name: str
    folder: str
    entry: str = ""
    alone: bool = False
    command: tuple[str, ...] = ()
    requirements: str = ""
    port: int = 0
    health: str = ""
    env: dict[str, str] = {}
    instances: int = 1
    reload: Reload = Reload.OVERLAP
    preload: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    root: str = ""
    config: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    broken: str = ""
    origin: str = ""
    commit: str = ""

    @property
    def place(self) -> str:
        """Where it is: the folder, or the file where it is not the usual one."""
        return self.folder if self.entry in ("", _ENTRY) else f"{self.folder}/{self.entry}"


def find_sources(typed: str = ".", *, cwd: Path, name: str = "", command: str = "") -> tuple[Source, ...]:
    """The services that a folder or file holds; at least one, sorted by name.

    A folder with `[tool.microlite]` or a `main.py` is one service. Else each folder below it, to a depth of three,
    that has one of them and is a microlite service. Else, inside a project (up to the folder with `.git` or a
    pyproject.toml), the nearest folder above. No code of the user is run for it.

    Args:
        typed: a path, absolute or relative to `cwd`; empty for the same as `.`.
        cwd: where the user stands.
        name: the name the user wants; only for a single service.
        command: run this program in the folder, instead of what is found there.

    Raises:
        errors.NotFound: there is no such path.
        errors.BadRequest: nothing to run is there, or something about it is wrong; says what, where and what to do.
    """
    path = Path(os.path.abspath(cwd / Path(typed or ".").expanduser()))  # noqa: PTH100 - resolve() would follow links
    if not path.exists():
        raise errors.NotFound(f"there is no folder or file {path}")
    found: tuple[Source, ...]
    if command:
        folder = path if path.is_dir() else path.parent
        words = split_command(command, "--command")
        found = (_of_command(folder, words, _manifest(folder) or Manifest()),)
    elif path.is_dir():
        found = _of_folder(path)
    else:
        found = (_of_file(path),)
    if name:
        if len(found) > 1:
            names = ", ".join(source.name for source in found)
            raise errors.BadRequest(f"--name is for a single service; {path} holds several: {names}")
        found = (msgspec.structs.replace(found[0], name=check_name(name, "--name")),)
    ordered = tuple(sorted(found, key=lambda source: source.name))
    for left, right in itertools.pairwise(ordered):
        if left.name == right.name:
            raise errors.BadRequest(
                f"{left.folder} and {right.folder} would both be the service {left.name}: "
                "give one another name in pyproject.toml, [tool.microlite] name"
            )
    return ordered


def _of_folder(folder: Path) -> tuple[Source, ...]:
    own = _declared(folder)
    if own is not None:
        return (own,)
    below, others = _search(folder)
    if below:
        return below
    if others:
        listed = ", ".join(os.path.relpath(path, folder) for path in others[:3])
        raise errors.BadRequest(f"{folder}: {listed}: no microlite Service in it; {_BY_COMMAND}")
    for parent in _project_above(folder):
        above = _declared(parent)
        if above is not None:
            return (above,)
    raise errors.BadRequest(
        f"{folder}: no {_ENTRY} and no [tool.microlite] in a pyproject.toml, here or below; "
        f"name the file to run (`run app.py`); {_BY_COMMAND}"
    )


def _declared(folder: Path) -> Source | None:
    """The service of this very folder, by its manifest or its main.py."""
    manifest = _manifest(folder)
    if manifest is not None and manifest.command:
        return _of_command(folder, manifest.command, manifest)
    declared = manifest.entry if manifest is not None else ""
    entry = folder / (declared or _ENTRY)
    if not entry.is_file():
        if manifest is None:
            return None
        raise errors.BadRequest(
            f"{folder / 'pyproject.toml'}: [tool.microlite] says neither entry nor command, and there is no {_ENTRY}"
        )
    inspection = _inspect(entry, folder)
    # Who says `entry` has said that it is a service, and may hide it where reading does not find it.
    if not (declared or inspection.service or inspection.broken):
        raise errors.BadRequest(_no_service(entry))
    return _of_entry(folder, entry, inspection, manifest or Manifest(), folder.name)


def _of_file(path: Path) -> Source:
    folder = path.parent
    if path.suffix != ".py":
        raise errors.BadRequest(f"{path}: is no Python file; {_BY_COMMAND}")
    inspection = _inspect(path, folder)
    if not (inspection.service or inspection.broken):
        raise errors.BadRequest(_no_service(path))
    manifest = _manifest(folder) or Manifest()
    alone = folder / (manifest.entry or _ENTRY) != path or bool(manifest.command)
    if alone:
        # The table speaks of another program of this folder; only what holds for the folder holds here too.
        manifest = Manifest(env=manifest.env, preload=manifest.preload, watch=manifest.watch, config=manifest.config)
    source = _of_entry(folder, path, inspection, manifest, folder.name if path.name == _ENTRY else path.stem)
    return msgspec.structs.replace(source, alone=alone)


def _search(folder: Path) -> tuple[tuple[Source, ...], list[Path]]:
    """The services below a folder, and each main.py that is none."""
    found: list[Source] = []
    others: list[Path] = []
    taken: list[str] = []
    for count, below in enumerate(folders(folder, depth=_DEPTH)):
        if count > _MOST_FOLDERS:
            raise errors.BadRequest(f"{folder}: too large to search for services: name the folder of one")
        if any(below.startswith(f"{parent}{os.sep}") for parent in taken):
            continue
        path = Path(below)
        if path != folder and ((path / _ENTRY).is_file() or (path / "pyproject.toml").is_file()):
            manifest = _manifest(path)
            entry = path / _ENTRY
            if manifest is None and not entry.is_file():
                continue
            if manifest is None and not _inspect(entry, path).service:
                others.append(entry)
                continue
            source = _declared(path)
            assert source is not None, "it has a manifest or an entry"
            found.append(source)
            taken.append(below)
    return tuple(found), others


def _project_above(folder: Path) -> tuple[Path, ...]:
    """The folders above this one, nearest first, up to that which holds the project; none outside of a project."""
    above: list[Path] = []
    if (folder / ".git").exists() or (folder / "pyproject.toml").exists():
        return ()
    for parent in folder.parents:
        above.append(parent)
        if (parent / ".git").exists() or (parent / "pyproject.toml").exists():
            return tuple(above)
    return ()


def _of_entry(folder: Path, entry: Path, inspection: Inspection, manifest: Manifest, fallback: str) -> Source:
    name = manifest.name
    if not name and inspection.name:
        name = check_name(inspection.name, f'{entry}: Service("{inspection.name}")')
    return Source(
        name=name or check_name(folder_name(fallback), f"{entry}: named after {fallback!r}"),
        folder=str(folder),
        entry=str(entry.relative_to(folder)),
        requirements=requirements_file(folder),
        env=manifest.env,
        instances=manifest.instances,
        reload=manifest.reload,
        preload=manifest.preload,
        config=manifest.config,
        watch=manifest.watch,
        path=import_folders(folder, manifest.path, f"{folder / 'pyproject.toml'}: [tool.microlite]"),
        root=str(project_root(folder) or ""),
        depends_on=manifest.depends_on,
        broken=inspection.broken,
    )


def _of_command(folder: Path, command: tuple[str, ...], manifest: Manifest) -> Source:
    return Source(
        name=manifest.name or check_name(folder_name(folder.name), f"{folder}: named after {folder.name!r}"),
        folder=str(folder),
        command=command,
        requirements=requirements_file(folder),
        port=manifest.port,
        health=manifest.health,
        env=manifest.env,
        instances=manifest.instances,
        reload=manifest.reload,
        watch=manifest.watch,
        path=import_folders(folder, manifest.path, f"{folder / 'pyproject.toml'}: [tool.microlite]"),
        root=str(project_root(folder) or ""),
        depends_on=manifest.depends_on,
    )


def _manifest(folder: Path) -> Manifest | None:
    return read_manifest(folder, read_pyproject(folder))


def _inspect(entry: Path, folder: Path) -> Inspection:
    try:
        return inspect(entry, folder, project_root(folder))
    except OSError as error:
        raise errors.BadRequest(f"{entry}: cannot be read: {error.strerror}") from None


def _no_service(entry: Path) -> str:
    return (
        f"{entry}: no microlite Service in it, nor in the modules of its project that it imports; "
        f"if there is one, say so in pyproject.toml ([tool.microlite] entry); {_BY_COMMAND}"
    )
