"""What the gateway has to know of namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class HostNames(Protocol):
    """Which hosts stand for which namespaces."""

    def __bool__(self) -> bool:
        """Whether any does."""
        ...

    def find(self, host: str) -> str:
        """The namespace that a host stands for, in lower case and without port; empty for none."""
        ...

    def subscribe(self, listener: Callable[[], object]) -> None:
        """Call `listener` after each change."""
        ...


class Tenants(Protocol):
    """Which namespaces there are."""

    @property
    def hosts(self) -> HostNames:
        """Which hosts stand for them."""
        ...

    def check(self, namespace: str) -> None:
        """Refuse a namespace that is not there.

        Raises:
            NotFound: there is none of this name.
            Forbidden: it is the platform's own.
        """
        ...
