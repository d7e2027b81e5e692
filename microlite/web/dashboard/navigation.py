"""The pages in the navigation, and which of them somebody sees: a page whose content is refused is not offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE
from microlite.core.description.naming import parse_target

if TYPE_CHECKING:
    from microlite.core.auth.authority import Authority
    from microlite.core.auth.web_sessions import WebSession


class Page(NamedTuple):
    """One entry of the navigation.

    Attributes:
        key: by which a page says that it is this one, so that it is marked.
        path: of the page.
        word: what is shown.
        needs: the endpoint whose answer is the page; whoever may not call it does not see the entry. Empty for none.
    """

    key: str
    path: str
    word: str
    needs: str = ""


NAVIGATION: Final[tuple[tuple[str, tuple[Page, ...]], ...]] = (
    (
        "Run",
        (Page("services", "/", "Services", "runtime.status"), Page("logs", "/logs", "Logs", "runtime.logs")),
    ),
    (
        "Call",
        (
            Page("explorer", "/explorer", "Explorer", "registry.list"),
            Page("docs", "/docs", "API docs", "registry.list"),
        ),
    ),
    (
        "State",
        (
            Page("store", "/store", "Records", "store.tables"),
            Page("blobs", "/store/blobs", "Blobs", "store.blobs.list"),
            Page("config", "/config", "Configuration", "config.explain"),
        ),
    ),
    (
        "Background",
        (
            Page("events", "/events", "Events", "events.topics"),
            Page("broker", "/broker", "Messages", "broker.topics"),
            Page("schedules", "/schedules", "Schedules", "schedules.list"),
        ),
    ),
    (
        "Access",
        (
            Page("accounts", "/access/accounts", "Accounts", "auth.accounts.list"),
            Page("tokens", "/access/tokens", "Tokens", "auth.tokens.list"),
            Page("rules", "/access/rules", "Rules", "auth.rules.list"),
            Page("explain", "/access/explain", "Explain", "auth.rules.explain"),
            Page("audit", "/access/audit", "Audit log", "auth.audit.list"),
            Page("keys", "/access/keys", "Keys", "auth.keys.list"),
        ),
    ),
    ("Platform", (Page("namespaces", "/namespaces", "Namespaces", "namespaces.list"),)),
)
"""All pages, by what they are for."""

OWN_PAGE: Final = "/me"
"""The page of one's own account, which everybody has."""


def pages_for(session: WebSession, authority: Authority) -> tuple[tuple[str, tuple[Page, ...]], ...]:
    """The groups and pages that the account of a session may read in its namespace; no empty group."""
    groups = []
    for word, pages in NAVIGATION:
        seen = tuple(page for page in pages if not page.needs or may(session, page.needs, authority))
        if seen:
            groups.append((word, seen))
    return tuple(groups)


def first_page(session: WebSession, authority: Authority) -> str:
    """The path of the first page that somebody may read."""
    groups = pages_for(session, authority)
    return groups[0][1][0].path if groups else OWN_PAGE


def may(session: WebSession, target: str, authority: Authority) -> bool:
    """Whether the account of a session may call a built-in endpoint in its namespace, as far as that is known before."""
    service, endpoint = parse_target(target)
    namespace = session.namespace
    if service == "namespaces":
        namespace = DEFAULT_NAMESPACE  # it is about all of them, in whichever one asks
    elif namespace == PLATFORM_NAMESPACE and service != "auth":
        return False  # it has accounts, and nothing else
    if authority.role(service, endpoint) is None:
        return False  # this platform has no such service
    return authority.allows(session.account, namespace, service, endpoint)
