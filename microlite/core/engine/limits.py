"""What every engine refuses before it does anything, in the same words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.engine.api import (
    MAX_BATCH_BYTES,
    MAX_BATCH_OPERATIONS,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    MAX_SCAN_LIMIT,
    MAX_VALUE_BYTES,
    Append,
    Batch,
    Check,
    Delete,
    Presence,
    Put,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 60  # characters of a key that an error repeats


def check_name(kind: str, name: str) -> None:
    """Refuse the name of a namespace or bucket (`kind` says which) that is empty, too long, or no text."""
    # The plain case first, here and below: it is on the way of every read and write.
    if not (name.isascii() and 0 < len(name) <= MAX_NAME_BYTES and "\0" not in name):
        _check_text(kind, name, MAX_NAME_BYTES)


def check_key(key: str) -> None:
    """Refuse a key that is empty, too long, or no text."""
    if not (key.isascii() and 0 < len(key) <= MAX_KEY_BYTES and "\0" not in key):
        _check_text("key", key, MAX_KEY_BYTES)


def check_part(kind: str, text: str) -> None:
    """Refuse a prefix, suffix or cursor (`kind` says which) that could not be part of a key. Empty is fine."""
    if text:
        _check_text(kind, text, MAX_KEY_BYTES)


def check_limit(limit: int) -> None:
    """Refuse a limit of a scan outside 1 to `MAX_SCAN_LIMIT`."""
    if not 1 <= limit <= MAX_SCAN_LIMIT:
        raise errors.BadRequest(f"a limit is between 1 and {MAX_SCAN_LIMIT}, not {limit}")


def check_keys(keys: Sequence[str]) -> None:
    """Refuse too many keys for one read, or a malformed one among them."""
    if len(keys) > MAX_SCAN_LIMIT:
        raise errors.BadRequest(f"{len(keys)} keys are too many for one read: the limit is {MAX_SCAN_LIMIT}")
    for key in keys:
        check_key(key)


def check_revision(revision: int | None) -> None:
    """Refuse a revision to watch from that no commit could have had."""
    if revision is not None and not 0 <= revision < 1 << 53:
        raise errors.BadRequest(f"{revision} is no revision: they are whole numbers from 0")


def check_position(position: int) -> None:
    """Refuse a position in a stream that no entry could have had; 0 stands for the place before the first."""
    if not 0 <= position < 1 << 53:
        raise errors.BadRequest(f"{position} is no position in a stream: they are whole numbers from 0")


def check_size(size: int) -> None:
    """Refuse a number of bytes that is none."""
    if not 0 <= size < 1 << 63:
        raise errors.BadRequest(f"{size} is no size: sizes are whole numbers of bytes from 0")


def check_time(at: float) -> None:
    """Refuse a time that is none."""
    if not math.isfinite(at):
        raise errors.BadRequest(f"{at} is no time: they are seconds since the Unix epoch")


def check_batch(batch: Batch) -> int:
    """Refuse a malformed batch; return how many bytes its values have."""
    check_name("namespace", batch.namespace)
    operations = batch.operations
    if len(operations) > MAX_BATCH_OPERATIONS:
        raise errors.PayloadTooLarge(
            f"{len(operations)} operations are too many for one batch: the limit is {MAX_BATCH_OPERATIONS}"
        )
    size = 0
    places = []
    for operation in operations:
        if type(operation) is Append:
            check_name("stream", operation.stream)
            size += _check_value(f"an entry of {operation.stream}", operation.value)
            continue
        assert not isinstance(operation, Append)
        check_name("bucket", operation.bucket)
        check_key(operation.key)
        if operation.expect is not None:
            _check_expectation(operation)
        if type(operation) is Put:
            size += _check_put(operation)
        places.append((operation.bucket, operation.key))
    if size > MAX_BATCH_BYTES:
        raise errors.PayloadTooLarge(f"{size} bytes are too many for one batch: the limit is {MAX_BATCH_BYTES}")
    if len(places) > 1 and len(set(places)) < len(places):
        raise errors.BadRequest(
            f"{_repeated(places)} stands in the batch twice: put what it shall be into one operation"
        )
    return size


def _check_value(what: str, value: bytes) -> int:
    if type(value) is not bytes:
        raise errors.BadRequest(f"the value of {what} is {type(value).__name__}, not bytes")
    if len(value) > MAX_VALUE_BYTES:
        raise errors.PayloadTooLarge(f"the value of {what} has {len(value)} bytes: the limit is {MAX_VALUE_BYTES}")
    return len(value)


def _check_put(put: Put) -> int:
    size = _check_value(f"{put.bucket}/{put.key}", put.value)
    if put.expires_at is not None and not math.isfinite(put.expires_at):
        raise errors.BadRequest(f"the expiry of {put.bucket}/{put.key} is no time: {put.expires_at}")
    return size


def _check_expectation(operation: Put | Delete | Check) -> None:
    expect = operation.expect
    if not isinstance(expect, Presence) and not (type(expect) is int and 0 < expect < 1 << 53):
        raise errors.BadRequest(
            f"the precondition on {operation.bucket}/{operation.key} is no revision: {expect!r} "
            "(they are whole numbers from 1; absence is asked for as such)"
        )


def _check_text(kind: str, text: str, limit: int) -> None:
    if not text:
        raise errors.BadRequest(f"a {kind} must not be empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise errors.BadRequest(f"a {kind} must be text that UTF-8 can carry: {text[:_SHOWN]!r}") from error
    if size > limit:
        raise errors.BadRequest(f"a {kind} has at most {limit} bytes, not {size}: {text[:_SHOWN]!r}…")
    if "\0" in text:
        raise errors.BadRequest(f"a {kind} must not hold a NUL character: {text[:_SHOWN]!r}")


def _repeated(places: Sequence[tuple[str, str]]) -> str:
    seen = set()
    for bucket, key in places:
        if (bucket, key) in seen:
            return f"{bucket}/{key}"
        seen.add((bucket, key))
    raise AssertionError("called for a batch with a repeated key only")
