"""Who can reach a platform: what must hold before it listens for others than this machine, and what is open then."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.core.settings import ServerOptions

LEAST_VARIETY: Final = 16
"""Different characters that a secret of chance has at least; one of 43 characters has fewer once in a billion times."""

_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name counts by all addresses that it stands for."""
    if host in _ANY:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # binding it fails, and says so
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def check_exposure(options: ServerOptions) -> None:
    """See that what leaves the machine is encrypted, or that somebody has said that it need not be.

    Raises:
        BadRequest: neither holds, or one of the two files of TLS is missing.
    """
    if (options.tls_cert is None) != (options.tls_key is None):
        missing = "--tls-key" if options.tls_key is None else "--tls-cert"
        raise errors.BadRequest(f"TLS needs a certificate and its key: {missing} is missing")
    if options.tls_cert is not None and options.insecure_http:
        raise errors.BadRequest("--insecure-http is for a platform without --tls-cert; leave one of them out")
    if options.tls_cert is None and not options.insecure_http and not is_loopback(options.host):
        raise errors.BadRequest(
            f"{options.host or 'every address'} can be reached from other machines, and nothing would be encrypted: tokens, "
            "passwords and cookies could be read on the way. Give a certificate (--tls-cert, --tls-key); or, where a proxy "
            "does TLS in front of it or everybody on that network may read along, say so by --insecure-http"
        )


def check_secret(secret: str, name: str) -> None:
    """See that a secret which a file holds was made by chance, and not by somebody who had to type it.

    Raises:
        Forbidden: it could be guessed.
    """
    if len(set(secret)) < LEAST_VARIETY:
        raise errors.Forbidden(f"{name} could be guessed; delete that file, and the next start makes a new secret")


def describe_exposure(options: ServerOptions, services: Iterable[str]) -> list[str]:
    """What is open on a platform that others than this machine can reach, in sentences; nothing for any other.

    Args:
        options: the settings.
        services: names of the services that run, other than built-in ones.
    """
    if is_loopback(options.host):
        return []
    names = ", ".join(sorted(set(services)))
    told = [
        f"other machines can reach it at {options.host or 'every address'}:",
        f"  your services ({names or 'none runs yet'}) answer to everybody, unless a rule says otherwise",
        "  built-in services want a token; /, /healthz, /readyz, /openapi.json and the log-in of the dashboard do not",
    ]
    if options.tls_cert is None:
        told.append("  nothing is encrypted (--insecure-http): put a proxy with TLS in front, or trust that network")
    return told
