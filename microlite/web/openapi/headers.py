"""Headers of a request that an operation understands beside its fields."""

from __future__ import annotations

from typing import Any, Final

IDEMPOTENCY_METHODS: Final = ("post", "patch")

IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A call that is sent again with the same key, by the same account, is done once, and answered for 24 "
    "hours what it was answered first. Another request with the key is 422; where nobody knows how the first ended, 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


FILE_HEADERS: Final = (
    _header("Range", "A part of the file.", "bytes=0-99"),
    _header("If-Range", "The part only if the file still has this `ETag`, else all of it.", '"v1"'),
    _header("If-None-Match", "Nothing if the file has one of these `ETag`s.", '"v1"'),
)
