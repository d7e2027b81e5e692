"""The built-in service `auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.auth.endpoints.accounts import serve_accounts
from microlite.core.auth.endpoints.audit import audit_endpoints
from microlite.core.auth.endpoints.keys import serve_keys
from microlite.core.auth.endpoints.log_in import serve_log_in
from microlite.core.auth.endpoints.policy import serve_policy
from microlite.core.auth.endpoints.rules import serve_rules
from microlite.core.auth.endpoints.tokens import serve_tokens
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.auth.identities import Identities
    from microlite.core.auth.one_time_links import OneTimeLinks


def auth_service(identities: Identities, audit: Audit, links: OneTimeLinks, dashboard: str) -> Service:
    """Make the service of one platform.

    Args:
        identities: the logic of it.
        audit: the logs that are shown.
        links: issues what opens the dashboard.
        dashboard: its URL, without a slash at the end; empty where there is none.
    """
    service = Service(
        "auth",
        doc="Who may do what: accounts, log-ins, tokens and rules, with an audit log of every change.",
        built_in=True,
    )
    serve_log_in(service, identities, links, dashboard)
    serve_accounts(service, identities)
    serve_tokens(service, identities)
    serve_rules(service, identities)
    serve_keys(service, identities)
    serve_policy(service, identities)
    audit_endpoints(service, audit)
    return service
