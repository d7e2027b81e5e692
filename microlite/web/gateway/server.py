"""The gateway as a part of the platform: it binds, answers, and stops without losing what is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.web.gateway.edge import Edge
from microlite.web.gateway.ports import bind, url_of
from microlite.web.gateway.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Call
    from microlite.web.gateway.app import GatewayApp
    from microlite.web.gateway.edge import Programs
    from microlite.web.gateway.kept_answers import KeptAnswers
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.protocol import GatewayProtocol
    from microlite.web.gateway.table import PathTable


class Gateway:
    """The HTTP server of the platform, within a running loop.

    Args:
        options: the settings.
        table: which path leads where; whoever hears of services keeps it up to date.
        send: takes a call, and answers through the call's own methods; never raises.
        programs: finds the addresses of HTTP programs.
        authority: decides who may do what.
        clock: for dates, ids and the regular round over all connections.
        ready: whether the platform takes requests, for `/readyz`.
        answers: those to calls with an `Idempotency-Key`; without them the header says nothing.
        keys: the public keys of the platform's tokens, as a JWK set; without it they are shown to nobody.
    """

    def __init__(
        self,
        options: GatewayOptions,
        *,
        table: PathTable,
        send: Callable[[Call], None],
        programs: Programs,
        authority: Authority,
        clock: Clock,
        ready: Callable[[], bool] = lambda: True,
        answers: KeptAnswers | None = None,
        keys: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.edge = Edge(options, table, send, programs, authority, clock, ready)
        self._answers = answers
        self._keys = keys
        self.port = 0
        """The port that is bound, from `start` on."""
        self._app: GatewayApp | None = None
        self._serving: Serving | None = None

    @property
    def url(self) -> str:
        """Where the gateway is reached from this machine."""
        return url_of(self.edge.options.host, self.port)

    @property
    def connections(self) -> set[GatewayProtocol]:
        """Those that are open."""
        return self._serving.connections if self._serving is not None else set()

    async def start(self) -> None:
        """Bind the port and take requests.

        Raises:
            PortTaken: another program holds the port; the detail names it.
            Error: the address cannot be bound.
        """
        listener = bind(self.edge.options.host, self.edge.options.port)
        from microlite.web.gateway.app import GatewayApp

        self._app = GatewayApp(self.edge, self._answers, self._keys)
        self._serving = Serving(self.edge, self._app)
        await self._serving.start(listener)
        self.port = listener.getsockname()[1]

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more connections, let requests under way finish, then close. Idempotent.

        Streams are ended at once, with an error that tells their clients to connect again. WebSockets of programs are
        cut; a program that has ended before has said its own farewell through them.

        Args:
            grace: seconds that requests under way may still take; what is left then is cut off.
        """
        serving, self._serving = self._serving, None
        if serving is None:
            return
        await serving.stop(grace, self._end_streams)
        if self._app is not None:
            await self._app.close()
        self.edge.workers.close()

    def _end_streams(self) -> None:
        ending = errors.ServiceUnavailable("the platform is stopping; connect again", id="gateway")
        for stream in list(self.edge.streams):
            stream.give_up(ending)
        for tunnel in list(self.edge.tunnels):
            tunnel.cut()
