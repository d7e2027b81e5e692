"""Has debugpy listen in a node, before any line of user code: for `microlite run --debug`.

The project's own debugpy is taken where it has one, else the one beside the platform.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from . import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LISTEN = "MICROLITE_DEBUG_LISTEN"
"""The variable with `HOST:PORT`; without it there is no debugger."""

WAIT = "MICROLITE_DEBUG_WAIT"
"""The variable that makes the script begin only when a debugger has attached."""

FOLDER = "MICROLITE_DEBUG_FOLDER"
"""The variable with the folder that holds the platform's debugpy."""

_PATIENCE = 5.0  # seconds that the node before has to let go of its port


def listen_if_asked() -> None:
    """Listen, if the environment says so. Ends the process with exit code 2 where that cannot be."""
    address = os.environ.pop(LISTEN, "")
    wait, folder = os.environ.pop(WAIT, ""), os.environ.pop(FOLDER, "")
    if not address:
        return
    host, _, port = address.rpartition(":")
    debugpy = _load(folder)
    _until_free(host, int(port))
    try:
        debugpy.listen((host, int(port)))
    except Exception as error:  # noqa: BLE001 - whatever debugpy raises, the node has no debugger
        child.fail(f"the debugger cannot listen on {address}: {error}")
    waits = " (nothing runs before that)" if wait else ""
    sys.stderr.write(f"debugger: attach to {address}{waits}\n")
    if wait:
        debugpy.wait_for_client()


def _load(folder: str) -> Any:
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # it speaks of frozen modules, which are off
    try:
        import debugpy
    except ImportError:
        pass
    else:
        return debugpy
    if folder:
        sys.path.append(folder)
    try:
        import debugpy
    except ImportError:
        child.fail(
            f"--debug needs debugpy, which is neither here nor beside the platform; install it: "
            f"{sys.executable} -m pip install debugpy"
        )
    finally:
        if folder:
            sys.path.remove(folder)
    return debugpy


def _until_free(host: str, port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                time.sleep(0.02)
            else:
                return
    child.fail(f"the debugger cannot listen on {host}:{port}: the port is taken; choose another with --debug-port")
