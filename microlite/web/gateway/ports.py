"""Binding a port, and finding out who holds it where that fails."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.web.gateway.certificate import Certificate


class PortTaken(errors.Conflict):
    """The port is in use; the detail says by whom, as far as the system tells."""


def bind(host: str, port: int, backlog: int = 2048) -> socket.socket:
    """A listening socket.

    Args:
        host: an address or name of this machine.
        port: 0 takes any free one.
        backlog: connections that may wait to be accepted.

    Raises:
        PortTaken: another program listens there.
        Forbidden: this user may not bind the port.
        BadRequest: the host is none of this machine.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise errors.BadRequest(f"the host {host!r} cannot be bound: {error.strerror or error}") from None
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    return listener


def _explained(error: OSError, host: str, port: int) -> errors.Error:
    if error.errno == errno.EADDRINUSE:
        holder = find_holder(port)
        by = f" by {holder}" if holder else ""
        return PortTaken(f"port {port} on {host} is taken{by}; end that program, or choose another port")
    if error.errno == errno.EACCES:
        return errors.Forbidden(f"port {port} needs the rights of root; choose one from 1024 on")
    return errors.BadRequest(f"port {port} on {host!r} cannot be bound: {error.strerror}")


def find_holder(port: int) -> str:
    """The program that listens on a TCP port, as `name (pid 123)`; empty where the system does not tell."""
    import psutil  # needed on this one unhappy path

    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""  # macOS tells it to root only
    return ""


def url_of(host: str, port: int, certificate: Certificate | None = None, allowed_hosts: Sequence[str] = ()) -> str:
    """Where a server that listens there is reached, without a slash at the end.

    Args:
        host: on which it listens.
        port: of it.
        certificate: with which it speaks TLS; its URL then has a name that the certificate is for.
        allowed_hosts: further names of it.
    """
    scheme = "http" if certificate is None else "https"
    if certificate is not None:
        host = certificate.public_name(host, allowed_hosts)
    elif host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
