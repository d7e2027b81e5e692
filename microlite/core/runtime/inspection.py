"""What a Python file says about itself, read and never run: is it a microlite service, and what is its name?"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

import msgspec

from microlite.core.runtime.importing import module_files

if TYPE_CHECKING:
    from pathlib import Path

_MODULES_READ = 50
"""So many local modules are read in search of a `Service`; a project that hides it deeper can say `entry`."""


class Inspection(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        service: the file, or a local module that it imports, imports microlite.
        name: the name in `Service("name")`, if the call has a literal there; not normalised.
        broken: the message of the syntax error, if the file has one.
    """

    service: bool = False
    name: str = ""
    broken: str = ""


class _Module(msgspec.Struct, frozen=True):
    inspection: Inspection
    imports: tuple[str, ...] = ()


def inspect(entry: Path, folder: Path, root: Path | None = None) -> Inspection:
    """Read `entry`, and the modules of `folder` that it imports as far as needed, without importing any.

    Modules that it imports from the root of its project, if it has one, can make it a service and never name it: what
    is shared speaks of several.

    A file with a syntax error counts as a service if the word microlite stands in it: it shall be run, so that the
    error is shown where errors of services are shown, and the next save can heal it.

    Raises:
        OSError: `entry` cannot be read.
    """
    first = _read(entry)
    if first.inspection.broken:
        return first.inspection
    found = first.inspection
    queue, seen = [(entry, first)], {entry}
    while queue and not (found.service and found.name) and len(seen) <= _MODULES_READ:
        path, module = queue.pop(0)
        for name in module.imports:
            for candidate in module_files(name, path, (folder, root) if root is not None else (folder,)):
                if candidate in seen:
                    continue
                seen.add(candidate)
                try:
                    imported = _read(candidate)
                except OSError:
                    continue
                found = Inspection(
                    service=found.service or imported.inspection.service,
                    name=found.name or (imported.inspection.name if candidate.is_relative_to(folder) else ""),
                )
                queue.append((candidate, imported))
    return found


def _read(path: Path) -> _Module:
    source = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in user code is the user's business, at run time
            tree = ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return _Module(Inspection(service=b"microlite" in source, name=_name_in_text(source), broken=where + message))
    return _module(tree)


def _module(tree: ast.Module) -> _Module:
    microlite, services = set[str](), set[str]()
    imports: list[str] = []
    name = ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports.append(alias.name)
                if alias.name.split(".")[0] == "microlite":
                    microlite.add((alias.asname or alias.name).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports.append(module)
            separator = "" if module.endswith(".") else "."
            imports.extend(module + separator + alias.name for alias in node.names)
            if module.split(".")[0] == "microlite":
                microlite.add("")  # imported, under no name of its own
                services.update(alias.asname or alias.name for alias in node.names if alias.name == "Service")
    if microlite:
        name = next((found for node in ast.walk(tree) if (found := _literal_name(node, microlite, services))), "")
    return _Module(Inspection(service=bool(microlite), name=name), tuple(imports))


def _literal_name(node: ast.AST, microlite: set[str], services: set[str]) -> str:
    if not isinstance(node, ast.Call):
        return ""
    called = node.func
    direct = isinstance(called, ast.Name) and called.id in services
    dotted = (
        isinstance(called, ast.Attribute)
        and called.attr == "Service"
        and isinstance(called.value, ast.Name)
        and called.value.id in microlite
    )
    if not (direct or dotted):
        return ""
    given = node.args[0] if node.args else next((word.value for word in node.keywords if word.arg == "name"), None)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""


def _name_in_text(source: bytes) -> str:
    """The best guess for a file that does not parse, so that a typo does not give the service another name."""
    found = re.search(rb"""\bService\(\s*(?:name\s*=\s*)?["']([A-Za-z0-9_.-]+)["']""", source)
    return found[1].decode() if found else ""


def variable_of(entry: Path) -> str:
    """The variable that holds the service in a file, empty where none is seen."""
    try:
        found = re.search(rb"^(\w+)[^=\n]*=\s*(?:\w+\.)?Service\(", entry.read_bytes(), re.MULTILINE)
    except OSError:
        return ""
    return found[1].decode() if found else ""
