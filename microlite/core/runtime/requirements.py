"""What a project asks to be installed: read from its own files into one flat text, before anything is built."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.runtime.manifest import read_pyproject
from microlite.core.runtime.tree import folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.requirements import Requirement

_TEXT: Final = "requirements.txt"
_LOCK: Final = "uv.lock"
_PROJECT: Final = "pyproject.toml"
_PLATFORM: Final = "microlite"

FILES: Final = (_TEXT, _LOCK, _PROJECT)
"""The files of a folder that say what its project needs."""

_DEEPEST: Final = 20
_EXPORT: Final = "run `uv export --no-emit-project -o requirements.txt`"


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be installed, with every included file unfolded and every path made absolute.

    Attributes:
        folder: of the project, absolute.
        file: the name of the file that says so, for messages.
        lines: in the form of a requirements.txt; microlite itself, which every environment has, is left out.
        constraints: versions that hold if a package is installed at all.
        platform: the lines that name microlite.
        python: what the project says about its Python (`requires-python`), or empty.
        local: a hash of the content of the local files and folders that are named, or empty.
    """

    folder: str
    file: str
    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()
    python: str = ""
    local: str = ""

    @property
    def installs(self) -> bool:
        """Whether anything is left to install; if not, the project needs no environment of its own."""
        return any(not line.startswith("-") or line.startswith(("-e", "--editable", "-r")) for line in self.lines)

    def parsed(self) -> Iterator[Requirement]:
        """Each line that names a package by its name and holds for this Python; others are the installer's business."""
        for line in self.lines + self.platform:
            requirement = parse_requirement(line)
            if requirement is not None and (requirement.marker is None or requirement.marker.evaluate()):
                yield requirement


def requirements_file(folder: Path) -> str:
    """The name of the file by which a project names its dependencies; empty if it names none.

    A requirements.txt goes first, since it is often the exact form (an export) of what else is there; then the
    `[project] dependencies` of pyproject.toml, with the versions of a uv.lock beside it.

    Raises:
        errors.BadRequest: pyproject.toml is no TOML.
    """
    if (folder / _TEXT).is_file():
        return _TEXT
    pyproject = read_pyproject(folder)
    if _dependencies(pyproject, folder):
        return _LOCK if (folder / _LOCK).is_file() else _PROJECT
    return ""


def read_requirements(folder: Path) -> Requirements | None:
    """Read what the folder's project asks for; None if it asks for nothing, not even for a certain Python.

    Raises:
        errors.BadRequest: a file is missing, malformed or of a kind that only another tool understands; says which.
    """
    folder = folder.resolve()
    pyproject = read_pyproject(folder)
    project = pyproject.get("project")
    python = project.get("requires-python") if isinstance(project, dict) else None
    file = requirements_file(folder)
    if not file and not python:
        return None
    lines: list[str] = []
    constraints: list[str] = []
    if file == _TEXT:
        lines = list(_unfold(folder / _TEXT, constraints))
    elif file:
        _refuse_uv_only(pyproject, folder)
        lines = _dependencies(pyproject, folder)
        if file == _LOCK:
            constraints = _locked(folder / _LOCK)
    platform = tuple(line for line in lines if _names_platform(line))
    return Requirements(
        folder=str(folder),
        file=file or _PROJECT,
        lines=tuple(line for line in lines if not _names_platform(line)),
        constraints=tuple(line for line in constraints if not _names_platform(line)),
        platform=platform,
        python=python if isinstance(python, str) else "",
        local=_local_content(lines),
    )


def parse_requirement(line: str) -> Requirement | None:
    """The line as a requirement, without its hashes; None if it is an option, a path or nothing that parses."""
    # Imported late: who only looks for sources, as the command line does, shall not pay for it.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(re.split(r"\s+--hash[=\s]", line, maxsplit=1)[0])
    except InvalidRequirement:
        return None


def _names_platform(line: str) -> bool:
    requirement = parse_requirement(line)
    return requirement is not None and requirement.name.lower() == _PLATFORM


