"""What the services of a namespace declare about their configuration, for as long as they are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from microlite.core import errors
from microlite.core.config.paths import join, lies_within, words_of
from microlite.core.config.tree import flatten, is_empty_table, type_word
from microlite.core.description import conformity
from microlite.core.registry.api import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import ConfigDeclaration, Schema
    from microlite.core.registry.registry import Lease, Registry

_MAX_GUESSED: Final = 64


class Declared(NamedTuple):
    """A declaration and the service that makes it."""

    service: str
    declaration: ConfigDeclaration


class Declarations:
    """Listens to the registry.

    Args:
        registry: of the platform.
    """

    def __init__(self, registry: Registry) -> None:
        self._leases: dict[str, dict[Lease, tuple[Declared, ...]]] = {}
        self._known: dict[str, list[Declared]] = {}
        self._listeners: list[Callable[[str], None]] = []
        registry.subscribe(self._on_change)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the namespace whenever what is declared there may be different."""
        self._listeners.append(listener)

    def of(self, namespace: str) -> list[Declared]:
        """All declarations of a namespace, each once, by path and service; those of the newest node last."""
        known = self._known.get(namespace)
        if known is not None:
            return known
        if namespace not in self._leases:
            return []
        found: dict[tuple[str, str, str], Declared] = {}
        for declared in self._leases.get(namespace, {}).values():
            for one in declared:
                key = (one.declaration.path, one.service, repr(one.declaration))
                found.pop(key, None)
                found[key] = one
        known = self._known[namespace] = sorted(found.values(), key=lambda one: (one.declaration.path, one.service))
        return known

    def defaults(self, namespace: str) -> dict[str, Declared]:
        """The leaves that have a default in code, with who declares it. Of several, the last service by name."""
        found: dict[str, Declared] = {}
        for one in self.of(namespace):
            for path in default_leaves(one.declaration):
                found[path] = one
        return found

    def is_secret(self, namespace: str, path: str) -> bool:
        """Whether a service declares that what stands at a path is secret."""
        return any(one.declaration.secret and lies_within(path, one.declaration.path) for one in self.of(namespace))

    def check(self, namespace: str, path: str, value: object) -> None:
        """Raise if a leaf does not fit what a service declares for its place.

        Raises:
            BadRequest: naming path, type and service, and never the value.
        """
        for one in self.of(namespace):
            if wrong := misfit(one.declaration, path, value):
                raise errors.BadRequest(f"{path}{wrong}, as {one.service} declares {_name(one.declaration.path)}")

    def _on_change(self, action: Action, lease: Lease) -> None:
        registration = lease.registration
        leases = self._leases.get(registration.namespace, {})
        if action is Action.DELETE:
            if leases.pop(lease, None) is None:
                return
            if not leases:
                self._leases.pop(registration.namespace, None)
        elif registration.service.config:
            declared = tuple(Declared(registration.service.name, one) for one in registration.service.config)
            self._leases.setdefault(registration.namespace, {})[lease] = declared
        else:
            return
        self._known.pop(registration.namespace, None)
        for listener in self._listeners:
            listener(registration.namespace)


def default_leaves(declaration: ConfigDeclaration) -> dict[str, Any]:
    """The leaves that a declaration has defaults for."""
    if not declaration.has_default:
        return {}
    return flatten(declaration.default, words_of(declaration.path))


def misfit(declaration: ConfigDeclaration, path: str, value: object) -> str:
    """What is wrong with a leaf at a canonical path, from its end on: `: expected int, got str`; empty if nothing is.

    Fields that are missing are no misfit: a table is set leaf by leaf.
    """
    schema: Schema = declaration.schema
    top = declaration.path
    if not lies_within(path, top):
        if lies_within(top, path) and not is_empty_table(value):
            return f": expected a table, got {type_word(value)}: {top} lies below"
        return ""
    nodes = [schema]
    done = top
    for word in words_of(path)[len(words_of(top)) :]:
        inner = [below for node in nodes if (below := conformity.below(node, schema, word)) is not None]
        if not inner:
            return f": {_unknown(nodes, schema, word, done)}"
        if any(not found for found in inner):
            return ""  # a table of whatever one likes
        nodes = [node for found in inner for node in found]
        done = join(done, word)
    if is_empty_table(value):
        allowed = [branch for node in nodes for branch in conformity.branches(node, schema)]
        if any(branch.get("type") in ("object", None) for branch in allowed):
            return ""
    wrong = conformity.misfit(value, nodes, schema)
    if not wrong:
        return ""
    return wrong if wrong.startswith((".", "[")) else f": {wrong}"


def _unknown(nodes: list[Schema], schema: Schema, word: str, above: str) -> str:
    known = sorted({name for node in nodes for name in conformity.fields(node, schema)})
    if not known:
        return f"expected {conformity.expected(nodes, schema)} at {_name(above)}, and no table"
    import difflib  # seldom needed, and 5 ms to import

    near = difflib.get_close_matches(word, known, n=1) if len(word) <= _MAX_GUESSED else []
    return (
        f"no such setting; did you mean {join(above, near[0])}?"
        if near
        else (f"no such setting; {_name(above)} has {', '.join(known)}")
    )


def _name(path: str) -> str:
    return path or "the whole configuration"
