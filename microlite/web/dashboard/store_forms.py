"""The form of a record: what stands in its fields, and what is written when it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.durations import parse_duration
from microlite.core.store import values
from microlite.core.store.api import ValueEncoding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.store.api import Record

TEXT, JSON, BASE64, MSGPACK = "text", "json", "base64", "msgpack"

FORMS: Final = ((TEXT, "Text"), (JSON, "JSON"), (BASE64, "Bytes, in base64"), (MSGPACK, "MessagePack, in base64"))
"""The ways in which a value can be written in the form, and their words."""

MAX_SHOWN: Final = 256 * 1024
"""Characters of a value that can be edited in a browser; larger ones can be downloaded."""

NEVER: Final = "never"
"""What to write for a record that is to stay."""

_WORDS: Final = {TEXT: "text", JSON: "JSON", BASE64: "bytes", MSGPACK: "MessagePack"}


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the fields.

    Attributes:
        kind: one of `FORMS`.
        text: the value, so written.
        revision: of the record that it was made from; 0 for a new one.
        expires_at: of that record.
        lives: what the user wrote about the expiry; empty to leave it as it is.
        loses: whether saving the value as it stands would change types in it.
        too_large: whether it is not shown for its size.
    """

    key: str = ""
    kind: str = JSON
    text: str = ""
    revision: int = 0
    expires_at: float | None = None
    lives: str = ""
    loses: bool = False
    too_large: bool = False

    @property
    def word(self) -> str:
        """What kind of value it is."""
        return _WORDS[self.kind]

    def fields(self) -> dict[str, Any]:
        """The request to `store.write`.

        Raises:
            BadRequest: the value is not what it says, or the expiry is none.
        """
        fields: dict[str, Any] = {"key": self.key, "value": self._value()}
        fields["expect"] = self.revision or "absent"
        lives = self.lives.strip().lower()
        if not lives:
            fields["expires_at"] = self.expires_at
        elif lives != NEVER:
            try:
                fields["ttl"] = parse_duration(lives)
            except ValueError as error:
                raise errors.BadRequest(f"{error}; or {NEVER}") from None
        return fields

    def over(self, record: Record | None) -> Form:
        """The same as a change of the record that is there now."""
        if record is None:
            return msgspec.structs.replace(self, revision=0)
        return msgspec.structs.replace(self, revision=record.revision, expires_at=record.expires_at)

    def _value(self) -> object:
        if self.kind == TEXT:
            return self.text.replace("\r\n", "\n")  # as browsers send the ends of lines
        if self.kind == JSON:
            try:
                return msgspec.json.decode(self.text)
            except (msgspec.DecodeError, UnicodeError) as error:
                raise errors.BadRequest(f"the value is no JSON: {error}; choose Text for text") from None
        raw = msgspec.Raw(msgspec.json.encode("".join(self.text.split())))
        return msgspec.Raw(values.pack(raw, Encoding.JSON, ValueEncoding(self.kind)))


def form_of(record: Record | None) -> Form:
    """The form in which a record is edited; an empty one for a new record."""
    if record is None:
        return Form()
    kept = bytes(record.value)
    document, encoding = values.unpack(kept, Encoding.JSON)
    text, kind, loses = bytes(document).decode(), JSON, False
    if encoding is not ValueEncoding.PLAIN:
        kind = str(encoding)
        text = msgspec.json.decode(text)
    elif text.startswith('"'):
        kind, text = TEXT, msgspec.json.decode(text)
    else:
        loses = values.exact(kept)[1] is not ValueEncoding.PLAIN
        text = msgspec.json.format(text)
    large = len(text) > MAX_SHOWN
    return Form(
        key=record.key,
        kind=kind,
        text="" if large else text,
        revision=record.revision,
        expires_at=record.expires_at,
        loses=loses,
        too_large=large,
    )


def read_form(told: Mapping[str, str]) -> Form:
    """What a browser has sent.

    Raises:
        BadRequest: it is no form of ours.
    """
    revision, expires_at = told.get("revision", "0"), told.get("expires_at", "")
    kind = told.get("kind", JSON)
    try:
        return Form(
            key=told.get("key", ""),
            kind=kind if kind in _WORDS else JSON,
            text=told.get("value", ""),
            revision=int(revision),
            expires_at=float(expires_at) if expires_at else None,
            lives=told.get("lives", ""),
        )
    except ValueError:
        raise errors.BadRequest("this form is none of this page: load it again") from None
