"""The built-in service `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.events.endpoints.consuming import serve_consuming, serve_reading
from microlite.core.events.endpoints.dead_letters import serve_dead_letters
from microlite.core.events.endpoints.publishing import serve_publishing
from microlite.core.events.endpoints.topics import serve_groups, serve_topics
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.events.events import Events


def events_service(events: Events) -> Service:
    """Make the service over the topics of one platform."""
    service = Service(
        "events",
        doc="Durable topics: publish events, and have groups of consumers handle each at least once, in order of its key.",
        built_in=True,
    )
    serve_publishing(service, events)
    serve_consuming(service, events)
    serve_reading(service, events)
    serve_topics(service, events)
    serve_groups(service, events)
    serve_dead_letters(service, events)
    return service
