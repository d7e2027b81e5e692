"""What lies below that which was set: defaults in code, files, variables of the environment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.core import errors
from microlite.core.config.api import HIDDEN, Layer, Misfit, Setting
from microlite.core.config.declarations import default_leaves, misfit
from microlite.core.config.files import format_of, from_variables, read_file, text_value
from microlite.core.config.paths import check_words, format_path, lies_within
from microlite.core.config.records import encode
from microlite.core.config.tree import flatten, overlay
from microlite.core.context import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from microlite.core.config.declarations import Declarations, Declared
    from microlite.core.config.keys import Keys
    from microlite.core.config.records import Sealed

PREFIX: Final = "MICROLITE_CONFIG_"
"""With what the variables begin."""

log = logging.getLogger("microlite.config")


class Leaf(NamedTuple):
    """A leaf with all that is known of it.

    A secret that was set is `sealed`, and its setting has `[secret]` in place of the value; one of another layer stands in
    its setting in clear.
    """

    setting: Setting
    sealed: Sealed | None = None


class ConfigFile(NamedTuple):
    """A file to read, and whose configuration it is."""

    path: Path
    namespace: str = DEFAULT_NAMESPACE


def show(keys: Keys, namespace: str, leaf: Leaf, *, reveal: bool) -> Setting:
    """A leaf as somebody may see it; what cannot be decrypted says so in `problem`."""
    setting = leaf.setting
    if not setting.secret:
        return setting
    if not reveal:
        return setting if leaf.sealed is not None else msgspec.structs.replace(setting, value=HIDDEN)
    if leaf.sealed is None:
        return setting
    try:
        return msgspec.structs.replace(setting, value=keys.open(namespace, setting.path, leaf.sealed))
    except errors.Unprocessable as error:
        return msgspec.structs.replace(setting, problem=error.detail)


class Layers:
    """The layers of all namespaces.

    Args:
        declarations: give the defaults, and the types for what is written as text.
        files: later ones hide earlier ones.
        environ: the platform's variables; they are for the default namespace.

    Raises:
        BadRequest: a file cannot be read.
    """

    def __init__(
        self, declarations: Declarations, files: Sequence[ConfigFile] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        self._declarations = declarations
        self._files = tuple(files)
        self._contents: dict[ConfigFile, dict[str, Any]] = {file: read_file(file.path) for file in self._files}
        self._broken: dict[ConfigFile, str] = {}
        self._projects: dict[str, tuple[ConfigFile, ...]] = {}
        self._variables = [
            (name.removeprefix(PREFIX), text) for name, text in (environ or {}).items() if name.startswith(PREFIX)
        ]
        self._bases: dict[str, dict[str, Leaf]] = {}
        self._stacks: dict[str, list[dict[str, Leaf]]] = {}
        self._listeners: list[Callable[[str], None]] = []
        declarations.subscribe(self._changed)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are to be watched."""
        return tuple(str(file.path) for file in self._all())

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the namespace whenever a layer of it may be different."""
        self._listeners.append(listener)

    def reload(self, paths: Iterable[str]) -> None:
        """Read files anew that have changed. One that cannot be read leaves what was read before in force."""
        changed = set(paths)
        for file in self._all():
            if str(file.path) in changed and self._read(file):
                self._changed(file.namespace)

    def use_projects(self, namespace: str, paths: Sequence[str]) -> bool:
        """Take the files that the projects of services name which run now. They lie below those of the platform.

        Returns:
            Whether they are others than before.
        """
        files = tuple(ConfigFile(Path(path), namespace) for path in paths)
        before = self._projects.get(namespace, ())
        if files == before:
            return False
        self._projects[namespace] = files
        for file in before:
            if file not in files and file not in self._files:
                self._contents.pop(file, None)
                self._broken.pop(file, None)
        for file in files:
            if file not in self._contents:
                self._contents[file] = {}
                self._read(file)
        self._changed(namespace)
        return True

    def _all(self) -> tuple[ConfigFile, ...]:
        """All files, those that lie below first."""
        return (*(file for files in self._projects.values() for file in files), *self._files)

    def _read(self, file: ConfigFile) -> bool:
        """Read a file anew; returns whether there is something new."""
        try:
            content = read_file(file.path) if file.path.exists() else {}
        except errors.Error as error:
            known = self._broken.get(file)
            self._broken[file] = error.detail
            if known != error.detail:
                log.warning("%s; what it held before stays in force", error.detail)
            return False
        self._broken.pop(file, None)
        before, self._contents[file] = self._contents.get(file), content
        return encode(before) != encode(content)

    def base(self, namespace: str) -> dict[str, Leaf]:
        """All these layers merged into one tree."""
        base = self._bases.get(namespace)
        if base is None:
            base = {}
            for layer in reversed(self.stack(namespace)):
                base = overlay(base, layer, _is_empty)
            if base:  # anybody may ask for a namespace that has none of this
                self._bases[namespace] = base
        return base

    def stack(self, namespace: str) -> list[dict[str, Leaf]]:
        """Each layer by itself, the uppermost first."""
        stack = self._stacks.get(namespace)
        if stack is None:
            declared = self._declarations.of(namespace)
            stack = []
            if namespace == DEFAULT_NAMESPACE and self._variables:
                stack.append(variable_leaves(self._variables, declared, PREFIX))
            for file in reversed(self._all()):
                if file.namespace == namespace:
                    stack.append(self._file_leaves(file, declared))
            defaults = self._default_leaves(declared)
            if defaults:
                stack.append(defaults)
            if stack:
                self._stacks[namespace] = stack
        return stack

    def problems(self, namespace: str) -> list[Misfit]:
        """Files that could not be read anew."""
        return [
            Misfit(path="", problem=problem, layer=Layer.FILE, source=str(file.path))
            for file, problem in self._broken.items()
            if file.namespace == namespace
        ]

    def _file_leaves(self, file: ConfigFile, declared: list[Declared]) -> dict[str, Leaf]:
        content = self._contents[file]
        if format_of(file.path.name) == "env":
            leaves = variable_leaves(content.items(), declared, "")
            return {
                path: leaf._replace(
                    setting=msgspec.structs.replace(
                        leaf.setting, layer=Layer.FILE, source=f"{file.path} ({leaf.setting.source})"
                    )
                )
                for path, leaf in leaves.items()
            }
        return {
            path: Leaf(
                Setting(
                    path=path,
                    value=value,
                    layer=Layer.FILE,
                    source=str(file.path),
                    secret=_is_secret(declared, path),
                )
            )
            for path, value in flatten(content).items()
        }

    @staticmethod
    def _default_leaves(declared: list[Declared]) -> dict[str, Leaf]:
        merged: dict[str, Leaf] = {}
        for one in declared:
            leaves = {
                path: Leaf(
                    Setting(
                        path=path,
                        value=value,
                        layer=Layer.DEFAULT,
                        source=one.service,
                        secret=_is_secret(declared, path),
                    )
                )
                for path, value in default_leaves(one.declaration).items()
            }
            merged = overlay(merged, leaves, _is_empty)
        return merged

    def _changed(self, namespace: str) -> None:
        self._bases.pop(namespace, None)
        self._stacks.pop(namespace, None)
        for listener in self._listeners:
            listener(namespace)


def variable_leaves(variables: Iterable[tuple[str, str]], declared: Sequence[Declared], prefix: str) -> dict[str, Leaf]:
    """The leaves that variables say, their texts converted as the declarations want them.

    Of two that contradict each other the later one by name is right.
    """
    merged: dict[str, Leaf] = {}
    found = from_variables(variables)
    for words, (name, text) in sorted(found.items(), key=lambda one: one[1][0]):
        source = f"{prefix}{name}"
        try:
            path = format_path(check_words(words))
            values = flatten(_typed(path, text, declared), words)
        except errors.Error as error:
            log.warning("the variable %s is left out: %s", source, error.detail)
            continue
        leaves = {
            one: Leaf(
                Setting(
                    path=one,
                    value=value,
                    layer=Layer.ENVIRONMENT,
                    source=source,
                    secret=_is_secret(declared, one),
                )
            )
            for one, value in values.items()
        }
        merged = overlay(merged, leaves, _is_empty)
    return merged


def config_file(text: str, folder: Path) -> ConfigFile:
    """The file that an option names: `config.toml`, or `team-a=config.toml` for another namespace."""
    namespace, equals, rest = text.partition("=")
    if equals and rest and namespace.replace("-", "").replace("_", "").isalnum() and not (folder / text).exists():
        return ConfigFile((folder / Path(rest).expanduser()).resolve(), namespace)
    return ConfigFile((folder / Path(text).expanduser()).resolve())


def _typed(path: str, text: str, declared: Sequence[Declared]) -> Any:
    """A text as what is declared for its path: text where that fits, else what it says as JSON."""
    covering = [one.declaration for one in declared if lies_within(path, one.declaration.path)]
    if covering and all(not misfit(one, path, text) for one in covering):
        return text
    return text_value(text)


def _is_secret(declared: Sequence[Declared], path: str) -> bool:
    return any(one.declaration.secret and lies_within(path, one.declaration.path) for one in declared)


def _is_empty(leaf: Leaf) -> bool:
    return isinstance(leaf.setting.value, dict) and not leaf.setting.value
