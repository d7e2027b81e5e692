"""Whose namespace a token says that it is of: where commands by it go if nobody names another. It proves nothing."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from microlite.core.context import PLATFORM_NAMESPACE

_OPAQUE: Final = re.compile(r"ml[a-z]_([a-z0-9.-]{1,128})~")


class _Claims(msgspec.Struct):
    ns: str = ""


def token_namespace(token: str) -> str:
    """The namespace, empty where the token says none, or that of the platform, in which there are no services."""
    found = _OPAQUE.match(token)
    namespace = found[1] if found is not None else _claimed(token)
    return "" if namespace == PLATFORM_NAMESPACE else namespace


def _claimed(token: str) -> str:
    """What a signed token (RFC 7519) claims in its middle part."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "==="), type=_Claims).ns
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        return ""
