"""What can be set about a platform, in one table: the command line, the documentation and the code read it here."""

from __future__ import annotations

from pathlib import Path

import msgspec

DATABASE = "microlite.db"
"""The file in a home that holds the platform's state. A folder with this file is the home of a platform."""

CONFIG_KEYS = "config.keys"
"""The file in a home with the keys of the configuration's secrets, which are in no backup of the database."""

AUTH_KEYS = "auth.keys"
"""The file in a home with the keys that sign tokens, which are in no backup of the database."""

DEFAULT_PORT = 8080
"""The gateway's port where nobody names one."""

DASHBOARD_OFFSET = 2
"""The dashboard's port is so many above the gateway's, unless it is named."""


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one platform.

    Attributes:
        home: the folder with all that the platform keeps.
        host: the address on which the gateway and the dashboard listen.
        port: the port of the gateway; 0 takes any free one. None is 8080, or any free one for a session where that is
            taken: a developer's loop does not stop at a port that he did not ask for.
        dashboard_port: the port of the dashboard; 0 takes any free one. None is two above the gateway's, or any free one
            where that of the gateway is 0 or, for a session, where that port is taken.
        dashboard: whether there is a dashboard.
        config_files: files with a configuration, of which later ones hide earlier ones; `namespace=file` for another
            namespace than the default one.
        allowed_hosts: names besides those of this machine that a `Host` header may carry; `*.example.org` allows all
            below it.
        cors_origins: origins whose pages may read answers, as in `https://example.org`, and send forms; `*` lets the
            pages of all origins read, and no further one send forms.
        namespace_by_host: whether a subdomain below an allowed `*.example.org` names the namespace.
        access_log: whether to write a line for each answer of the gateway to stderr.
        audit_days: for how many days the audit log of each namespace is kept.
        audit_size: how many MiB it may have; beyond, the oldest entries go.
        session: whether to end two seconds after the last session.
        ready_fd: a descriptor on which to say `ready`, or why not.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int | None = None
    dashboard_port: int | None = None
    dashboard: bool = True
    config_files: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ("*",)
    namespace_by_host: bool = False
    access_log: bool = False
    audit_days: int = 365
    audit_size: int = 64
    session: bool = False
    ready_fd: int | None = None
