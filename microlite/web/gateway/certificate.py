"""The certificate of a server that speaks TLS: read, checked, and read again when its files change."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.clock import Clock, Timer

LOOK: Final = 10.0
"""Seconds between two looks whether the files have changed. Programs that renew certificates swap symbolic links, of which
nothing that watches a folder hears."""

HSTS: Final = 365 * 24 * 3600

ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
"""What one binds to be reached at all addresses of the machine."""

_log = logging.getLogger("microlite.tls")

_Signature = tuple[tuple[int, int, int, int], ...]


class Certificate:
    """A certificate with its key, as connections use it.

    Args:
        certificate: a file with the certificate in PEM form, and with those of the authorities between it and its root.
        key: a file with its private key in PEM form, not encrypted.
        clock: says whether it is valid, and when to look at the files again.

    Raises:
        BadRequest: a file is missing, is not what it should be, or does not fit the other; or it is not valid now.
        Forbidden: others could read the key.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        self._files = (certificate, key)
        self._clock = clock
        self._seen = _signature(self._files)
        self._complained: _Signature = ()
        self._timer: Timer | None = None
        self.names, self.expires, self._current = _load(certificate, key, clock.now())
        self.context = _context()
        """What a server is started with. Each new connection gets the newest certificate by it."""
        self.context.load_cert_chain(certificate, key, password=_no_password)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """Give a connection that is being opened the newest certificate. OpenSSL calls it for each, with a name or not.

        To load another into the context that is in use would not do: OpenSSL keeps one for each kind of key.
        """
        connection.context = self._current

    def watch(self) -> None:
        """Look every few seconds whether the files have changed, from now on."""
        self._timer = self._clock.call_later(LOOK, self._go_round)

    def close(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reload(self) -> None:
        """Take over what the files hold, if they have changed. What is wrong is logged, and then the old one stays."""
        found = _signature(self._files)
        if found == self._seen:
            return
        try:
            self.names, self.expires, self._current = _load(*self._files, self._clock.now())
        except errors.Error as error:
            if found != self._complained:
                self._complained = found
                _log.warning("the certificate that was in use stays: %s", error.detail)
            return
        self._seen = found
        _log.info("new connections get the certificate that is now in %s", self._files[0])

    def _go_round(self) -> None:
        self.reload()
        self.watch()

    def public_name(self, host: str, allowed_hosts: Sequence[str]) -> str:
        """The name to put into the URLs of a server: one that the certificate is for, where there is such a name.

        Args:
            host: on which the server listens.
            allowed_hosts: the names that are allowed besides.
        """
        here = "localhost" if host in ANY else host
        further = [name for name in (*allowed_hosts, *self.names) if "*" not in name]
        choice = (here, "localhost", *further)
        if not _is_local(host):
            choice = (host, *(name for name in further if not _is_local(name)), "localhost")
        return next((name for name in choice if self.covers(name)), here)

    def hsts(self, name: str) -> int:
        """Seconds for which browsers are told never to come to this name without TLS; 0 for not telling them.

        It holds for all ports of the name: for `localhost` it would close what others have there.
        """
        has_domain = not _is_local(name) and _address(name) is None
        return HSTS if has_domain and self.covers(name) and not self.covers("localhost") else 0

    def covers(self, name: str) -> bool:
        """Whether a browser takes it for that of this host."""
        name = name.strip("[]").lower()
        parent = name.partition(".")[2]
        return name in self.names or (bool(parent) and f"*.{parent}" in self.names)


def check_key_file(key: Path) -> None:
    """See that nobody but its owner can read a private key; a group may, where the file is root's, as systems have it.

    Raises:
        BadRequest: it cannot be read, or is no file.
        Forbidden: others could read or change it.
    """
    try:
        found = key.stat()
    except OSError as error:
        raise errors.BadRequest(f"the key {key} (--tls-key) cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise errors.BadRequest(f"the key {key} (--tls-key) is no file")
    allowed = 0o740 if found.st_uid == 0 else 0o700
    if found.st_uid not in (0, os.getuid()):
        raise errors.Forbidden(f"the key {key} belongs to another user, who could read and change it")
    if found.st_mode & 0o777 & ~allowed:
        raise errors.Forbidden(f"the key {key} can be read by others; mend it with: chmod 600 {key}")


def read_certificate(certificate: Path) -> tuple[tuple[str, ...], dt.datetime, dt.datetime]:
    """The names that a certificate is for, in lower case, and from when to when it is valid.

    Raises:
        BadRequest: the file cannot be read, or holds none.
    """
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except OSError as error:
        raise errors.BadRequest(
            f"the certificate {certificate} (--tls-cert) cannot be read: {error.strerror}"
        ) from None
    except ValueError:
        raise errors.BadRequest(f"{certificate} (--tls-cert) holds no certificate in PEM form") from None
    try:
        wanted = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return (), found.not_valid_before_utc, found.not_valid_after_utc
    names = [*wanted.get_values_for_type(x509.DNSName), *map(str, wanted.get_values_for_type(x509.IPAddress))]
    return tuple(dict.fromkeys(name.lower() for name in names)), found.not_valid_before_utc, found.not_valid_after_utc


def _load(certificate: Path, key: Path, now: float) -> tuple[tuple[str, ...], float, ssl.SSLContext]:
    """The names of the certificate, when it ends, and a context with it."""
    names, begins, ends = read_certificate(certificate)
    moment = dt.datetime.fromtimestamp(now, dt.UTC)
    if ends <= moment:
        raise errors.BadRequest(f"the certificate {certificate} has expired, at {ends:%Y-%m-%d %H:%M} UTC: renew it")
    if begins > moment:
        raise errors.BadRequest(
            f"the certificate {certificate} is valid only from {begins:%Y-%m-%d %H:%M} UTC on; is the clock right?"
        )
    check_key_file(key)
    try:
        text = key.read_bytes()
    except OSError as error:
        raise errors.BadRequest(f"the key {key} (--tls-key) cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY-----" not in text:
        raise errors.BadRequest(f"{key} (--tls-key) holds no private key in PEM form")
    if b"ENCRYPTED" in text:
        raise errors.BadRequest(
            f"the key {key} is encrypted, and nobody is there to type its password when the platform starts; "
            f"write it without: openssl pkey -in {key} -out plain.key, then chmod 600 plain.key"
        )
    context = _context()
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise errors.BadRequest(f"the key {key} is not that of the certificate {certificate}") from None
        raise errors.BadRequest(f"{certificate} and {key} cannot be used: {error.reason or error}") from None
    return names, ends.timestamp(), context


def _is_local(name: str) -> bool:
    """Whether a host can be nothing but this machine."""
    address = _address(name)
    return address.is_loopback if address is not None else name == "localhost" or name.endswith(".localhost")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _no_password() -> str:
    """In place of OpenSSL's own question, which would wait for ever at the terminal."""
    return ""


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _signature(files: tuple[Path, Path]) -> _Signature:
    """What changes when the files do, or others take their place."""
    found = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0, 0, 0))
        else:
            found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
