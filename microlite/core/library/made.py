"""The services that were made in this process, of which it serves one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.library.service import Service

_MADE: weakref.WeakSet[Service] = weakref.WeakSet()
_RUN: weakref.WeakSet[Service] = weakref.WeakSet()


def remember(service: Service) -> None:
    """A service was made."""
    _MADE.add(service)


def siblings(service: Service) -> list[Service]:
    """The further services of the same file."""
    return [other for other in _MADE if other is not service and other.place.file == service.place.file]


def begin(service: Service) -> bool:
    """The service is to run. False if a sibling has run before, and this process is over with it."""
    if any(other in _RUN for other in siblings(service)):
        return False
    _RUN.add(service)
    return True
