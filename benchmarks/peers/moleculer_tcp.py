"""Moleculer, its TCP transporter: two Node.js processes that talk to each other directly."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import NPM, PeerMissingError, require_program
from benchmarks.peers.caller import CallingPeer

_FOLDER = Path(__file__).resolve().parent / "moleculer"


class MoleculerTcp(CallingPeer):
    """A Moleculer node with the echo action, and one that calls it; serializer and settings are the defaults."""

    name = "Moleculer over TCP"

    def start(self) -> None:
        """Start both nodes. Raises `PeerMissingError` without Node.js or the npm package."""
        node = require_program("node", "apt-get install nodejs npm")
        if not (_FOLDER / "node_modules" / "moleculer").is_dir():
            raise PeerMissingError("moleculer", NPM)
        program = [node, str(_FOLDER / "node.js")]
        port = self.launch([*program, "serve"])["port"]
        self.launch([*program, "call", str(port)])
        self.caller = self.programs[-1]
