"""Forms with files (`multipart/form-data`, RFC 7578): their parts as they arrive, and the fields that they set."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from microlite.core import errors
from microlite.core.description.schema_path import dereference
from microlite.core.description.uploads import is_bytes, is_file
from microlite.web.gateway.fields import MAX_FIELDS, convert, set_field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from multipart import MultipartSegment  # type: ignore[import-untyped]  # it has no stubs

    from microlite.core.description.structs import Schema

MAX_PART_HEADERS: Final = 8
MAX_PART_HEADER: Final = 4096
"""Bytes of one header of a part."""

_MAX_BOUNDARY: Final = 70
"""Characters (RFC 2046, section 5.1.1)."""


class PartHead(NamedTuple):
    """What a part says of itself before its content.

    Attributes:
        name: of the field.
        file_name: what the client calls the file; None where it is none.
        content_type: empty where nothing is said.
    """

    name: str
    file_name: str | None
    content_type: str


class Part(NamedTuple):
    """A whole part."""

    head: PartHead
    content: bytes

    @property
    def is_empty_file(self) -> bool:
        """Whether it is what a browser sends for a file that nobody chose."""
        return self.head.file_name == "" and not self.content

    def text(self) -> str:
        """The content as text.

        Raises:
            BadRequest: it is none.
        """
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise errors.BadRequest(f'the form: "{self.head.name}" is not UTF-8', id="gateway") from None


class FormReader:
    """Reads a form part by part, holding no more of it than what arrived last.

    Args:
        boundary: what stands between its parts, by its content type.
        read: gives the next piece of the body, and nothing after the last.

    Raises:
        BadRequest: there is no boundary, or it is malformed.
    """

    def __init__(self, boundary: str, read: Callable[[], Awaitable[bytes]]) -> None:
        import multipart  # not every platform is sent a form

        if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
            raise errors.BadRequest(
                "the content type multipart/form-data needs a boundary; let your HTTP library set the header",
                id="gateway",
            )
        self._read = read
        self._parser = multipart.PushMultipartParser(
            boundary,
            max_header_size=MAX_PART_HEADER,
            max_header_count=MAX_PART_HEADERS,
            max_segment_count=MAX_FIELDS,
            strict=True,
        )
        self._events: deque[MultipartSegment | bytes | bytearray | None] = deque()
        self._ended = False

    async def next_part(self) -> PartHead | None:
        """The head of the next part; None after the last. What is left of the part before it is skipped.

        Raises:
            BadRequest: the form is malformed.
            PayloadTooLarge: it has too many parts, or too long headers.
        """
        while (event := await self._next_event()) is not _END:
            if event is not None and not isinstance(event, bytes | bytearray):
                if not event.name:
                    raise errors.BadRequest("the form: a part has no name", id="gateway")
                return PartHead(event.name, event.filename, event.content_type or "")
        return None

    async def next_piece(self) -> bytes:
        """The next piece of the part whose head was read last; nothing after its last one.

        Raises:
            BadRequest: the form is malformed.
        """
        event = await self._next_event()
        return bytes(event) if isinstance(event, bytes | bytearray) else b""

    async def content(self, limit: int) -> bytes:
        """All of the part whose head was read last.

        Raises:
            PayloadTooLarge: it is larger than `limit`.
        """
        pieces = []
        while piece := await self.next_piece():
            limit -= len(piece)
            if limit < 0:
                raise errors.PayloadTooLarge("the form: its fields are larger than the limit for a body", id="gateway")
            pieces.append(piece)
        return b"".join(pieces)

    async def _next_event(self) -> Any:
        """The head of a part, a piece of it, None at its end; `_END` after the last part."""
        import multipart

        while not self._events:
            if self._ended:
                return _END
            piece = await self._read()
            self._ended = not piece
            try:
                self._events.extend(self._parser.parse(piece))
            except multipart.ParserLimitReached as error:
                raise errors.PayloadTooLarge(f"the form: {_reason(error)}", id="gateway") from None
            except multipart.MultipartError as error:
                raise errors.BadRequest(f"the form is malformed: {_reason(error)}", id="gateway") from None
        return self._events.popleft()


_END: Final = object()

_REASONS: Final = {
    "Unexpected end of multipart stream (parser closed)": "it ends before its last boundary",
    "Boundary not found in first chunk": "it does not begin with its boundary",
    "Missing Content-Disposition segment header": "a part has no Content-Disposition",
    "Maximum segment count exceeded": f"it has more than {MAX_FIELDS:,} parts",
    "Maximum segment header length exceeded": f"a part has a header of more than {MAX_PART_HEADER:,} bytes",
    "Maximum segment header count exceeded": f"a part has more than {MAX_PART_HEADERS} headers",
}
"""What the parser says, in words that speak of the form."""


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if error.args else "it cannot be read"
    return _REASONS.get(text, text[:1].lower() + text[1:])


def read_boundary(content_type: str) -> str:
    """The boundary that a header `Content-Type` names; empty for none."""
    import multipart

    _, options = multipart.parse_options_header(content_type)
    return str(options.get("boundary", ""))


def form_fields(parts: Iterable[Part], schema: Schema) -> dict[str, Any]:
    """The fields that a form sets: in the notation of a query, and files where the schema has bytes or an object for one.

    Args:
        parts: of the form.
        schema: of the request.

    Raises:
        BadRequest: a text is not UTF-8, or the names contradict each other.
    """
    named: dict[str, list[Part]] = {}
    for part in parts:
        if not part.is_empty_file:
            named.setdefault(part.head.name, []).append(part)
    fields: dict[str, Any] = {}
    for name, given in named.items():
        set_field(fields, name, given, schema, _convert, "form")
    return fields


def _convert(parts: list[Part], schema: Schema, root: Schema) -> Any:
    """What one or more parts are worth under a schema."""
    for choice in schema.get("anyOf") or (schema,):
        inner = dereference(choice, root)
        many = inner.get("type") == "array"
        element = dereference(inner.get("items") or {}, root) if many else inner
        if is_bytes(element):
            return [part.content for part in parts] if many or len(parts) > 1 else parts[0].content
        if is_file(element, root) and (many or parts[0].head.file_name is not None):
            files = [_file(part, element) for part in parts]
            return files if many or len(parts) > 1 else files[0]
    return convert([part.text() for part in parts], schema, root)


def _file(part: Part, schema: Schema) -> dict[str, Any]:
    """A part as an object of the file that it is, with as much as the object has members for."""
    said = {"name": part.head.file_name, "content_type": part.head.content_type}
    known = schema.get("properties", {})
    return {"content": part.content, **{key: value for key, value in said.items() if value and key in known}}
