"""What one entry of the audit log is on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from microlite.core.context import Origin

STREAM: Final = "auth/audit"
"""The stream of each namespace that holds its log. No topic can have this name: theirs begin otherwise."""

MAX_WORD: Final = 512
"""Most characters of a resource, and of one value of a detail; what is longer is cut."""

MAX_DETAILS: Final = 16
"""Most values in the detail of an entry."""

Value: TypeAlias = str | int | float | bool | Iterable[str] | None
"""What the detail of an entry can hold: a list is written with commas, None and the empty text are left out."""


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One act.

    Attributes:
        actor: the id of the account that has done it; empty for nobody.
        actor_namespace: whose account that is.
        service: the service through whose node it came; empty for anybody else.
        action: the endpoint, as in `auth.rules.create`.
        resource: to what it was done, as in `rule:close-orders`.
        detail: what changed, without secrets.
    """

    actor: str = ""
    actor_namespace: str = ""
    service: str = ""
    action: str
    resource: str = ""
    detail: dict[str, str] = {}


def act_of(origin: Origin, action: str, resource: str, detail: dict[str, Value]) -> Act:
    """The act of whoever asks, each of its words at most `MAX_WORD` long."""
    words = {name: _word(value) for name, value in list(detail.items())[:MAX_DETAILS] if value not in (None, "", ())}
    return Act(
        actor=_cut(origin.account),
        actor_namespace=origin.account_namespace,
        service=origin.service,
        action=action,
        resource=_cut(resource),
        detail=words,
    )


def _word(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Iterable):
        return _cut(", ".join(value))
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WORD else text[: MAX_WORD - 1] + "…"
