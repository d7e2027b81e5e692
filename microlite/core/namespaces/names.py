"""What a namespace may be called, and which hosts can stand for one."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from microlite.core import errors

MAX_HOSTS: Final = 64
"""Hosts of one namespace."""

RESERVED: Final = frozenset({"api", "localhost", "microlite", "platform", "www"})
"""Names that mean something else where a namespace is named by a host, or that could be taken for the platform's own."""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL.pattern}(?:\.{_LABEL.pattern})*")


def check_name(name: str) -> str:
    """The name, if a namespace may be called so: a label of the DNS, since a host can stand for it.

    Raises:
        BadRequest: it may not.
    """
    if not _LABEL.fullmatch(name):
        raise errors.BadRequest(
            f"'{name[:80]}' is no name for a namespace: use lower-case letters, digits and hyphens, a letter or digit at "
            "both ends, at most 63 characters"
        )
    if name in RESERVED:
        raise errors.BadRequest(f"'{name}' is reserved; choose another name for the namespace")
    return name


def check_hosts(hosts: list[str]) -> tuple[str, ...]:
    """The hosts in lower case, each once, if they can stand for a namespace.

    Raises:
        BadRequest: one of them cannot; or there are too many.
    """
    found = dict.fromkeys(host.lower().rstrip(".") for host in hosts)
    if len(found) > MAX_HOSTS:
        raise errors.BadRequest(f"hosts: at most {MAX_HOSTS}, not {len(found)}")
    for host in found:
        if len(host) > 253 or not _HOST.fullmatch(host) or _is_address(host):
            raise errors.BadRequest(
                f"hosts: '{host[:80]}' is no name of a host; write it without port, as in shop.example.org, or "
                "*.shop.example.org for all below it"
            )
        if host.removeprefix("*.") == "localhost" or host.endswith(".localhost"):
            raise errors.BadRequest(f"hosts: '{host}' is a name of this machine, and stands for no namespace")
    return tuple(found)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
