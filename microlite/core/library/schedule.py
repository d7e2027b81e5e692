"""What `Service.every` declares, checked where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.core.description.structs import Every, Streaming
from microlite.core.description.timing import timing
from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from microlite.core.description.declaration import Place
    from microlite.core.description.structs import EndpointDescription


def schedule_of(place: Place, interval: str | float | None, **declared: Any) -> Every:
    """The trigger of an endpoint.

    Args:
        place: of the function.
        interval: and `declared`: as in `Service.every`.

    Raises:
        DeclarationError: it cannot be.
    """
    if callable(interval):
        raise place.error(
            '`every` wants to know when: write `@service.every("10m")`, or `@service.every(cron="0 6 * * *")`'
        )
    try:
        return timing(interval, **declared)
    except BadRequest as error:
        raise place.error(error.detail) from None


def check_schedule(description: EndpointDescription, place: Place) -> None:
    """Refuse a schedule whose endpoint a schedule cannot call.

    Raises:
        DeclarationError: it streams, or a field has no default.
    """
    if not any(isinstance(trigger, Every) for trigger in description.triggers):
        return
    if description.streaming is not Streaming.UNARY:
        raise place.error("a schedule makes plain calls: return a value, and take no stream")
    required = description.request.get("required", ())
    if required:
        raise place.error(f"a schedule calls it without a request: give `{required[0]}` a default")
