"""`microlite.toml`: several services that belong together, each with where it is and how it is run."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.runtime.git.address import Address, of_path, parse_address
from microlite.core.runtime.importing import PROJECT, import_folders
from microlite.core.runtime.manifest import (
    Manifest,
    check_config_files,
    check_name,
    check_variables,
    misfit,
    read_table,
)

if TYPE_CHECKING:
    from microlite.core.runtime.sources import Source

_KEYS: Final = ("config", "env", "services")
_OVER: Final = ("port", "health", "instances", "reload", "preload", "watch", "depends_on")
"""Fields that stand here or there; what is said here counts."""

_NOT_HERE: Final = {"name": "the table's own name is the service's", "entry": "name the file as source"}


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a service in a project file besides the keys of `[tool.microlite]`.

    Attributes:
        source: its folder or file, relative to the project file, or its address in a git repository; the folder of its
            name if that is not said.
        version: in place of the one that the code says.
    """

    source: str = ""
    version: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One service of a project.

    Attributes:
        name: of the service, normalised.
        where: file and table, for errors.
        place: absolute path of its folder or file; empty for an address.
        address: where it is, if that is in another repository.
        version: in place of the one that the code says.
        path: the folders that `path` names here, absolute.
        table: what is said of it here.
        given: the fields of `table` that are said; of the others, what the service's own project says holds.
    """

    name: str
    where: str
    place: str = ""
    address: Address | None = None
    version: str = ""
    path: tuple[str, ...] = ()
    table: Manifest = Manifest()
    given: tuple[str, ...] = ()

    def complete(self, source: Source, project: Project) -> Source:
        """The service as it is to be run: what stands here goes before what its own project says.

        Args:
            source: as its own project says.
            project: its own variables and configuration files are for all its services; the weakest of the three.

        Raises:
            BadRequest: the two do not go together.
        """
        said = {field: getattr(self.table, field) for field in self.given if field in _OVER}
        if said.get("port", source.port) and not source.command:
            raise errors.BadRequest(f"{self.where} port: is only for a command; a microlite service needs none")
        env = {**project.env, **source.env, **self.table.env}
        config = tuple(dict.fromkeys((*project.config, *source.config, *self.table.config)))
        return msgspec.structs.replace(source, **said, path=self.path or source.path, env=env, config=config)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The file, checked.

    Attributes:
        folder: that it lies in, absolute.
        config: absolute paths of configuration files for all its services.
        env: variables that all its services see.
        parts: its services, in the order of the file.
    """

    folder: str
    config: tuple[str, ...]
    env: dict[str, str]
    parts: tuple[Part, ...]


def read_project(folder: Path) -> Project | None:
    """The project file of a folder, None if it has none.

    Raises:
        BadRequest: it is no TOML, or a key is unknown or has a value that does not fit; names file and key.
    """
    path = folder / PROJECT
    try:
        parsed = tomllib.loads(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise errors.BadRequest(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.BadRequest(f"{path}: is not valid TOML: {error}") from None
    for key in parsed:
        if key not in _KEYS:
            raise errors.BadRequest(
                f"{path} has no key {key}: it can have config, env and a table [services.<name>] for each"
            )
    services = parsed.get("services")
    if not isinstance(services, dict) or not services:
        raise errors.BadRequest(f"{path}: names no service: write a table [services.<name>] for each")
    parts = tuple(_part(name, table, folder, path) for name, table in services.items())
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise errors.BadRequest(f"{path}: two services have the name {name}")
    return Project(
        folder=str(folder),
        config=check_config_files(parsed.get("config", []), folder, f"{path}: config"),
        env=check_variables(parsed.get("env", {}), f"{path}: env"),
        parts=parts,
    )


def _part(name: str, table: object, folder: Path, path: Path) -> Part:
    where = f"{path}: [services.{name}]"
    if not isinstance(table, dict):
        raise errors.BadRequest(f"{where} is not a table")
    for key, why in _NOT_HERE.items():
        if key in table:
            raise errors.BadRequest(f"{where} {key}: is not said here: {why}")
    try:
        named = msgspec.convert({key: table[key] for key in Named.__struct_fields__ if key in table}, Named)
    except msgspec.ValidationError as error:
        raise misfit(error, where) from None
    place, address = _place(named.source or name, folder, where)
    base = folder if address is not None else Path(place) if Path(place).is_dir() else Path(place).parent
    manifest = read_table(table, base, where, others=Named.__struct_fields__)
    if manifest.path and address is not None:
        raise errors.BadRequest(f"{where} path: is said in the other repository, in the pyproject.toml of the service")
    return Part(
        name=check_name(name, where),
        where=where,
        place=place,
        address=address,
        version=named.version,
        path=import_folders(base, manifest.path, where),
        table=manifest,
        given=tuple(field for field, key in _FIELDS if key in table),
    )


_FIELDS: Final = tuple(zip(Manifest.__struct_fields__, Manifest.__struct_encode_fields__, strict=True))


def _place(source: str, folder: Path, where: str) -> tuple[str, Address | None]:
    """A folder or file of the project goes before an address that looks like it."""
    path = Path(os.path.normpath(folder / Path(source).expanduser()))
    if path.exists():
        return str(path), None
    try:
        address = parse_address(source) or of_path(str(path))
    except errors.Error as error:
        raise errors.BadRequest(f"{where} source: {error.detail}") from None
    if address is None:
        raise errors.BadRequest(
            f"{where} source: there is no folder or file {source!r} in {folder}, and it is no git address"
        )
    return "", address
