"""The certificate of the join port: the platform's own, which a join token names by its fingerprint."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.private_files import read_private, write_private

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE: Final = "join.crt"
"""The file in a home with the certificate, and nothing secret."""

KEY: Final = "join.key"
"""The file in a home with its private key. Who deletes both makes all join tokens worthless."""

_YEARS: Final = 100


class JoinCertificate:
    """Certificate and key of one home, made when they are first needed.

    No authority has signed it, and nobody looks at its name or dates: whoever joins compares its fingerprint.

    Args:
        home: the folder of the platform.
    """

    def __init__(self, home: Path) -> None:
        self.certificate = home / CERTIFICATE
        self.key = home / KEY

    def ensure(self) -> None:
        """Have both files there.

        Raises:
            Forbidden: others can read the key.
        """
        if read_private(self.key) is None or not self.certificate.exists():
            self._make()

    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal digits; it is made where there is none."""
        import ssl

        self.ensure()
        try:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()
        except ValueError:
            raise errors.InternalServerError(
                f"{self.certificate} holds no certificate; delete it and {self.key}, and make new join tokens"
            ) from None

    def _make(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "microlite join port")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
            .sign(key, hashes.SHA256())
        )
        write_private(
            self.key,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        write_private(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))
