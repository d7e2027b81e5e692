"""The ports on which the debuggers of nodes listen: the same one for a node over all its generations."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"

FIRST: Final = 5678
"""The port that editors propose."""


class DebugPorts:
    """Gives each node that runs under a debugger a port of its own."""

    def __init__(self) -> None:
        self._ports: dict[tuple[str, str], int] = {}

    def of(self, namespace: str, node: str, wanted: int = 0) -> int:
        """The port of a node: that of its last generation, else the first from `wanted` on that is free."""
        key = (namespace, node)
        if key not in self._ports:
            taken = set(self._ports.values())
            port = wanted or FIRST
            while port in taken or not _is_free(port):
                port = port + 1 if port < 65535 else 1024
            self._ports[key] = port
        return self._ports[key]

    def forget(self, namespace: str, node: str) -> None:
        """The node is over for good."""
        self._ports.pop((namespace, node), None)


def debugpy_folder() -> str:
    """The folder that holds the debugpy beside the platform, empty where there is none."""
    from importlib.util import find_spec

    spec = find_spec("debugpy")
    return str(Path(spec.origin).parents[1]) if spec is not None and spec.origin else ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
