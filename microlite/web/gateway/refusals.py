"""Errors that only HTTP knows, beside the tree that all faces share."""

from __future__ import annotations

from microlite.core import errors


class UriTooLong(errors.Error):
    """The request target is longer than the limit."""

    code, status = 414, "URI Too Long"


class RangeNotSatisfiable(errors.Error):
    """`Range` asks for bytes that the answer does not have."""

    code, status = 416, "Range Not Satisfiable"


class ExpectationFailed(errors.Error):
    """`Expect` asks for something other than `100-continue`."""

    code, status = 417, "Expectation Failed"


class MisdirectedRequest(errors.Error):
    """`Host` names a host that this gateway does not answer for."""

    code, status = 421, "Misdirected Request"


class HeadTooLarge(errors.Error):
    """The headers or trailers are more or larger than the limit."""

    code, status = 431, "Request Header Fields Too Large"


class VersionNotSupported(errors.Error):
    """The request is in a version of HTTP that is not spoken here."""

    code, status = 505, "HTTP Version Not Supported"


class ResponseAborted(Exception):
    """An answer broke off after its head was sent: the connection is cut, so that the client can tell."""
