"""microlite: a development platform in one file.

What a service is written with. Everything is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.version import __version__

if TYPE_CHECKING:
    from microlite.core import errors
    from microlite.core.broker.api import Message
    from microlite.core.context import Account
    from microlite.core.description.file_head import FileHead
    from microlite.core.events.api import Event, Reject, RetryLater
    from microlite.core.library.connect import connect
    from microlite.core.library.context import Context
    from microlite.core.library.file import File
    from microlite.core.library.handlers import endpoint
    from microlite.core.library.middleware import Invocation, Proceed
    from microlite.core.library.service import Service
    from microlite.core.library.state.store import Record, Store, Table
    from microlite.core.library.state.transaction import Transaction
    from microlite.core.library.stream import Stream

_PLACES = {
    "Account": "microlite.core.context",
    "Context": "microlite.core.library.context",
    "Event": "microlite.core.events.api",
    "File": "microlite.core.library.file",
    "FileHead": "microlite.core.description.file_head",
    "Invocation": "microlite.core.library.middleware",
    "Message": "microlite.core.broker.api",
    "Proceed": "microlite.core.library.middleware",
    "Record": "microlite.core.library.state.store",
    "Reject": "microlite.core.events.api",
    "RetryLater": "microlite.core.events.api",
    "Service": "microlite.core.library.service",
    "Store": "microlite.core.library.state.store",
    "Stream": "microlite.core.library.stream",
    "Transaction": "microlite.core.library.state.transaction",
    "Table": "microlite.core.library.state.store",
    "connect": "microlite.core.library.connect",
    "endpoint": "microlite.core.library.handlers",
    "errors": "microlite.core",
}

__all__ = [
    "Account",
    "Context",
    "Event",
    "File",
    "FileHead",
    "Invocation",
    "Message",
    "Proceed",
    "Record",
    "Reject",
    "RetryLater",
    "Service",
    "Store",
    "Stream",
    "Table",
    "Transaction",
    "__version__",
    "connect",
    "endpoint",
    "errors",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'microlite' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{place}.{name}") if name == "errors" else getattr(import_module(place), name)
    globals()[name] = module
    return module
