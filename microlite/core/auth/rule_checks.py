"""What a rule may be: its names in their one form, and never one that locks people out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import ADMIN_SCOPE, SERVICE, SERVICE_SCOPE, Account
from microlite.core.description.naming import normalise, normalise_endpoint, relative_endpoint
from microlite.core.policy.rules import ANY_ACCOUNT, ANY_NAMESPACE, ANYBODY, Resource, ResourceType
from microlite.core.scopes import check_scope

if TYPE_CHECKING:
    from microlite.core.policy.rules import RuleSet

MAX_PRIORITY: Final = 1_000_000
"""Priorities lie between this and its negative."""

ACTIONS: Final = {
    ResourceType.TOPIC: ("publish", "subscribe", "manage"),
    ResourceType.TABLE: ("read", "write", "delete"),
    ResourceType.CONFIG: ("read", "write"),
}
"""What can be done to what the built-in services keep: the endpoints of such rules."""

ALL: Final = "*"

_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@+-]{0,126}[A-Za-z0-9])?")
_SERVICE: Final = re.compile(r"(?:v[0-9]+\.)?[a-z](?:-?[a-z0-9])*")
_SERVICE_PREFIX: Final = re.compile(r"(?:v[0-9]*\.?)?[a-z](?:-?[a-z0-9])*-?|v[0-9]+\.")
_ENDPOINT: Final = re.compile(r"[a-z](?:-?[a-z0-9])*(?:\.[a-z](?:-?[a-z0-9])*)*")
_ENDPOINT_PREFIX: Final = re.compile(r"[a-z](?:-?[a-z0-9])*(?:\.[a-z](?:-?[a-z0-9])*)*[.-]?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VERSION: Final = re.compile(r"v([0-9]+)[/.](.+)")


def check_id(id: str) -> str:
    """The id of a rule, if it can be one.

    Raises:
        BadRequest: it cannot.
    """
    if not id:
        raise errors.BadRequest("ID missing")
    if not _ID.fullmatch(id):
        raise errors.BadRequest(
            f"id: {id[:128]!r} cannot be one: up to 128 letters, digits and . _ : @ + - between them"
        )
    return id


def check_rule_scope(scope: str) -> str:
    """The scope of a rule, if it can be one.

    Raises:
        BadRequest: it cannot.
    """
    return scope if scope in (ANYBODY, ANY_ACCOUNT, ANY_NAMESPACE) else check_scope(scope)


def check_priority(priority: int) -> int:
    """The priority of a rule, if it can be one.

    Raises:
        BadRequest: it cannot.
    """
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise errors.BadRequest(f"priority: between {-MAX_PRIORITY} and {MAX_PRIORITY}")
    return priority


def normal_resource(resource: Resource) -> Resource:
    """What a rule is about, with its names in the form in which calls carry them, however they were written.

    `Orders`, `Orders.Create` and `orders.create`, `list_items` and `ListItems`, `/comments/*` and `comments.*` are one.

    Raises:
        BadRequest: it could never apply to anything, so whoever wrote it meant something else.
    """
    if not (resource.type and resource.name and resource.endpoint):
        raise errors.BadRequest("Resource missing: a rule needs type, name and endpoint; * stands for all")
    kind = resource.type.lower()
    if kind not in (ALL, *ResourceType):
        raise errors.BadRequest(f"type: {resource.type!r} is none of {ALL}, {', '.join(ResourceType)}")
    if kind == ResourceType.SERVICE:
        name = _service(resource.name)
        return Resource(type=kind, name=name, endpoint=_endpoint(name, resource.endpoint))
    name = _free("name", resource.name)
    if kind == ALL:
        return Resource(
            type=kind, name=_service(name) if name != ALL else ALL, endpoint=_endpoint("", resource.endpoint)
        )
    action = resource.endpoint.lower()
    if action not in (ALL, *ACTIONS[ResourceType(kind)]):
        raise errors.BadRequest(f"endpoint: of a {kind} it is one of {ALL}, {', '.join(ACTIONS[ResourceType(kind)])}")
    return Resource(type=kind, name=name, endpoint=action)


def _service(name: str) -> str:
    if name == ALL:
        return name
    stem, wild = _split("name", name)
    match = _VERSION.fullmatch(normalise(stem).removeprefix("/"))
    normal = f"v{match[1]}.{match[2]}" if match else normalise(stem).removeprefix("/")
    if not stem.isascii() or not (_SERVICE_PREFIX if wild else _SERVICE).fullmatch(normal) or len(normal) > 128:
        raise errors.BadRequest(f"name: {name[:128]!r} cannot be that of a service")
    return normal + wild


def _endpoint(service: str, endpoint: str) -> str:
    if endpoint == ALL:
        return endpoint
    stem, wild = _split("endpoint", endpoint)
    stem = stem.removeprefix("/")
    if service and not service.endswith(ALL):
        normal = relative_endpoint(service, stem)
    else:
        normal = normalise_endpoint(stem.replace("/", "."))
    if wild and not normal:
        return ALL
    if not stem.isascii() or not (_ENDPOINT_PREFIX if wild else _ENDPOINT).fullmatch(normal) or len(normal) > 128:
        raise errors.BadRequest(f"endpoint: {endpoint[:128]!r} cannot be one")
    return normal + wild


def _free(field: str, name: str) -> str:
    if len(name.encode("utf-8", "replace")) > 512 or _CONTROL.search(name):
        raise errors.BadRequest(f"{field}: at most 512 bytes in one line")
    _split(field, name)
    return name


def _split(field: str, pattern: str) -> tuple[str, str]:
    stem, wild = (pattern[:-1], ALL) if pattern.endswith(ALL) else (pattern, "")
    if ALL in stem:
        raise errors.BadRequest(f"{field}: {pattern[:128]!r} has a * that is not at its end")
    return stem, wild


# -- locking out -------------------------------------------------------------------------------------------------------

LOG_IN: Final = (("auth", "token"),)
"""What nobody in particular has to be able to call: who could not, could never be somebody."""

RULES: Final = (("auth", "rules.list"), ("auth", "rules.create"), ("auth", "rules.delete"))
"""What admins have to be able to call: who could not, could never take a rule back."""

JOIN: Final = (
    ("registry", "register"),
    ("registry", "deregister"),
    ("network", "watch"),
    ("auth", "watch"),
    ("auth", "confirm"),
    ("auth", "inspect"),
)
"""What services have to be able to call: a node that could not, could not be called itself."""


def check_open(before: RuleSet, after: RuleSet, actor: Account | None) -> None:
    """Refuse a change after which people, or services, would be locked out who are not so now.

    Args:
        before: the rules as they are.
        after: the rules as they would be.
        actor: who changes them.

    Raises:
        Forbidden: it does; the detail says whom, and by which rule.
    """
    namespace = after.namespace
    admin = Account(id="an admin", namespace=namespace, scopes=(ADMIN_SCOPE,))
    service = Account(id="a service", type=SERVICE, namespace=namespace, scopes=(SERVICE_SCOPE,))
    cases: list[tuple[Account | None, tuple[tuple[str, str], ...], str]] = [
        (None, LOG_IN, "nobody could log in any more"),
        (admin, RULES, "no admin could change the rules any more"),
        (service, JOIN, "no service could join any more"),
    ]
    if actor is not None and not actor.is_platform_admin:
        cases.append((msgspec.structs.replace(actor, id="you"), RULES, "you could not change the rules any more"))
    for account, targets, consequence in cases:
        for name, endpoint in targets:
            verdict = after.decide(account, ResourceType.SERVICE, name, endpoint, otherwise=True)
            if verdict.granted or verdict.rule is None:
                continue
            if before.decide(account, ResourceType.SERVICE, name, endpoint, otherwise=True).granted:
                raise errors.Forbidden(
                    f"{consequence}: {name}.{endpoint} would be denied by the rule {verdict.rule.id!r}; make it narrower, "
                    f"or first grant service:{name}:{endpoint} with a priority above {verdict.rule.priority}"
                )
