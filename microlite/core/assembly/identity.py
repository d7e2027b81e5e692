"""Who somebody is, and what he may do, for one platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.auth.identities import Identities

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.assembly.state import State
    from microlite.core.auth.passwords import Cost
    from microlite.core.clock import Clock
    from microlite.core.description.structs import EndpointDescription
    from microlite.core.registry.registry import Registry


def assemble_identities(
    state: State, registry: Registry, home: Path, clock: Clock, admin_token: str, cost: Cost | None
) -> Identities:
    """Put it together. It opens nothing: keys and records are read when they are asked for.

    Args:
        state: has the engine and the audit log.
        registry: tells what endpoints demand.
        home: the folder of the platform.
        clock: the time.
        admin_token: stands for the platform's admin.
        cost: of the hashes of secrets; the usual without it.
    """

    def describe(namespace: str, service: str, endpoint: str) -> EndpointDescription | None:
        built_in = registry.built_in(service)
        if built_in is not None:
            return built_in.endpoint(endpoint)
        for record in registry.services(namespace):
            if record.name == service:
                for description in record.endpoints:
                    if description.name == endpoint:
                        return description
        return None

    return Identities(state.engine, state.audit, home, clock, admin_token, describe, cost)
