"""From the host of a request to the namespace that is meant, as micro's subdomain resolver does it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NONE: Final = frozenset({"api", "www"})
"""Subdomains that name no namespace."""


def host_namespace(host: str, domains: Iterable[str]) -> str:
    """The namespace that a host names: its subdomain, read from the right; empty where it names none.

    `staging.shop.example.org` below `example.org` is `shop-staging`.

    Args:
        host: a name or an address, without port.
        domains: what subdomains lie below; of several that fit, the longest counts.
    """
    host = host.lower().rstrip(".")
    if _is_address(host):
        return ""
    domain = max((one for one in domains if host.endswith(f".{one}")), key=len, default="")
    if not domain:
        return ""
    subdomain = host.removesuffix(f".{domain}")
    return "" if subdomain in _NONE else "-".join(reversed(subdomain.split(".")))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
