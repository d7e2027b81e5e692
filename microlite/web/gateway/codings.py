"""Content codings: which one a client prefers, and bodies to and from it (RFC 9110, sections 8.4 and 12.5.3)."""

from __future__ import annotations

import re
import zlib
from typing import Final

from microlite.core import errors

MIN_SIZE: Final = 1024
"""Bytes of the smallest body that is worth it."""

INLINE: Final = 32 * 1024
"""Bytes of the largest body that is compressed on the loop, which it holds for half a millisecond at most."""

_PREFERRED: Final = ("zstd", "gzip")
"""What is offered, the better first."""

_ALIASES: Final = {"x-gzip": "gzip"}
_GZIP_LEVEL: Final = 4
_ZSTD_LEVEL: Final = 3
_GZIP_WINDOW: Final = 31
"""zlib's way to say: with the head and the end of gzip."""

_MAX_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of memory that a zstd body may ask for (RFC 8878, section 3.1.1.1.2)."""

_ZSTD_STEP: Final = 256
"""Bytes of a zstd body that are expanded at a time; each block of four bytes can stand for 128 KiB."""

_GZIP_STEP: Final = 16 * 1024
"""Bytes of a gzip body that are expanded at a time, and so the most that is looked at again behind the end of a frame."""

MOST_FRAMES: Final = 4096
"""Frames, which gzip calls members, of which a body may consist. Empty ones are small, and each takes its time."""

_QUALITY: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_COMPRESSIBLE: Final = re.compile(
    rb"text/(?!event-stream).*|application/(?:json|javascript|xml|xhtml\+xml|wasm|toml|yaml|.*\+(?:json|xml))"
    rb"|image/(?:svg\+xml|bmp)|font/(?:ttf|otf)"
)


def choose(accepted: str) -> str:
    """The coding that a client likes best of those on offer; empty for none.

    Args:
        accepted: the header `Accept-Encoding`.
    """
    if not accepted:
        return ""
    qualities: dict[str, float] = {}
    for choice in accepted.lower().split(","):
        name, _, parameter = choice.partition(";")
        quality = _QUALITY.fullmatch(parameter.strip())
        if parameter.strip() and quality is None:
            continue
        name = name.strip()
        qualities[_ALIASES.get(name, name)] = float(quality[1]) if quality else 1.0
    others = qualities.get("*", 0.0)
    best = max(_PREFERRED, key=lambda name: qualities.get(name, others))  # the first of equals
    quality_of_best = qualities.get(best, others)
    return best if quality_of_best and quality_of_best >= qualities.get("identity", 0.0) else ""


def is_compressible(content_type: bytes, size: int) -> bool:
    """Whether a body of this type and size gets smaller by it, worth the while."""
    return size >= MIN_SIZE and _COMPRESSIBLE.fullmatch(content_type.partition(b";")[0].strip().lower()) is not None


def compress(coding: str, body: bytes) -> bytes:
    """The body in a coding that `choose` gave."""
    if coding == "zstd":
        import zstandard  # no platform needs it before a client asks for it

        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def expand(coding: str, body: bytes, limit: int) -> bytes:
    """The body of a request that came in this coding.

    Raises:
        UnsupportedMediaType: the coding is not known here.
        PayloadTooLarge: it would be larger than `limit`; no more than that is ever held.
        BadRequest: it is not in this coding.
    """
    coding = _ALIASES.get(coding, coding)
    if coding not in _PREFERRED:
        raise errors.UnsupportedMediaType(
            f'the body is in the coding "{coding}"; send it as gzip, as zstd, or plain', id="gateway"
        )
    expanded = _read_zstd(body, limit + 1) if coding == "zstd" else _read_gzip(body, limit + 1)
    if expanded is None:
        raise errors.BadRequest(f"the body is not {coding}, as Content-Encoding says", id="gateway")
    if len(expanded) > limit:
        raise errors.PayloadTooLarge(f"the body is larger than the limit of {limit:,} bytes, expanded", id="gateway")
    return expanded


def _read_gzip(body: bytes, size: int) -> bytes | None:
    """At most `size` bytes; None where the body is malformed or ends too soon."""
    expanded = bytearray()
    whole, start = memoryview(body), 0
    try:
        for _ in range(MOST_FRAMES):
            reader = zlib.decompressobj(wbits=_GZIP_WINDOW)
            while not reader.eof and start < len(body):
                piece = reader.unconsumed_tail or whole[start : start + _GZIP_STEP]
                start += 0 if reader.unconsumed_tail else len(piece)
                expanded += reader.decompress(piece, size - len(expanded))
                if len(expanded) >= size:
                    return bytes(expanded)
            if not reader.eof:
                return None
            start -= len(reader.unused_data)
            if start >= len(body):
                return bytes(expanded)
    except zlib.error:
        return None
    return None


def _read_zstd(body: bytes, size: int) -> bytes | None:
    """As `_read_gzip`, in steps that each expand to a few megabytes at most."""
    import zstandard

    expanded = bytearray()
    whole, start = memoryview(body), 0
    opener = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    try:
        for _ in range(MOST_FRAMES):
            if start >= len(body):
                return bytes(expanded)
            reader = opener.decompressobj()
            while not reader.eof and start < len(body):
                piece = whole[start : start + _ZSTD_STEP]
                start += len(piece)
                expanded += reader.decompress(piece)
                if len(expanded) >= size:
                    return bytes(expanded[:size])
            if not reader.eof:
                return None
            start -= len(reader.unused_data)
    except zstandard.ZstdError:
        return None
    return None
