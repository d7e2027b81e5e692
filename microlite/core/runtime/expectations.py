"""Whether a node of a service is on its way, over all its versions: what the router asks before it lets a call wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.network.membership import Membership


class Expectations:
    """What the runners of one platform say, told to the router by name of the service: calls know no version.

    Args:
        membership: is told each change.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._said: dict[tuple[str, str], dict[str, tuple[bool, str]]] = {}
        self._told: dict[tuple[str, str], tuple[bool, str]] = {}

    def say(self, namespace: str, name: str, key: str, *, expected: bool, reason: str) -> None:
        """One runner says whether a node of it runs or will, and if not, why."""
        self._said.setdefault((namespace, name), {})[key] = expected, reason
        self._tell(namespace, name)

    def forget(self, namespace: str, name: str, key: str) -> None:
        """A runner has ended: nothing of it is to be waited for. Harmless if it never said anything."""
        self._said.get((namespace, name), {}).pop(key, None)
        self._tell(namespace, name)

    def _tell(self, namespace: str, name: str) -> None:
        said = self._said.get((namespace, name), {})
        expected = any(yes for yes, _ in said.values())
        reason = next((why for _, why in said.values() if why), "")
        if self._told.get((namespace, name), (False, "")) == (expected, reason):
            return
        if said:
            self._told[namespace, name] = expected, reason
        else:
            self._told.pop((namespace, name), None)
            self._said.pop((namespace, name), None)
        self._membership.expect(namespace, name, expected, reason)
