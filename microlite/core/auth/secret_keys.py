"""Secrets that somebody carries around, and the keys under which the platform knows them."""

from __future__ import annotations

import hashlib
import secrets


def new_secret() -> str:
    """256 bits of chance, in characters that need no quoting in a URL or a cookie."""
    return secrets.token_urlsafe(32)


def key_of(secret: str) -> str:
    """The key of its record: who reads the database cannot get back to the secret, which needs no salt at this length."""
    return hashlib.sha256(secret.encode()).hexdigest()
