"""`[tool.microlite]` of a pyproject.toml: what a project may say about how it is run, and each mistake by its key."""

from __future__ import annotations

import difflib
import enum
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.config.files import read_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_INSTANCES: Final = 1000


class Reload(enum.StrEnum):
    """How new code takes the place of the old."""

    OVERLAP = "overlap"
    """The new node is up before the old one goes."""
    EXCLUSIVE = "exclusive"
    """The old node ends first and calls wait meanwhile: for programs that hold a port or a lock."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The table, checked; every key may be absent.

    Attributes:
        entry: the file to run, relative to the folder.
        name: of the service.
        command: the program to run instead of a file, split into words.
        port: the port that a command listens on, if it does not take the one in `PORT`; else 0.
        health: the path that a command answers with 2xx or 3xx when it is well; empty to only try to connect.
        env: additions to the environment.
        instances: how many nodes.
        reload: how new code takes over.
        preload: modules that the fork server imports beforehand.
        watch: extensions (`.py`) whose files count as source, instead of the usual ones.
        path: further folders to import from, relative to the folder and inside its project, which ends at the folder with
            `.git` or `microlite.toml`.
        config: files with settings for services, of which later ones hide earlier ones; relative to the folder in the
            table, and absolute here.
        depends_on: names of services that have to be healthy before this one is started.
    """

    entry: str = ""
    name: str = ""
    command: tuple[str, ...] = ()
    port: int = 0
    health: str = ""
    env: dict[str, str] = {}
    instances: int = 1
    reload: Reload = Reload.OVERLAP
    preload: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


def normalise(name: str) -> str:
    """A name as it is registered and routed: lower case, with `-` for `_`."""
    return name.strip().lower().replace("_", "-")


def folder_name(name: str) -> str:
    """The name of a service by the name of its folder or file: also spaces and dots become dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def check_name(name: str, where: str) -> str:
    """The normalised name.

    Args:
        name: as it was written.
        where: what to name in the error: a flag, a file and key, a folder.

    Raises:
        errors.BadRequest: it is no name of a service, also not when normalised.
    """
    tidy = normalise(name)
    if not NAME.fullmatch(tidy):
        raise errors.BadRequest(
            f"{where}: {name!r} is no name for a service: a letter, then letters, digits and dashes, at most 63"
        )
    return tidy


def split_command(command: str, where: str) -> tuple[str, ...]:
    """The words of a command line, by the shell's rules for quotes; nothing is expanded.

    Raises:
        errors.BadRequest: it is empty, or a quote is not closed.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise errors.BadRequest(f"{where}: {command!r} cannot be split into words: {error}") from None
    if not words:
        raise errors.BadRequest(f"{where}: the command is empty")
    return words


