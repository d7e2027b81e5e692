"""The checks of `microlite doctor` that look at who can reach the platform, and at its certificate."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.cli.failure import CommandError
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.link import connect
from microlite.core import errors
from microlite.core.exposure import is_loopback

if TYPE_CHECKING:
    from microlite.cli.options import Options

SOON: Final = 14 * 24 * 3600.0
"""Seconds before the end of a certificate from which on it should have been renewed."""


def check_exposure(options: Options) -> Finding:
    """Whether other machines reach the platform, and if so, encrypted."""
    try:
        with connect(options):
            facts = msgspec.json.decode((options.home / "server.json").read_bytes())
    except (CommandError, errors.Error, FileNotFoundError, ValueError):
        return ok("exposure", "no platform runs that anybody could reach")
    host, certificate, key = (str(facts.get(name, "")) for name in ("host", "certificate", "key"))
    if certificate:
        return _check_certificate(host, Path(certificate), Path(key))
    if not is_loopback(host or "127.0.0.1"):
        return warning(
            "exposure",
            f"other machines reach it at {host}, and nothing is encrypted unless a proxy does it",
            "microlite server --tls-cert FILE --tls-key FILE --host " + shlex.quote(host),
        )
    return ok("exposure", "only this machine reaches it")


def _check_certificate(host: str, certificate: Path, key: Path) -> Finding:
    from microlite.web.gateway.certificate import check_key_file, read_certificate

    renew = f"openssl x509 -in {shlex.quote(str(certificate))} -noout -subject -dates"
    try:
        _, _, ends = read_certificate(certificate)
        check_key_file(key)
    except errors.Forbidden as error:
        return broken("exposure", error.detail, f"chmod 600 {shlex.quote(str(key))}")
    except errors.Error as error:
        return broken("exposure", error.detail, f"ls -l {shlex.quote(str(certificate))} {shlex.quote(str(key))}")
    left = ends.timestamp() - time.time()
    who = "only this machine reaches it" if is_loopback(host) else f"other machines reach it at {host}"
    if left <= 0:
        return broken("exposure", f"its certificate, {certificate}, has expired: renew it", renew)
    if left < SOON:
        return warning("exposure", f"its certificate, {certificate}, expires in {left / 86400:.0f} days", renew)
    return ok("exposure", f"{who}, by TLS; the certificate is valid for {left / 86400:.0f} days")
