"""What follows from a platform's certificate for its gateway and its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.settings import ServerOptions
    from microlite.web.gateway.certificate import Certificate


def open_certificate(options: ServerOptions, clock: Clock) -> Certificate | None:
    """That of a platform's settings, looked after from now on; None where it is to speak no TLS.

    Raises:
        Error: see `Certificate`.
    """
    if options.tls_cert is None or options.tls_key is None:
        return None
    from microlite.web.gateway.certificate import Certificate  # brings OpenSSL

    certificate = Certificate(options.tls_cert, options.tls_key, clock)
    certificate.watch()
    return certificate


def allowed_hosts(options: ServerOptions, certificate: Certificate | None) -> tuple[str, ...]:
    """The names besides those of this machine under which clients may come.

    Those of the certificate are among them: nobody has a certificate for another's name. One with a star is not, since
    names below it may be others' all the same.
    """
    if certificate is None:
        return options.allowed_hosts
    named = (name for name in certificate.names if "*" not in name)
    return tuple(dict.fromkeys((*options.allowed_hosts, *named)))


def hsts(options: ServerOptions, certificate: Certificate | None) -> int:
    """Seconds for which browsers are told to come by TLS only; 0 for not telling them."""
    if certificate is None:
        return 0
    return certificate.hsts(certificate.public_name(options.host, options.allowed_hosts))
