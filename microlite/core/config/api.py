"""The contract of the built-in service `config`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

HIDDEN: Final = "[secret]"
"""What stands in place of a secret value for those who did not ask for it, or may not have it."""


class Set(msgspec.Struct, frozen=True, kw_only=True, tag="set", forbid_unknown_fields=True):
    """Merge a value into the configuration at a path.

    Attributes:
        path: dotted, as in `limits.max`; empty for the whole configuration.
        value: a table is merged leaf by leaf; anything else, also a list, takes the place of what is there.
        secret: whether to keep its leaves encrypted. One that is secret already, or declared so, stays it anyhow.
    """

    path: str
    value: Any
    secret: bool = False


class Unset(msgspec.Struct, frozen=True, kw_only=True, tag="unset", forbid_unknown_fields=True):
    """Take back what was set at a path, and all below it.

    Attributes:
        path: dotted; empty for the whole configuration.
    """

    path: str


Change: TypeAlias = Set | Unset


class Layer(StrEnum):
    """Where a value comes from. A later one hides an earlier one."""

    DEFAULT = "default"
    """What a service declares in its code."""
    FILE = "file"
    """A file that the platform was started with."""
    ENVIRONMENT = "environment"
    """A variable `MICROLITE_CONFIG_…` of the platform, or of the node that asks."""
    STORE = "store"
    """What was set."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a change came to.

    Attributes:
        revision: of the configuration since then: it counts the changes of the namespace.
        changed: how many leaves are different now; 0 if everything was so before, and then there is no new revision.
    """

    revision: int
    changed: int


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of the configuration.

    Attributes:
        path: in canonical form.
        value: `[secret]` for a secret, unless it was asked for.
        secret: whether it is kept encrypted.
        layer: where it comes from.
        source: the file, the variable, or the service that declares it; empty for what was set.
        revision: the change that set it; 0 for other layers.
        author: the account that set it.
        at: when it was set, in seconds since the Unix epoch; 0 for other layers.
        problem: why there is no value, empty where there is one: a secret whose key is lost.
    """

    path: str
    value: Any = None
    secret: bool = False
    layer: Layer = Layer.STORE
    source: str = ""
    revision: int = 0
    author: str = ""
    at: float = 0.0
    problem: str = ""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf that is in force, and what it hides.

    Attributes:
        setting: the leaf.
        hides: leaves of lower layers that would be in force without it, the next one first.
    """

    setting: Setting
    hides: tuple[Setting, ...] = ()


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch of the configuration tells.

    Attributes:
        revision: the state is at least of this revision when the update has come in.
        first: whether this begins the whole state: forget what was known before.
        last: whether the state is complete with this; more parts follow at once where it is not.
        settings: leaves that are new or different.
        gone: canonical paths of leaves that are no more.
    """

    revision: int
    first: bool = False
    last: bool = True
    settings: tuple[Setting, ...] = ()
    gone: tuple[str, ...] = ()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf that is different in two revisions.

    Attributes:
        path: in canonical form.
        old: the value before, `[secret]` for a secret; none where there was none, as `had` says.
        new: the value after, likewise; none where there is none any more, as `has` says.
        had: whether there was a value before.
        has: whether there is one after.
        secret: whether one of the two is secret.
    """

    path: str
    old: Any = None
    new: Any = None
    had: bool = False
    has: bool = False
    secret: bool = False


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change in the history.

    Attributes:
        revision: what the change made of the configuration.
        at: when, in seconds since the Unix epoch.
        author: the account that made it.
        service: the service that made it; empty for anybody else.
        action: `set`, `unset`, `import`, `rollback to 7`, `transaction`.
        changes: leaf by leaf.
    """

    revision: int
    at: float
    author: str = ""
    service: str = ""
    action: str = "set"
    changes: tuple[Difference, ...] = ()


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the configuration that does not work.

    Attributes:
        path: of the leaf; empty where a whole file is meant.
        problem: what is wrong, and never the value itself.
        layer: where it stands.
        source: the file or variable; empty for what was set.
        service: the service whose declaration it does not fit; empty where that is not the reason.
    """

    path: str
    problem: str
    layer: Layer
    source: str = ""
    service: str = ""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation of the key came to.

    Attributes:
        key: the id of the key that is used from now on.
        values: how many secret values were encrypted anew, those in the history too.
        retired: ids of keys that nothing needs any more, and that are gone.
    """

    key: str
    values: int
    retired: tuple[str, ...] = ()
