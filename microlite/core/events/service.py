"""The built-in service `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.events.endpoints.consuming import serve_consuming, serve_reading
from microlite.core.events.endpoints.dead_letters import serve_dead_letters
from microlite.core.events.endpoints.publishing import serve_publishing
from microlite.core.events.endpoints.topics import serve_groups, serve_topics
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.events.events import Events
    from microlite.core.policy.permits import Permits


def events_service(events: Events, permits: Permits, audit: Audit) -> Service:
    """Make the service over the topics of one platform."""
    service = Service(
        "events",
        doc="Durable topics: publish events, and have groups of consumers handle each at least once, in order of its key.",
        built_in=True,
    )
    serve_publishing(service, events, permits)
    serve_consuming(service, events, permits)
    serve_reading(service, events, permits)
    serve_topics(service, events, permits, audit)
    serve_groups(service, events, permits, audit)
    serve_dead_letters(service, events, permits, audit)
    return service
