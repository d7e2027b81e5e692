"""The contract of the built-in service `auth`."""

from __future__ import annotations

import msgspec

from microlite.core.context import DEFAULT_NAMESPACE, USER
from microlite.core.policy.rules import Rule


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A way into the dashboard.

    Attributes:
        url: opens the dashboard, once.
        expires: until when, in seconds since the Unix epoch.
    """

    url: str
    expires: float


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as it is shown.

    Attributes:
        id: unique within its namespace; of a service, its name.
        type: `user` or `service`.
        name: what people call it, unique too; empty where that is its id.
        namespace: whose it is.
        scopes: what it may do: `admin`, and those that rules and endpoints name.
        metadata: what was noted about it.
        created: when, in seconds since the Unix epoch.
        created_by: the account that has made it.
        disabled: whether it is kept out: its tokens hold no more, and it cannot log in.
    """

    id: str
    type: str = USER
    name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    created: float = 0.0
    created_by: str = ""
    disabled: bool = False


class NewAccount(AccountRecord, frozen=True, kw_only=True):
    """An account that was just made.

    Attributes:
        secret: with which it logs in; shown this once, and nobody can read it again.
    """

    secret: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a log-in gives.

    Attributes:
        access_token: is shown with each call, as `Authorization: Bearer …`; a signed JWT.
        refresh_token: gives a new pair, once; empty where none was asked for.
        created: when, in seconds since the Unix epoch.
        expires: until when the access token holds.
        refresh_expires: until when the refresh token holds; 0 without one.
    """

    access_token: str
    refresh_token: str = ""
    created: float
    expires: float
    refresh_expires: float = 0.0


class PersonalToken(msgspec.Struct, frozen=True, kw_only=True):
    """A personal access token, as it is shown: a secret for programs, which acts for an account with some of its scopes.

    Attributes:
        id: unique within the namespace.
        name: what it is for.
        account: for whom it acts.
        scopes: of the account's, those that the token has.
        created: when, in seconds since the Unix epoch.
        expires: until when it holds.
        used: when it was last shown, to the minute; 0 for never.
    """

    id: str
    name: str
    account: str
    scopes: tuple[str, ...] = ()
    created: float
    expires: float
    used: float = 0.0


class NewPersonalToken(PersonalToken, frozen=True, kw_only=True):
    """A personal access token that was just made.

    Attributes:
        token: the secret itself; shown this once.
    """

    token: str


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that lets nodes of other machines join, as it is shown.

    Attributes:
        id: unique within the namespace.
        service: the only service whose nodes it lets in; empty for all of the namespace.
        created: when, in seconds since the Unix epoch.
        expires: until when a node can join by it; those that have joined stay.
        created_by: the account that has made it.
    """

    id: str
    service: str = ""
    created: float
    expires: float
    created_by: str = ""


class NewJoinToken(JoinToken, frozen=True, kw_only=True):
    """A join token that was just made.

    Attributes:
        token: the secret itself; shown this once.
    """

    token: str


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a node shows to prove which one it is: signed JWTs.

    Attributes:
        token: to the platform, when it comes back from another machine; to nobody else. Empty where the ticket is for
            another node.
        shown: to other nodes.
        expires: until when both hold, in seconds since the Unix epoch.
    """

    token: str = ""
    shown: str
    expires: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call is allowed or denied.

    Attributes:
        granted: whether it is allowed.
        reason: in words.
        resource: what it was about: `service:orders:create`.
        account: who would call; empty for nobody.
        rule: the rule that decided, with who made it and when; null where it was none.
        others: the rules that apply as well, in the order in which they would decide.
    """

    granted: bool
    reason: str
    resource: str
    account: str = ""
    rule: Rule | None = None
    others: tuple[Rule, ...] = ()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signs tokens, as it is shown.

    Attributes:
        id: the `kid` of the tokens that it signed.
        created: when, in seconds since the Unix epoch.
        signs: whether new tokens are signed by it; others only prove the tokens that are still out.
        until: when it is removed, in seconds since the Unix epoch; 0 for the one that signs.
    """

    id: str
    created: float
    signs: bool
    until: float = 0.0


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One act of somebody with special rights, kept in the same commit as the act itself.

    Attributes:
        position: its place in the log, growing.
        at: when, in seconds since the Unix epoch.
        actor: the account that has done it.
        actor_namespace: whose account that is.
        service: the service through whose node it came; empty for anybody else.
        action: what was done: the endpoint, as in `auth.rules.create`.
        resource: to what, as in `rule:close-orders`.
        detail: what changed, without secrets.
    """

    position: int = 0
    at: float = 0.0
    actor: str
    actor_namespace: str = ""
    service: str = ""
    action: str
    resource: str = ""
    detail: dict[str, str] = {}


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit log, the newest first.

    Attributes:
        entries: what was found.
        cursor: what to pass as `before` for the next page; 0 when this was the last.
    """

    entries: tuple[AuditEntry, ...]
    cursor: int = 0
