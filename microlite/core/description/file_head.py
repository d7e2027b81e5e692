"""What a streamed file is: the first thing in a stream whose media type only its service knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core.description.ranges import Unsatisfiable, read_range

if TYPE_CHECKING:
    from collections.abc import Mapping


class FileHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is that follows in pieces of bytes.

    An endpoint with `produces="*/*"` yields it first, and behind it the bytes from `first` to before `end`. Over HTTP
    it becomes the headers: `Content-Type`, `Content-Length`, `ETag`, `Content-Range`, `Last-Modified`, and with a name
    `Content-Disposition`; the gateway answers conditional requests by it.

    Attributes:
        content_type: the media type.
        size: of the whole file, in bytes.
        etag: what changes with the content, a digest or a revision, without quotes; empty for none.
        first: where the bytes that follow begin.
        end: before where they end; none for the end of the file.
        modified_at: when the content was last changed, in seconds since the Unix epoch.
        name: under which a browser is to save it; empty to show it, where that is safe.
        metadata: what else there is to say. Over HTTP it is left out.
    """

    content_type: str
    size: int
    etag: str = ""
    first: int = 0
    end: int | None = None
    modified_at: float | None = None
    name: str = ""
    metadata: dict[str, str] = {}

    @property
    def stop(self) -> int:
        """Before where the bytes end that follow."""
        return self.size if self.end is None else self.end

    def for_request(self, metadata: Mapping[str, str]) -> FileHead:
        """The same file, with `first` and `end` as a client wants them, as far as it wants a part.

        Args:
            metadata: of the call (`ctx.metadata`), where `Range` and `If-Range` of HTTP are.
        """
        wanted = metadata.get("range", "")
        known = metadata.get("if-range")
        if not wanted or (known is not None and (not self.etag or known.strip() != self.quoted_etag)):
            return self
        try:
            part = read_range(wanted, self.size)
        except Unsatisfiable:
            return msgspec.structs.replace(self, first=self.size, end=self.size)
        return self if part is None else msgspec.structs.replace(self, first=part.first, end=part.end)

    @property
    def quoted_etag(self) -> str:
        """The entity tag as HTTP writes it; empty without one."""
        return f'"{self.etag}"' if self.etag else ""
