"""What travels with a call besides its payload: who asks, and under which trace."""

from __future__ import annotations

import functools
import random
import re
from typing import Final

import msgspec

from microlite.core import errors

TRACEPARENT: Final = "traceparent"
"""The metadata key of the trace (https://www.w3.org/TR/trace-context/)."""

CLIENT_ADDRESS: Final = "x-microlite-client"
"""The metadata key in which the gateway tells built-in services the address of its client. It means nothing elsewhere."""

DEFAULT_NAMESPACE: Final = "default"

PLATFORM_NAMESPACE: Final = "microlite.platform"
"""Where the platform keeps its own records; no namespace of a user can carry the name."""

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


ADMIN_SCOPE: Final = "admin"
"""The scope of who operates a namespace; in the platform's own one, of who operates the platform."""

SERVICE_SCOPE: Final = "service"
"""The scope of every service, and of nobody else."""

USER: Final = "user"
SERVICE: Final = "service"
"""The two types of accounts."""


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who makes a call.

    Attributes:
        id: unique within its namespace; of a service, its name.
        type: `user` or `service`.
        name: what people call it; empty where that is its id.
        namespace: whose it is. Those of `PLATFORM_NAMESPACE` may act in every namespace, if their scopes allow it.
        scopes: what it may do: `admin`, `service`, and those that rules and endpoints name.
        metadata: what was noted about it.
    """

    id: str
    type: str = USER
    name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}

    @property
    def is_admin(self) -> bool:
        """Whether it operates its namespace."""
        return ADMIN_SCOPE in self.scopes

    @property
    def is_platform_admin(self) -> bool:
        """Whether it operates the platform, and with it every namespace."""
        return ADMIN_SCOPE in self.scopes and self.namespace == PLATFORM_NAMESPACE

    @property
    def is_service(self) -> bool:
        """Whether it is a service that acts as itself."""
        return SERVICE_SCOPE in self.scopes and self.type == SERVICE

    def belongs_to(self, namespace: str) -> bool:
        """Whether it may act in a namespace: its own, or any for the accounts of the platform."""
        return self.namespace in (namespace, PLATFORM_NAMESPACE)


@functools.lru_cache(maxsize=4096)
def service_account(service: str, namespace: str) -> Account:
    """Who a service is where it acts as itself."""
    return Account(id=service, type=SERVICE, namespace=namespace, scopes=(SERVICE_SCOPE,))


NOBODY: Final = "-"
"""In place of a token: whoever makes the call does so for nobody, and not as itself."""

PLATFORM_ADMIN: Final = Account(id="admin", namespace=PLATFORM_NAMESPACE, scopes=(ADMIN_SCOPE,))
"""Who started the platform: the processes of its user at its socket, and who shows the token in `admin.token`."""


class Origin(msgspec.Struct, frozen=True):
    """Whose state a call is about, as the built-in services ask for it.

    Attributes:
        namespace: of the call.
        service: the service whose node calls; empty for anybody else.
        account: the id of who calls, for histories; empty for nobody.
        account_namespace: whose account that is.
        node: the id of the node that calls; empty for anybody else.
    """

    namespace: str
    service: str = ""
    account: str = ""
    account_namespace: str = ""
    node: str = ""

    def within(self, namespace: str) -> Origin:
        """The same, about another namespace."""
        return Origin(namespace, self.service, self.account, self.account_namespace, self.node)


class Failure(msgspec.Struct, frozen=True):
    """An error as a part of an answer, where others of the same call succeeded.

    Attributes:
        code: as of HTTP.
        status: the name of the code.
        detail: what was wrong, where, and what to do.
    """

    code: int
    status: str
    detail: str

    @classmethod
    def of(cls, error: errors.Error) -> Failure:
        """The error as data."""
        return cls(error.code, error.status, error.detail)

    def restore(self) -> errors.Error:
        """The error to be raised."""
        return errors.restore(self.code, self.status, self.detail)


class Trace(msgspec.Struct, frozen=True):
    """One span of a trace: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: str = "01"

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> Trace:
        """A new span of the same trace."""
        return Trace(self.trace_id, f"{random.getrandbits(64) or 1:016x}", self.flags)


def new_traceparent() -> str:
    """The header of a new trace."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01"


def parse_traceparent(value: str | None) -> Trace | None:
    """The span that a `traceparent` header names, or None where it is none or malformed."""
    match = _TRACEPARENT.fullmatch(value) if value else None
    return Trace(*match.groups()) if match else None