def read_pyproject(folder: Path) -> dict[str, Any]:
    """The folder's pyproject.toml as it parses; empty if there is none.

    Raises:
        errors.BadRequest: it is no TOML, or cannot be read.
    """
    path = folder / "pyproject.toml"
    try:
        return tomllib.loads(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise errors.BadRequest(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.BadRequest(f"{path}: is not valid TOML: {error}") from None


def read_manifest(folder: Path, pyproject: Mapping[str, Any] | None = None) -> Manifest | None:
    """The folder's `[tool.microlite]`, or None if it has no such table.

    Args:
        folder: of the project.
        pyproject: its pyproject.toml if that was read before.

    Raises:
        errors.BadRequest: a key is unknown or has a value that does not fit; names file and key.
    """
    parsed = read_pyproject(folder) if pyproject is None else pyproject
    tool = parsed.get("tool")
    table = tool.get("microlite") if isinstance(tool, dict) else None
    if table is None:
        return None
    where = f"{folder / 'pyproject.toml'}: [tool.microlite]"
    manifest = read_table(table, folder, where)
    if manifest.port and not manifest.command:
        raise errors.BadRequest(f"{where} port: is only for a command; a microlite service needs none")
    return manifest


def read_table(table: object, folder: Path, where: str, *, others: Collection[str] = ()) -> Manifest:
    """A table, checked.

    Args:
        table: as it parses.
        folder: what paths in it are relative to.
        where: file and table, for errors.
        others: keys that may stand in it too, and are not looked at.

    Raises:
        errors.BadRequest: a key is unknown or has a value that does not fit; names file and key.
    """
    if not isinstance(table, dict):
        raise errors.BadRequest(f"{where} is not a table")
    known = (*others, *Manifest.__struct_encode_fields__)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it can have {', '.join(known)}"
            raise errors.BadRequest(f"{where} has no key {key}: {hint}")
    values = {key: value for key, value in table.items() if key not in others}
    if isinstance(values.get("command"), str):
        values["command"] = split_command(values["command"], f"{where} command")
    try:
        manifest = msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        raise misfit(error, where) from None
    return _checked(manifest, folder, where)


def misfit(error: msgspec.ValidationError, where: str) -> errors.BadRequest:
    """The error for a value that does not fit its key."""
    # msgspec ends its message with the path of the value: "Expected `int`, got `str` - at `$.port`".
    detail, _, path = str(error).partition(" - at `$.")
    return errors.BadRequest(f"{where} {path.rstrip('`')}: {detail[:1].lower()}{detail[1:]}")


def check_variables(table: object, where: str) -> dict[str, str]:
    """A table of environment variables.

    Raises:
        errors.BadRequest: it is none.
    """
    if not isinstance(table, dict):
        raise errors.BadRequest(f"{where}: expected a table of variables")
    for variable, value in table.items():
        if not _VARIABLE.fullmatch(variable):
            raise errors.BadRequest(f"{where}: {variable!r} is no name for an environment variable")
        if not isinstance(value, str):
            raise errors.BadRequest(f"{where}: {variable}: expected a text in quotes, got {value!r}")
    return table


def check_config_files(files: object, folder: Path, where: str) -> tuple[str, ...]:
    """The absolute paths of configuration files.

    Args:
        files: a list of paths, relative to the folder.
        folder: of the table that names them.
        where: file and key, for errors.

    Raises:
        errors.BadRequest: it is no such list, or one of them cannot be read.
    """
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) and file for file in files):
        raise errors.BadRequest(f'{where}: expected a list of files, as in ["config.toml"]')
    paths = tuple(folder / file for file in files)
    for path in paths:
        try:
            read_file(path)
        except errors.Error as error:
            raise errors.BadRequest(f"{where}: {error.detail}") from None
    return tuple(str(path.absolute()) for path in paths)


def _checked(manifest: Manifest, folder: Path, where: str) -> Manifest:
    def refuse(key: str, sentence: str) -> errors.BadRequest:
        return errors.BadRequest(f"{where} {key}: {sentence}")

    if manifest.entry and manifest.command:
        raise refuse("command", "stands beside entry: say one of the two")
    if manifest.entry:
        entry = folder / manifest.entry
        if not entry.resolve().is_relative_to(folder.resolve()):
            raise refuse("entry", f"{manifest.entry!r} lies outside the folder")
        if not entry.is_file():
            raise refuse("entry", f"there is no file {manifest.entry!r} in the folder")
    if not 0 <= manifest.port <= 65535:
        raise refuse("port", f"{manifest.port} is no port: 1 to 65535")
    if manifest.health and not manifest.health.startswith("/"):
        raise refuse("health", f"{manifest.health!r} is no path: it begins with /")
    if not 0 <= manifest.instances <= _MOST_INSTANCES:
        raise refuse("instances", f"{manifest.instances} is not between 0 and {_MOST_INSTANCES}")
    check_variables(manifest.env, f"{where} env")
    for module in manifest.preload:
        if not all(part.isidentifier() for part in module.split(".")):
            raise refuse("preload", f"{module!r} is no name of a module")
    for extension in manifest.watch:
        if not re.fullmatch(r"\.[^./\s]+", extension):
            raise refuse("watch", f"{extension!r} is no extension: write it as .py")
    return msgspec.structs.replace(
        manifest,
        config=check_config_files(manifest.config, folder, f"{where} config"),
        name=check_name(manifest.name, f"{where} name") if manifest.name else "",
        depends_on=tuple(check_name(name, f"{where} depends-on") for name in manifest.depends_on),
    )
