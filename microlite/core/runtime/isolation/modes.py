"""How a service is walled in."""

from __future__ import annotations

from enum import StrEnum


class Isolation(StrEnum):
    """What can be asked for."""

    DEFAULT = ""
    """As the platform is set."""
    OFF = "off"
    """Not at all: its processes may do what the platform's user may."""
    AUTO = "auto"
    """The strongest that there is here: `bwrap`, else `uid`."""
    UID = "uid"
    """A user id of its own, with copies of its files. The platform must run as root."""
    BWRAP = "bwrap"
    """Bubblewrap: it sees its own files and processes only. Under root it has a user id of its own as well."""
