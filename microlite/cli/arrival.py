"""Services whose nodes are on their way: a command waits for one, as a call does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from microlite.cli.described import describe
from microlite.cli.link import TIMEOUT
from microlite.core import errors

if TYPE_CHECKING:
    from microlite.cli.described import Described
    from microlite.cli.link import Link

_SERVING: Final = frozenset({"running", "debugging"})
_COMING: Final = frozenset({"pending", "building", "starting", "backoff", "draining"})


def describe_soon(link: Link, service: str, patience: float = TIMEOUT) -> tuple[Described, ...]:
    """The versions of a service, waiting for its first node where one is on its way.

    Raises:
        ServiceNotFound: there is no such service, and none is to come.
        ServiceUnavailable: its nodes cannot start; the detail says why.
        Timeout: none came in time.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return describe(link, service)
        except errors.ServiceNotFound:
            if not wait_for(link, service, until - time.monotonic()):
                raise


def wait_for(link: Link, service: str, patience: float = TIMEOUT) -> bool:
    """Return True as soon as a service has a node that serves, and False where none is on its way.

    Raises:
        ServiceUnavailable: its nodes cannot start; the detail says why.
        Timeout: none came in time.
    """
    reason = ""
    try:
        for statuses in link.follow(
            "runtime", "watch", list[dict[str, Any]], timeout=max(0.001, patience), service=service
        ):
            states = {status["state"] for status in statuses}
            reason = next((status["error"] for status in statuses if status.get("error")), "")
            if states & _SERVING:
                return True
            if not states & _COMING:
                break
    except errors.Timeout:
        why = f": {reason}" if reason else ""
        raise errors.Timeout(f"no node of {service!r} came up in time{why}") from None
    except errors.Error:
        return False  # who may not ask what runs does not wait for it
    if reason:
        raise errors.ServiceUnavailable(f'Service "{service}" has no running node: {reason}')
    return False
