"""What a service can import besides what lies in its own folder: the code that a project shares among its services.

The rule: first the service's own folder, then the folders that `path` names, then whatever Python finds by itself, and
last the root of the project, which is the nearest folder above with `.git` or `microlite.toml`. So `from shop import
prices` finds `<root>/shop/prices.py`, and nothing at the root can take the place of an installed package.
"""

from __future__ import annotations

import ast
import functools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT: Final = "microlite.toml"
"""The file that names the services of a project."""

VARIABLES: Final = ".env"
"""The file with variables for a service, in its folder and in the root of its project."""

_MODULES_READ: Final = 500


def project_root(folder: Path) -> Path | None:
    """The root of the project that a folder belongs to; None if it belongs to none."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists() or (candidate / PROJECT).is_file():
            return candidate
    return None


def import_folders(folder: Path, path: Sequence[str], where: str) -> tuple[str, ...]:
    """The folders that `path` names, as absolute paths.

    Raises:
        BadRequest: one of them is not there, or lies outside of the project.
    """
    root = project_root(folder) or folder
    found = []
    for part in path:
        named = Path(os.path.normpath(folder / part))
        if not named.is_dir():
            raise errors.BadRequest(f"{where} path: there is no folder {part!r}, seen from {folder}")
        if not named.resolve().is_relative_to(root.resolve()):
            raise errors.BadRequest(
                f"{where} path: {part!r} lies outside of the project, which is {root}: "
                f"a project ends at the folder with .git or {PROJECT}"
            )
        found.append(str(named))
    return tuple(found)


class Watched(NamedTuple):
    """What a service is made of, as far as it can be read."""

    folders: tuple[str, ...]
    """Its own, and those of the packages that it imports from elsewhere; all below them counts."""
    files: tuple[str, ...]
    """Single files: modules that lie in a root of the path itself, and the variables of the project."""


def watched(
    folder: Path, entry: str, path: Sequence[str], root: str, *, alone: bool = False, beside: Sequence[str] = ()
) -> Watched:
    """What has to be watched for a service. Reads files and imports none: not for the loop.

    Args:
        folder: of the service.
        entry: the file that is run, relative to it; empty for a command.
        path: further folders to import from.
        root: the project's, empty if there is none.
        alone: whether the folder holds other things too, and only what the entry imports from it counts.
        beside: names of files that count in such a folder all the same.
    """
    roots = tuple(Path(place) for place in (*path, root) if place and place != str(folder))
    folders, files = set[str](), set[str]()
    if alone:
        files |= {str(folder / name) for name in (entry, VARIABLES, *beside)}
    else:
        folders.add(str(folder))
    for module in _imported(folder / entry, (folder, *roots)) if entry and (alone or roots) else ():
        if module.is_relative_to(folder) and not alone:
            continue
        if module.parent in (folder, *roots):
            files.add(str(module))
        else:
            folders.add(str(module.parent))
    if root and root != str(folder):
        files.add(str(Path(root, VARIABLES)))
    return Watched(tuple(sorted(folders)), tuple(sorted(files)))


def _imported(entry: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The modules below some folders that a file imports, directly or through others."""
    queue, seen = [entry], {entry}
    while queue and len(seen) <= _MODULES_READ:
        module = queue.pop()
        for name in _imports(module):
            for candidate in module_files(name, module, roots):
                if candidate not in seen:
                    seen.add(candidate)
                    queue.append(candidate)
                    yield candidate


def _imports(path: Path) -> Sequence[str]:
    """The names in the import statements of a file, relative ones with their dots; none if it does not parse."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return _imports_of(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4 * _MODULES_READ)
def _imports_of(path: Path, modified: int, size: int) -> Sequence[str]:  # noqa: ARG001 - by which a change is told
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are shown when the code runs
            tree = ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            separator = "" if module.endswith(".") else "."
            found += [module, *(module + separator + alias.name for alias in node.names)]
    return tuple(dict.fromkeys(found))


def module_files(module: str, importer: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The files that importing a module runs: of each package on the way, and its own, from the first root with it.

    Args:
        module: its name, a relative one with its dots.
        importer: the file that imports it.
        roots: where it is looked for. The library itself never lies there.
    """
    bare = module.lstrip(".")
    level = len(module) - len(bare)
    if level:
        base = importer.parent
        for _ in range(level - 1):
            base = base.parent
        roots = (base,)
    parts = [part for part in bare.split(".") if part]
    if parts[:1] == ["microlite"] and not level:
        return
    for root in roots:
        found = [root.joinpath(*parts[:count], "__init__.py") for count in range(0 if level else 1, len(parts) + 1)]
        if parts:
            found.append(root.joinpath(*parts[:-1], f"{parts[-1]}.py"))
        present = [path for path in found if path.is_file()]
        if present:
            yield from present
            return
