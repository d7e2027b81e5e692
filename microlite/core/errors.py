"""The tree of errors, and the one table that says how each looks on every face.

A service raises one of these; it travels as (code, status, detail, id) and is raised again, as the same class, at the
caller. `KINDS` is the only place where codes of HTTP, gRPC and the command line meet.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Error(Exception):
    """An error with a meaning on every face.

    Args:
        detail: what was wrong, where, and what to do, as one sentence for the person who reads it.
        id: who says so (`orders.create`), or the id under which a log holds the cause.
        code: the HTTP status code. A class has its own; only `Error` itself takes any from 400 to 599.
    """

    code: int = 500
    status: str = "Internal Server Error"

    def __init__(self, detail: str = "", *, id: str = "", code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.id = id
        if code is not None and code != self.code:
            if not 400 <= code <= 599:
                raise ValueError(f"an error's code is between 400 and 599, not {code}")
            self.code = code
            self.status = _STATUS_BY_CODE.get(code, "Error")

    def __str__(self) -> str:
        return self.detail or self.status

    def as_dict(self) -> dict[str, str | int]:
        """The body of an error on HTTP: `{"id", "code", "detail", "status"}`."""
        return {"id": self.id, "code": self.code, "detail": self.detail, "status": self.status}


class BadRequest(Error):
    """The request is malformed, or a field of it does not fit."""

    code, status = 400, "Bad Request"


class Unauthorized(Error):
    """Nobody is logged in, and the endpoint wants an account."""

    code, status = 401, "Unauthorized"


class Forbidden(Error):
    """The account is known and may not do this."""

    code, status = 403, "Forbidden"


class NotFound(Error):
    """What the request names does not exist."""

    code, status = 404, "Not Found"


class ServiceNotFound(NotFound):
    """No service of this name is registered in the namespace."""

    status = "Service Not Found"


class EndpointNotFound(NotFound):
    """The service is there and has no such endpoint."""

    status = "Endpoint Not Found"


class MethodNotAllowed(Error):
    """The path exists, with other methods."""

    code, status = 405, "Method Not Allowed"


class Timeout(Error):
    """The deadline of the call passed before the answer."""

    code, status = 408, "Request Timeout"


class Conflict(Error):
    """A precondition no longer holds: somebody else was faster."""

    code, status = 409, "Conflict"


class PreconditionFailed(Error):
    """The condition that the request itself states (`If-Match`) does not hold."""

    code, status = 412, "Precondition Failed"


class PayloadTooLarge(Error):
    """The body, frame or value is larger than the limit."""

    code, status = 413, "Payload Too Large"


class UnsupportedMediaType(Error):
    """The content type of the body is none that the endpoint reads."""

    code, status = 415, "Unsupported Media Type"


class Unprocessable(Error):
    """Well-formed and yet not acceptable."""

    code, status = 422, "Unprocessable Content"


class TooManyRequests(Error):
    """A quota or limit of this caller is used up."""

    code, status = 429, "Too Many Requests"


class Canceled(Error):
    """The caller went away before the answer."""

    code, status = 499, "Client Closed Request"


class InternalServerError(Error):
    """The service failed; `id` finds the cause in its log."""


class NotImplemented(Error):  # noqa: A001 - the word of the table; only ever used qualified, as errors.NotImplemented
    """The endpoint exists and does not do this."""

    code, status = 501, "Not Implemented"


class BadGateway(Error):
    """A program behind the gateway answered something that is no answer."""

    code, status = 502, "Bad Gateway"


class ServiceUnavailable(Error):
    """No node can take the call now. It was not started, so it can safely be sent again."""

    code, status = 503, "Service Unavailable"


class OutcomeUnknown(ServiceUnavailable):
    """The connection broke after the call was sent: it may or may not have run."""

    status = "Outcome Unknown"


class GatewayTimeout(Error):
    """A program behind the gateway did not answer in time."""

    code, status = 504, "Gateway Timeout"


class InsufficientStorage(Error):
    """The disk is full, or the quota of the namespace is used up."""

    code, status = 507, "Insufficient Storage"


class Kind(NamedTuple):
    """One row of the table: an error class on each face."""

    error: type[Error]
    grpc: int
    """The gRPC status code (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""
    exit: int
    """The exit code of the command line (micro v3's codes)."""


KINDS: Final = (
    Kind(BadRequest, 3, 127),
    Kind(Unauthorized, 16, 2),
    Kind(Forbidden, 7, 2),
    Kind(NotFound, 5, 127),
    Kind(ServiceNotFound, 12, 4),
    Kind(EndpointNotFound, 12, 5),
    Kind(MethodNotAllowed, 12, 127),
    Kind(Timeout, 4, 1),
    Kind(Conflict, 10, 127),
    Kind(PreconditionFailed, 9, 127),
    Kind(PayloadTooLarge, 8, 127),
    Kind(UnsupportedMediaType, 3, 127),
    Kind(Unprocessable, 3, 127),
    Kind(TooManyRequests, 8, 127),
    Kind(Canceled, 1, 1),
    Kind(InternalServerError, 13, 127),
    Kind(NotImplemented, 12, 127),
    Kind(BadGateway, 14, 127),
    Kind(ServiceUnavailable, 14, 127),
    Kind(OutcomeUnknown, 14, 127),
    Kind(GatewayTimeout, 4, 1),
    Kind(InsufficientStorage, 8, 127),
)

_KIND_BY_STATUS: Final = {kind.error.status: kind for kind in KINDS}
_STATUS_BY_CODE: dict[int, str] = {}
for _kind in KINDS:
    _STATUS_BY_CODE.setdefault(_kind.error.code, _kind.error.status)


def restore(code: int, status: str, detail: str, id: str = "") -> Error:
    """The error that was raised at the other end of a wire, as the class it was there."""
    kind = _KIND_BY_STATUS.get(status)
    if kind is None or kind.error.code != code:
        kind = _KIND_BY_STATUS.get(_STATUS_BY_CODE.get(code, ""))
    if kind is not None:
        return kind.error(detail, id=id)
    return Error(detail, id=id, code=code if 400 <= code <= 599 else 500)


def exit_code(error: Error) -> int:
    """The exit code with which the command line ends on this error."""
    kind = _KIND_BY_STATUS.get(error.status)
    return kind.exit if kind is not None else 127


def grpc_code(error: Error) -> int:
    """The gRPC status code of this error; 2 (unknown) for codes outside the table."""
    kind = _KIND_BY_STATUS.get(error.status)
    return kind.grpc if kind is not None else 2
