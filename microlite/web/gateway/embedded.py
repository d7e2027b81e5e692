"""uvicorn's parts, without its command line."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def prepare_uvicorn() -> None:
    """Let parts of uvicorn be imported without all of it.

    The package imports its own command line, supervisors and reloaders, a third of the time that importing the protocol
    takes; a server that embeds the protocol uses none of them. Here the package is put in place without that: its parts
    are found as ever, and whoever asks the package itself for something makes it complete.
    """
    if "uvicorn" in sys.modules:
        return
    spec = importlib.util.find_spec("uvicorn")
    if spec is None or spec.loader is None:
        return  # the import that follows says what is missing
    package = importlib.util.module_from_spec(spec)
    sys.modules["uvicorn"] = package
    _complete_on_demand(package)


def _complete_on_demand(package: ModuleType) -> None:
    def complete(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del package.__getattr__
        loader = package.__spec__.loader if package.__spec__ is not None else None
        if loader is not None:
            loader.exec_module(package)
        return getattr(package, name)

    package.__getattr__ = complete  # type: ignore[method-assign]  # PEP 562
