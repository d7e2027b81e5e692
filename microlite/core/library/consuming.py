"""Endpoints that consume events: what is declared about them, and what becomes of their errors."""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.description.annotations import Annotations, unwrap
from microlite.core.description.schema import type_schema
from microlite.core.description.structs import Consume, Streaming
from microlite.core.events.api import Event, Misfits, Outcome, Reject, RetryLater, check_group, check_topic
from microlite.core.library.failure import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description import Endpoint
    from microlite.core.description.declaration import Place
    from microlite.core.library.context import Context

MAX_TEXT = 500
"""Characters of an exception's text that the platform keeps as the error of an attempt."""


def declare(
    place: Place,
    *,
    topic: str,
    group: str,
    retries: int,
    ack_wait: float | str,
    backoff: float | str,
    max_backoff: float | str,
    concurrency: int,
    start: str | float,
    misfits: str,
) -> Consume:
    """The trigger of an endpoint.

    Raises:
        DeclarationError: a setting cannot be.
    """
    try:
        check_topic(topic)
        check_group(group)
    except errors.BadRequest as error:
        raise place.error(error.detail) from None
    if misfits and misfits not in tuple(Misfits):
        raise place.error(f"misfits={misfits!r}: write 'refuse' or 'quarantine', or leave it out")
    if retries < -1:
        raise place.error(f"retries={retries}: write a number of 0 or more, or -1 for no limit")
    if not 1 <= concurrency <= 500:
        raise place.error(f"concurrency={concurrency}: write 1 to 500")
    trigger = Consume(
        topic=topic,
        group=group,
        retries=retries,
        ack_wait=_seconds("ack_wait", ack_wait, place),
        backoff=_seconds("backoff", backoff, place),
        max_backoff=_seconds("max_backoff", max_backoff, place),
        concurrency=concurrency,
        start=start,
        misfits=misfits,
    )
    if not 0 < trigger.ack_wait <= 86_400:
        raise place.error(f"ack_wait={ack_wait!r}: write more than 0 and at most 86400 seconds")
    if trigger.backoff > trigger.max_backoff:
        raise place.error(f"backoff={backoff!r} is more than max_backoff={max_backoff!r}")
    return trigger


def adapt(endpoint: Endpoint) -> Endpoint:
    """Make a compiled endpoint one that consumes: its request is one event, its reply says whether that worked.

    Raises:
        DeclarationError: it streams, or takes more than one thing.
    """
    place, description = endpoint.place, endpoint.description
    if endpoint.streaming is not Streaming.UNARY:
        raise place.error("what consumes events streams nothing: it takes one event, and returns when that is handled")
    fields = list(description.request["properties"])
    if more := [name for name in description.request.get("required", ()) if name != fields[0]]:
        raise place.error(
            f"parameter `{more[0]}`: an event has one payload, which `{fields[0]}` takes; give this one a default"
        )
    field = fields[0] if fields else ""
    whole = bool(field) and _is_event(endpoint.function, field)
    triggers = tuple(
        msgspec.structs.replace(trigger, field=field, whole=whole) if isinstance(trigger, Consume) else trigger
        for trigger in description.triggers
    )
    reply = Outcome | None
    endpoint.answer_otherwise(
        _guard_async(endpoint) if endpoint.is_async else _guard(endpoint),
        reply,
        msgspec.structs.replace(
            description, triggers=triggers, response=type_schema(reply, place, "the outcome", "serialization")
        ),
    )
    return endpoint


def _is_event(function: Callable[..., Any], parameter: str) -> bool:
    annotation = unwrap(Annotations(function).resolve(parameter))
    return annotation is Event or typing.get_origin(annotation) is Event


def _guard_async(endpoint: Endpoint) -> Callable[..., Any]:
    invoke = endpoint.invoke

    @functools.wraps(invoke)
    async def guarded(context: Context, arguments: tuple[Any, ...], items: Any = None) -> Outcome | None:
        try:
            await invoke(context, arguments, items)
        except Exception as error:  # noqa: BLE001 - the edge between user code and the wire
            return outcome_of(error, context, endpoint)
        return None

    return guarded


def _guard(endpoint: Endpoint) -> Callable[..., Any]:
    invoke = endpoint.invoke

    @functools.wraps(invoke)
    def guarded(context: Context, arguments: tuple[Any, ...], items: Any = None) -> Outcome | None:
        try:
            invoke(context, arguments, items)
        except Exception as error:  # noqa: BLE001 - the edge between user code and the wire
            return outcome_of(error, context, endpoint)
        return None

    return guarded


def outcome_of(error: Exception, context: Context, endpoint: Endpoint) -> Outcome:
    """What the platform hears of an exception; one that is no `Error` is logged with its traceback."""
    if isinstance(error, RetryLater):
        return Outcome(error=str(error), retry_after=error.after)
    if isinstance(error, Reject):
        return Outcome(error=str(error), dead=True)
    if isinstance(error, errors.Error):
        return Outcome(error=str(error)[:MAX_TEXT])
    told = report(error, context, endpoint)
    text = f"{type(error).__name__}: {error}"[:MAX_TEXT]
    return Outcome(error=f"{text} (the log has more under {told.id})")


def _seconds(what: str, value: float | str, place: Place) -> float:
    if isinstance(value, str):
        from microlite.core.durations import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            raise place.error(f"{what}: {error}") from None
    if value < 0:
        raise place.error(f"{what}={value!r}: write seconds, or a text as in '30s'")
    return float(value)
