"""A node whose platform is on another machine: it joins under TLS, by a join token first and by its ticket later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from microlite.core import errors

if TYPE_CHECKING:
    from microlite.core.library.own_ticket import OwnTicket
    from microlite.core.library.placement import Placement
    from microlite.core.rpc.call import Acceptor
    from microlite.core.rpc.connection import Connection

TURNED_AWAY: Final = "turned away: "
"""What stands before the reason for which the platform does not let somebody in."""


class JoinToken(NamedTuple):
    """What a node reads in a join token, `mlj_<namespace>.<id>_<secret>_<fingerprint>`.

    Attributes:
        namespace: where it joins.
        fingerprint: of the certificate of the platform that the token is for.
    """

    namespace: str
    fingerprint: str

    @classmethod
    def of(cls, text: str) -> JoinToken:
        """Read one.

        Raises:
            BadRequest: it is none. The detail does not repeat it.
        """
        if not text:
            raise errors.BadRequest(
                "MICROLITE_PLATFORM names a platform elsewhere, and there is no join token for it: put one into "
                "MICROLITE_JOIN_TOKEN, or the name of its file into MICROLITE_JOIN_TOKEN_FILE; there it is made by "
                "`microlite auth create join-token`"
            )
        name, _, fingerprint = text.removeprefix("mlj_").rpartition("_")
        namespace = name.rpartition("_")[0].rpartition(".")[0]
        if not text.startswith("mlj_") or not namespace or len(fingerprint) != 64:
            raise errors.BadRequest(
                "MICROLITE_JOIN_TOKEN is no join token: it begins with mlj_, and is to be copied whole"
            )
        return cls(namespace, fingerprint)


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, or `[::1]:port`.

    Raises:
        BadRequest: it is none.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise errors.BadRequest(
            f"MICROLITE_PLATFORM is {text!r}; it is the host and the join port of a platform: example.org:8443"
        )
    return host, int(port)


async def join(placement: Placement, ticket: OwnTicket, acceptor: Acceptor, properties: dict[str, str]) -> Connection:
    """Connect, prove which node this is, and return once the platform has given it a ticket.

    Raises:
        ServiceUnavailable: the platform is not there now.
        Forbidden: it is another one, or does not let this node in.
    """
    host, port = address_of(placement.remote)
    token = JoinToken.of(placement.join)
    shown = {"ticket": ticket.token} if ticket.holds else {"join": str(placement.join)}
    while True:
        from microlite.core.rpc.tls import dial

        connection = await dial(
            host, port, token.fingerprint, acceptor, role="node", properties={**properties, **shown}
        )
        try:
            await ticket.follow(connection)
        except errors.Error as error:
            connection.abort()
            if TURNED_AWAY not in error.detail:
                raise
            if "ticket" not in shown:
                reason = error.detail.partition(TURNED_AWAY)[2]
                raise errors.Forbidden(f"{placement.remote} does not let this node in: {reason}") from error
            shown = {"join": str(placement.join)}  # the ticket was too old, perhaps
            ticket.forget()
        else:
            return connection
