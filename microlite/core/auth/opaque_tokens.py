"""Tokens that say nothing by themselves: a word for what they are, a namespace, the id of a record, and a secret."""

from __future__ import annotations

import hmac
import re
from typing import Final, NamedTuple

from microlite.core.auth.secret_keys import key_of

PERSONAL: Final = "mlp"
"""Of personal access tokens."""

REFRESH: Final = "mlr"
"""Of refresh tokens."""

JOIN: Final = "mlj"
"""Of tokens that let nodes of other machines join."""

MAX_CHARACTERS: Final = 512
"""Longest such token that is looked at."""

_TOKEN: Final = re.compile(r"(ml[a-z])_([a-z0-9.-]{1,128})~([A-Za-z0-9.-]{1,128})~([A-Za-z0-9_-]{22,128})")


class Opaque(NamedTuple):
    """The parts of such a token. All its characters may stand in a header `Authorization: Bearer` (RFC 6750)."""

    kind: str
    namespace: str
    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.kind}_{self.namespace}~{self.id}~{self.secret}"

    def has(self, hash: str) -> bool:
        """Whether its secret has this hash."""
        return hmac.compare_digest(key_of(self.secret), hash)


def parse_opaque(token: str) -> Opaque | None:
    """The parts of a token; None where it is none."""
    match = _TOKEN.fullmatch(token) if len(token) <= MAX_CHARACTERS and token.isascii() else None
    return Opaque(*match.groups()) if match else None
