"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import os
import socket
import struct
import sys

from microlite.core import errors


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a Unix socket, as the kernel says; None where it does not say."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    if sys.platform == "darwin":
        credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
        return int(struct.unpack_from("II", credentials)[1])
    return None


def may_call(uid: int | None) -> bool:
    """Whether a process of this user may call: the same user's, and root's."""
    return uid is None or uid in (os.getuid(), 0)


def check_listener(connection: socket.socket, path: str) -> None:
    """Make sure that whoever listens may be told what this user sends: a socket in a shared folder can be anybody's.

    Raises:
        Forbidden: it is another user's process. Nothing was sent.
    """
    own = os.getuid()
    uid = peer_uid(connection)
    if uid is not None and uid not in (own, 0) and own != 0:
        raise errors.Forbidden(
            f"{path} is served by the user with id {uid}, not by you; choose another home with --home"
        )
