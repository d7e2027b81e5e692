"""The list of built-in services: one more is one folder and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.auth.service import auth_service
from microlite.core.backup.service import backup_service
from microlite.core.broker.service import broker_service
from microlite.core.config.service import config_service
from microlite.core.events.service import events_service
from microlite.core.network.service import network_service
from microlite.core.registry.service import registry_service
from microlite.core.runtime.service import runtime_service
from microlite.core.schedules.service import schedules_service
from microlite.core.store.service import store_service
from microlite.core.tx.service import tx_service

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.audit.audit import Audit
    from microlite.core.auth.identities import Identities
    from microlite.core.auth.one_time_links import OneTimeLinks
    from microlite.core.backup.making import Source
    from microlite.core.broker.broker import Broker
    from microlite.core.config.configuration import Configuration
    from microlite.core.config.view import Views
    from microlite.core.engine.api import Engine
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service
    from microlite.core.network.membership import Membership
    from microlite.core.policy.permits import Permits
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.logs import Logs
    from microlite.core.runtime.runtime import Runtime
    from microlite.core.schedules.scheduler import Scheduler
    from microlite.core.store.blobs import Blobs
    from microlite.core.store.records import Records
    from microlite.core.tx.transactions import Transactions


class Parts:
    """What the built-in services are logic over."""

    def __init__(
        self,
        *,
        audit: Audit,
        identities: Identities,
        links: OneTimeLinks,
        dashboard: str,
        backups: Source,
        broker: Broker,
        configuration: Configuration,
        configuration_views: Views,
        events: Events,
        registry: Registry,
        membership: Membership,
        permits: Permits,
        runtime: Runtime,
        logs: Logs,
        blobs: Blobs,
        records: Records,
        transactions: Transactions,
        engine: Engine,
        scheduler: Scheduler,
    ) -> None:
        self.audit = audit
        self.identities = identities
        self.links = links
        self.dashboard = dashboard
        self.backups = backups
        self.broker = broker
        self.configuration = configuration
        self.configuration_views = configuration_views
        self.events = events
        self.registry = registry
        self.membership = membership
        self.permits = permits
        self.runtime = runtime
        self.logs = logs
        self.blobs = blobs
        self.records = records
        self.transactions = transactions
        self.engine = engine
        self.scheduler = scheduler


CATALOG: Final[tuple[Callable[[Parts], Service], ...]] = (
    lambda parts: auth_service(parts.identities, parts.audit, parts.links, parts.dashboard),
    lambda parts: backup_service(parts.backups, parts.audit),
    lambda parts: broker_service(parts.broker, parts.permits, parts.audit),
    lambda parts: config_service(parts.configuration, parts.configuration_views, parts.permits, parts.audit),
    lambda parts: events_service(parts.events, parts.permits, parts.audit),
    lambda parts: network_service(parts.membership),
    lambda parts: registry_service(parts.registry),
    lambda parts: runtime_service(parts.runtime, parts.registry, parts.logs, parts.audit),
    lambda parts: schedules_service(parts.scheduler, parts.engine),
    lambda parts: store_service(parts.records, parts.blobs, parts.permits),
    lambda parts: tx_service(parts.transactions),
)
"""Makes each built-in service, in the order of their names."""


def built_in_services(parts: Parts) -> list[Service]:
    """All built-in services of one platform."""
    return [make(parts) for make in CATALOG]
