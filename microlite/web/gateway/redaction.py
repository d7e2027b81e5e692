"""What of a URL may stand in a log: secrets do not belong there, and come all the same."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

HIDDEN: Final = b"[secret]"

_NAMES: Final = re.compile(
    rb"token|secret|passw|passphrase|pwd|credential|authori[sz]ation|bearer|session|cookie|signature|jwt|otp|assertion"
    rb"|(?:api|access|private|client|signing)[-_.]?key|^(?:auth|code|key|sig|pin)$",
    re.IGNORECASE,
)
"""Names of parameters whose values are nobody's business. A bare `key` is as often one of a record, and is hidden too."""

_SECRETS: Final = re.compile(
    rb"ml[a-z]_[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
    rb"|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
)
"""What looks like a secret, wherever it stands: tokens by how they begin, and 256 bits as the platform writes them."""

_USER: Final = re.compile(rb"(?<=//)[^/?#@]*@")
"""Name and password before a host."""


def redacted(url: bytes) -> bytes:
    """A request target, without the values of parameters whose names say that they are secret, and without tokens."""
    if b"@" in url:
        url = _USER.sub(HIDDEN + b"@", url, count=1)
    path, mark, query = url.partition(b"?")
    if mark:
        query = b"&".join(map(_redacted_parameter, query.split(b"&")))
    return _SECRETS.sub(HIDDEN, path + mark + query)


def _redacted_parameter(pair: bytes) -> bytes:
    name, equals, value = pair.partition(b"=")
    return name + equals + HIDDEN if value and _NAMES.search(unquote_to_bytes(name)) else pair
