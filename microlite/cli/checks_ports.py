"""The check of `microlite doctor` that looks at the ports: gateway, proxy and dashboard."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from microlite.cli.failure import CommandError
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.link import connect
from microlite.core import errors

if TYPE_CHECKING:
    from microlite.cli.options import Options

_USES: Final = ("gateway", "proxy", "dashboard")
"""What listens on the port that was asked for, and on those that follow it."""

_STEP: Final = 10
"""From one set of ports to the next that is tried."""


def check_ports(options: Options, port: int) -> Finding:
    """Whether the platform has its ports, or could have these, and who holds those that it could not."""
    try:
        with connect(options) as link:
            return ok("ports", f"the platform has its own: {link.gateway}")
    except (CommandError, errors.Error):
        pass
    taken = [number for number in range(port, port + len(_USES)) if not _is_free(number)]
    if not taken:
        return ok("ports", f"{port} to {port + len(_USES) - 1} are free")
    told = "; ".join(f"port {number} ({_USES[number - port]}) is in use{_by(number)}" for number in taken)
    free = next((base for base in range(port + _STEP, 65000, _STEP) if _are_free(base)), 0)
    return (broken if port in taken else warning)("ports", told, f"microlite server --port {free}")


def _by(port: int) -> str:
    from microlite.web.gateway.ports import find_holder

    holder = find_holder(port)
    return f" by {holder}" if holder else " by a program of another user"


def _are_free(base: int) -> bool:
    return all(_is_free(number) for number in range(base, base + len(_USES)))


def _is_free(port: int) -> bool:
    if port > 65535:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
