"""`server.json` in a home: where the platform that runs there is reached."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_server_file(home: Path, **facts: str) -> None:
    """Write it, in one step for whoever reads it meanwhile."""
    aside = home / "server.json.new"
    aside.write_text(json.dumps({"pid": os.getpid(), **facts}) + "\n")
    aside.rename(home / "server.json")


def remove_server_file(home: Path) -> None:
    """Remove it; one that is gone is no error."""
    (home / "server.json").unlink(missing_ok=True)
