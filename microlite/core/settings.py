"""What can be set about a platform, in one table: the command line, the documentation and the code read it here."""

from __future__ import annotations

from pathlib import Path

import msgspec

DEFAULT_PORT = 8080
"""The gateway's port where nobody names one."""


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one platform.

    Attributes:
        home: the folder with all that the platform keeps.
        host: the address on which the gateway listens.
        port: the port of the gateway; 0 takes any free one. None is 8080, or any free one for a session where that is
            taken: a developer's loop does not stop at a port that he did not ask for.
        allowed_hosts: names besides those of this machine that a `Host` header may carry; `*.example.org` allows all
            below it.
        cors_origins: origins whose pages may read answers, as in `https://example.org`, and send forms; `*` lets the
            pages of all origins read, and no further one send forms.
        namespace_by_host: whether a subdomain below an allowed `*.example.org` names the namespace.
        access_log: whether to write a line for each answer of the gateway to stderr.
        session: whether to end two seconds after the last session.
        ready_fd: a descriptor on which to say `ready`, or why not.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ("*",)
    namespace_by_host: bool = False
    access_log: bool = False
    session: bool = False
    ready_fd: int | None = None