def _dependencies(pyproject: Mapping[str, Any], folder: Path) -> list[str]:
    where = folder / _PROJECT
    project = pyproject.get("project")
    if not isinstance(project, dict):
        poetry = pyproject.get("tool", {}).get("poetry", {})
        listed = poetry.get("dependencies", {}) if isinstance(poetry, dict) else {}
        if set(listed) - {"python"}:
            raise errors.BadRequest(
                f"{where}: [tool.poetry.dependencies] is not read: list them in [project] dependencies, "
                "or export a requirements.txt"
            )
        return []
    dynamic = project.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise errors.BadRequest(
            f"{where}: [project] dynamic: dependencies that are found at build time are not read: "
            "list them in [project] dependencies or in a requirements.txt"
        )
    listed = project.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(line, str) for line in listed):
        raise errors.BadRequest(f"{where}: [project] dependencies: is no list of texts")
    for line in listed:
        if parse_requirement(line) is None:
            raise errors.BadRequest(f"{where}: [project] dependencies: {line!r} is no requirement, such as httpx>=0.27")
    return list(listed)


def _refuse_uv_only(pyproject: Mapping[str, Any], folder: Path) -> None:
    """A source that only uv knows would else be looked up by name on the public index: the wrong package, at worst."""
    uv = pyproject.get("tool", {}).get("uv", {})
    for key in ("sources", "index"):
        if isinstance(uv, dict) and uv.get(key):
            raise errors.BadRequest(f"{folder / _PROJECT}: [tool.uv] {key} is not read: {_EXPORT}")


def _locked(path: Path) -> list[str]:
    """The versions of a uv.lock as constraints. A package with several versions, for several platforms, has none."""
    try:
        packages = tomllib.loads(path.read_bytes().decode()).get("package", [])
        versions: dict[str, set[str]] = {}
        for package in packages:
            source = package["source"]
            if "registry" in source:
                versions.setdefault(package["name"], set()).add(package["version"])
            elif not {"virtual", "editable"} & set(source):
                raise errors.BadRequest(f"{path}: {package['name']} comes from no registry: {_EXPORT}")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError) as error:
        raise errors.BadRequest(f"{path}: cannot be read as a lock of uv: {error}") from None
    return [f"{name}=={next(iter(found))}" for name, found in sorted(versions.items()) if len(found) == 1]


def _unfold(path: Path, constraints: list[str], depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        raise errors.BadRequest(f"{path}: the files include each other in a circle")
    try:
        # A byte order mark is what some editors on Windows put in front.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise errors.BadRequest(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.BadRequest(f"{path}: is not UTF-8 text") from None
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        option, value = _option(line)
        if option in ("-r", "--requirement", "-c", "--constraint") and "://" not in value:
            included = _unfold(_absolute(value, path), constraints, depth + 1)
            if option in ("-r", "--requirement"):
                yield from included
            else:
                constraints.extend(included)
        elif option in ("-f", "--find-links") and "://" not in value:
            yield f"--find-links {shlex.quote(str(_absolute(value, path)))}"
        elif option in ("-e", "--editable") and "://" not in value:
            yield f"-e {_absolute(value, path)}"
        elif not option and _is_local(line):
            yield str(_absolute(line, path))
        else:
            yield " ".join(line.split())


def _option(line: str) -> tuple[str, str]:
    """The option of a line and its value, or two empty texts: `-r base.txt`, `--requirement=base.txt`, `-rbase.txt`."""
    found = re.match(r"(--[a-z-]+)(?:[=\s]\s*(.*))?$|(-[a-zA-Z])\s*(.*)$", line)
    if found is None:
        return "", ""
    value = found[2] or found[4] or ""
    return found[1] or found[3], value.strip().strip("\"'")


def _absolute(value: str, importer: Path) -> Path:
    return Path(os.path.normpath(importer.parent / value.removeprefix("file:")))


def _is_local(line: str) -> bool:
    return line.startswith((".", "/", "file:.")) or bool(re.fullmatch(r"[^\s@;:]+\.(whl|tar\.gz|zip)", line))


def _local_content(lines: list[str]) -> str:
    """A hash of what the paths among the lines hold now, so that a rebuilt wheel is installed anew.

    An editable folder is not hashed: it is used in place. A folder of links is not: its files are chosen by version.
    """
    paths = [Path(line.split(" ; ")[0].split("[")[0]) for line in lines if line.startswith("/")]
    if not paths:
        return ""
    digest = hashlib.sha256()
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(file for folder in folders(path) for file in Path(folder).iterdir() if file.is_file())
        for file in files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise errors.BadRequest(f"{file}: is named in the requirements: {error.strerror}") from None
            digest.update(f"{file}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
