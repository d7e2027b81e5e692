"""From the name of a host to the namespace that it stands for, by what an admin of the platform has said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from microlite.core.namespaces.api import Namespace


class HostNames:
    """All hosts of all namespaces."""

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._below: dict[str, str] = {}
        self._listeners: list[Callable[[], object]] = []

    def __bool__(self) -> bool:
        """Whether any host stands for a namespace."""
        return bool(self._exact or self._below)

    def find(self, host: str) -> str:
        """The namespace that a host stands for; empty for none. An exact name goes before `*.`, and a longer one before.

        Args:
            host: in lower case, without port.
        """
        found = self._exact.get(host)
        if found is not None or not self._below:
            return found or ""
        _, dot, rest = host.partition(".")
        while dot:
            found = self._below.get(rest)
            if found is not None:
                return found
            _, dot, rest = rest.partition(".")
        return ""

    def owner(self, host: str) -> str:
        """The namespace that has this very entry, `*.` included; empty for none."""
        return self._below.get(host[2:], "") if host.startswith("*.") else self._exact.get(host, "")

    def set(self, namespaces: Iterable[Namespace]) -> None:
        """Hold what they say from now on, and tell who listens."""
        self._exact.clear()
        self._below.clear()
        for namespace in namespaces:
            for host in () if namespace.deleting else namespace.hosts:
                if host.startswith("*."):
                    self._below[host[2:]] = namespace.name
                else:
                    self._exact[host] = namespace.name
        for listener in self._listeners:
            listener()

    def subscribe(self, listener: Callable[[], object]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)
