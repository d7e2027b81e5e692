"""Which answers of services get a sandbox, in which their pages cannot act as the origin that all services share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SANDBOX: Final = b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"
"""The Content-Security-Policy that gives a page an origin of its own, from which it reaches neither the API nor what other
services keep in the browser (https://www.w3.org/TR/CSP3/#directive-sandbox)."""

_INERT: Final = re.compile(
    rb"(?:image|audio|video|font)/[a-z0-9.-]+|text/(?:plain|css|csv|javascript|event-stream)"
    rb"|application/(?:json|x-ndjson|javascript|wasm|pdf|zip|gzip|octet-stream)",
    re.IGNORECASE,
)
"""Media types of which no browser makes a page that runs scripts. All others may become one: any `…+xml`, and
what browsers guess about (https://mimesniff.spec.whatwg.org). Some of these cannot be shown in a sandbox."""


def needs_sandbox(types: Sequence[bytes]) -> bool:
    """Whether an answer with these headers `Content-Type` may be a page.

    One that is missing, there twice or malformed says nothing: browsers then take what they like.
    """
    return len(types) != 1 or _INERT.fullmatch(types[0].partition(b";")[0].strip()) is None
