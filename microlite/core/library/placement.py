"""Where a node finds itself: what its environment says of home, platform and identity."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.rpc.paths import platform_socket

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from microlite.core.rpc import frames


TICKET_PLACE: Final = "_microlite_ticket"
"""The module in which the launcher has put a node's ticket."""


class Hidden(str):
    """A secret: it is nowhere shown by chance."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[secret]" if self else "''"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one node.

    Attributes:
        home: the folder of the platform.
        supervised: whether the runtime of a platform has started this process.
        in_process: whether the platform runs in this very process, as in tests.
        remote: `host:port` of a platform on another machine, at its join port; empty for the one of this machine.
        ticket: what the runtime has given it to prove which node it is; empty for others.
        join: the join token for the platform of another machine.
        service: name, version and node override what the code says, where they are not empty.
        metadata: is added to the service's own.
        isolated: whether it is walled in: it reaches the platform only, and nobody else reaches it.
    """

    home: Path
    namespace: str = DEFAULT_NAMESPACE
    supervised: bool = False
    in_process: bool = False
    remote: str = ""
    ticket: Hidden = Hidden()
    join: Hidden = Hidden()
    service: str = ""
    version: str = ""
    node: str = ""
    generation: int = 0
    metadata: dict[str, str] = {}
    log_level: int = logging.INFO
    isolated: bool = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Placement:
        """Read the variables that the runtime sets for its nodes, and that a user may set for others.

        Those that are secrets are taken out: no program that this process starts is to inherit them.

        Raises:
            BadRequest: a variable holds something that it cannot.
        """
        remote = environment.get("MICROLITE_PLATFORM", "")
        ticket = Hidden(environment.pop("MICROLITE_TICKET", "") or _ticket_of_launcher())
        join = Hidden(
            environment.pop("MICROLITE_JOIN_TOKEN", "").strip() or _from_file(environment, needed=bool(remote))
        )
        home = environment.get("MICROLITE_HOME")
        level = environment.get("MICROLITE_LOG_LEVEL", "info").upper()
        try:
            return cls(
                home=Path(home).expanduser() if home else default_home(environment),
                namespace=environment.get("MICROLITE_NAMESPACE") or _namespace(remote, join),
                supervised="MICROLITE_GENERATION" in environment and not remote,
                remote=remote,
                ticket=ticket,
                join=join,
                service=environment.get("MICROLITE_SERVICE", ""),
                version=environment.get("MICROLITE_VERSION", ""),
                node=environment.get("MICROLITE_NODE", ""),
                generation=int(environment.get("MICROLITE_GENERATION", "0")),
                metadata=json.loads(environment.get("MICROLITE_METADATA", "{}")),
                log_level=logging.getLevelNamesMapping()[level],
                isolated="MICROLITE_ISOLATED" in environment,
            )
        except KeyError:
            levels = ", ".join(name.lower() for name in ("DEBUG", "INFO", "WARNING", "ERROR"))
            raise errors.BadRequest(f"MICROLITE_LOG_LEVEL is {level.lower()!r}; it can be {levels}") from None
        except ValueError as error:
            raise errors.BadRequest(f"a MICROLITE_ variable of the environment is malformed: {error}") from error

    @property
    def sockets(self) -> Path:
        """The folder of all sockets of this platform; of an isolated node's own."""
        return self.home / ("work/run" if self.isolated else "run")

    @property
    def platform_socket(self) -> Path:
        """The platform's own socket."""
        return platform_socket(self.home)

    async def find_platform(self) -> Path:
        """The socket of the running platform; one is started where none runs and nobody supervises this node.

        Raises:
            ServiceUnavailable: there is none, and none could be started.
        """
        path = self.platform_socket
        if self.supervised:
            return path
        from microlite.core.library.session import ensure_platform  # a supervised node needs none of it

        await ensure_platform(self.home)
        return path

    @staticmethod
    def say_running(service: str, platform: frames.Hello | None) -> None:
        """Tell the person in front of the terminal where the service is now."""
        gateway = platform.properties.get("gateway", "") if platform is not None else ""
        print(f"{service} is running: {gateway}/{service}" if gateway else f"{service} is running", file=sys.stderr)  # noqa: T201


def _namespace(remote: str, join: str) -> str:
    """The namespace where nobody names one: that of the join token, of who joins by one."""
    if not remote:
        return DEFAULT_NAMESPACE
    from microlite.core.library.remote import JoinToken  # few nodes are elsewhere

    return JoinToken.of(join).namespace


def _ticket_of_launcher() -> str:
    module = sys.modules.pop(TICKET_PLACE, None)
    return str(getattr(module, "value", ""))


def _from_file(environment: MutableMapping[str, str], *, needed: bool) -> str:
    """The join token in the file that `MICROLITE_JOIN_TOKEN_FILE` names."""
    name = environment.get("MICROLITE_JOIN_TOKEN_FILE", "")
    if not name or not needed:
        return ""
    try:
        return Path(name).expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not text"
        raise errors.BadRequest(f"MICROLITE_JOIN_TOKEN_FILE names {name}, which cannot be read: {reason}") from error


def default_home(environment: Mapping[str, str] | None = None) -> Path:
    """The home folder where nobody names one: `~/.microlite`."""
    environment = os.environ if environment is None else environment
    return Path(environment.get("HOME") or Path.home()) / ".microlite"
