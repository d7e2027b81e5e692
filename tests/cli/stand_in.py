"""A platform for the command line's tests: a real socket and real services, with answers made up beforehand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from microlite.core import errors
from microlite.core.auth.api import JoinToken, NewJoinToken, Token
from microlite.core.clock import SystemClock
from microlite.core.description import ServiceDescription
from microlite.core.library.context import Context, Scope
from microlite.core.library.dispatch import Dispatcher
from microlite.core.library.service import Service
from microlite.core.policy.identity import Identity
from microlite.core.registry.api import Node, Protocol, ServiceRecord
from microlite.core.rpc.call import Inbound
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import Listener
from microlite.core.runtime.api import Happening, NodeStatus, RunRequest, ServiceStatus
from microlite.core.runtime.lines import Line, Stream
from microlite.core.runtime.states import State
from microlite.version import __version__

GATEWAY = "http://127.0.0.1:8080"


class Item(msgspec.Struct, frozen=True):
    sku: str
    price: float = 1.5


class Address(msgspec.Struct, frozen=True):
    street: str = ""
    zip_code: str = ""


class Place(msgspec.Struct, frozen=True):
    domain: str = ""
    address: Address | None = None


def greeter() -> Service:
    service = Service("greeter", version="1.0.0", doc="Greets people.", metadata={"team": "shop"})

    @service.endpoint
    async def hello(ctx: Context, name: str = "world", times: int = 1) -> str:
        """Say hello.

        Args:
            name: whom to greet.
        """
        return ", ".join([f"hello {name}"] * times)

    @service.endpoint
    async def whoami(ctx: Context) -> dict[str, str]:
        """Answer with what came along."""
        return {**ctx.metadata, "namespace": ctx.namespace}

    @service.endpoint(deprecated=True)
    async def count(ctx: Context, to: int) -> AsyncIterator[int]:
        """Count."""
        for number in range(to):
            yield number

    @service.endpoint
    async def total(ctx: Context, numbers: AsyncIterator[int]) -> int:
        """Add up."""
        return sum([number async for number in numbers])

    @service.endpoint(name="comments.create")
    async def create_comment(ctx: Context, text: str) -> str:
        """Write a comment."""
        return f"comment: {text}"

    @service.endpoint
    async def wait(ctx: Context) -> None:
        """Never answer."""
        await asyncio.Event().wait()

    @service.endpoint
    async def nothing(ctx: Context) -> None:
        """Answer nothing."""

    @service.endpoint
    async def fail(ctx: Context, code: int) -> None:
        """Fail with this code."""
        raise errors.Error("that went wrong", code=code)

    return service


def orders() -> Service:
    service = Service("orders", version="2.0.0")

    @service.endpoint
    async def create(
        ctx: Context,
        customer: str,
        items: list[Item],
        options: Place = Place(),  # noqa: B008 - frozen
        labels: dict[str, int] = {},  # noqa: B006 - the library copies it
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Create an order."""
        return {
            "customer": customer,
            "items": items,
            "options": options,
            "labels": labels,
            "dry_run": dry_run,
        }

    return service


class Ledger:
    """What `auth` knows of tokens. A refresh token works once; who shows one again ends all.

    Attributes:
        secrets: by account.
        access: whom each access token stands for.
        ended: the tokens with which somebody has logged out.
        life: seconds that an access token holds.
        renewals: how often tokens were renewed.
        join_tokens: those that there are.
    """

    def __init__(self) -> None:
        self.secrets = {"ann": "s3cret-of-ann", "bob": "s3cret-of-bob"}
        self.access: dict[str, Identity] = {}
        self.ended: list[str] = []
        self.life = 600.0
        self.renewals = 0
        self.join_tokens: list[JoinToken] = []
        self._refresh: dict[str, Identity] = {}
        self._made = 0

    def log_in(self, id: str, secret: str, namespace: str) -> Token:
        """Tokens for an account."""
        if self.secrets.get(id) != secret:
            raise errors.Unauthorized("account or secret not correct")
        return self._give(Identity(account=id, name=id.title(), namespace=namespace, scopes=("orders",), expires=0.0))

    def renew(self, refresh_token: str) -> Token:
        """Tokens in place of older ones."""
        found = self._refresh.pop(refresh_token, None)
        if found is None:
            self.revoke()
            raise errors.Unauthorized("the refresh token was used before")
        self.renewals += 1
        return self._give(found)

    def revoke(self) -> None:
        """End all log-ins."""
        self.access.clear()
        self._refresh.clear()

    def _give(self, who: Identity) -> Token:
        self._made += 1
        now = time.time()
        access, refresh = f"access-{self._made}", f"refresh-{self._made}"
        self.access[access] = msgspec.structs.replace(who, expires=now + self.life)
        self._refresh[refresh] = who
        return Token(access_token=access, refresh_token=refresh, created=now, expires=now + self.life)


class StandIn:
    """The platform. Enter it to let it listen, on a thread of its own.

    Attributes:
        asked: what the runtime was asked, in turn: the endpoint and its fields.
        statuses: what `runtime.status` answers.
        lines: what `runtime.logs` answers.
        happenings: what `runtime.session` tells; then it waits until its services are killed.
        outcome: what `runtime.run` and `runtime.update` answer.
        looked_up: called with each name that `registry.get` is asked for.
        tokens: what was shown with each call: the service, and the token.
        ledger: of the tokens that `auth` gives out; see `Ledger`.
        killed: called when `runtime.kill` ends something; ends the sessions.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.services = [greeter(), orders()]
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[ServiceStatus] = []
        self.lines: list[Line] = []
        self.happenings: list[Happening] = []
        self.outcome: list[ServiceStatus] = []
        self.programs: list[str] = []
        self.looked_up: Any = lambda name: None
        self.killed: Any = self.end_sessions
        self.sessions: list[str] = []
        self.tokens: list[tuple[str, str]] = []
        self.ledger = Ledger()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._killed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        self.tokens.append((inbound.service, inbound.token))
        if inbound.service != "auth" and inbound.token and inbound.token not in self.ledger.access:
            inbound.fail(errors.Unauthorized("the token holds no more"))
            return
        dispatcher = self._dispatchers.get(inbound.service)
        if dispatcher is None:
            inbound.fail(errors.ServiceNotFound(f'Service "{inbound.service}" not found'))
        else:
            dispatcher.accept(inbound)

    def end_sessions(self) -> None:
        """Let each session tell that its services have stopped, and end."""
        self._killed.set()

    async def _serve(self) -> None:
        clock = SystemClock()
        transport: Any = None  # no handler here calls others
        self._dispatchers = {
            service.name: Dispatcher(
                service, Scope(service.name, node="n", namespace="default", transport=transport, clock=clock)
            )
            for service in (*self.services, self._auth(), self._registry(), self._runtime())
        }
        listener = Listener(
            platform_socket(self.home),
            self,
            role="platform",
            properties={"gateway": GATEWAY, "version": __version__, "pid": "1"},
            on_hello=lambda connection: self.sessions.append(
                connection.peer.properties.get("session", "") if connection.peer is not None else ""
            ),
        )
        await listener.start()
        self._ready.set()
        await self._stop.wait()
        await listener.close()
        for dispatcher in self._dispatchers.values():
            await dispatcher.stop()

    def _records(self) -> list[ServiceRecord]:
        records = [_record(service.describe()) for service in self.services]
        for name in self.programs:
            node = Node(id=f"{name}-1", address="http://127.0.0.1:9", protocol=Protocol.HTTP)
            records.append(ServiceRecord(name=name, version="latest", nodes=(node,)))
        return records

    def _auth(self) -> Service:
        service, ledger = Service("auth", built_in=True), self.ledger

        @service.endpoint
        async def token(ctx: Context, id: str = "", secret: str = "", refresh_token: str = "") -> Token:
            return ledger.renew(refresh_token) if refresh_token else ledger.log_in(id, secret, ctx.namespace)

        @service.endpoint
        async def inspect(ctx: Context, token: str) -> Identity:
            found = ledger.access.get(token)
            if found is None:
                raise errors.Unauthorized("the token is not valid")
            return found

        @service.endpoint
        async def whoami(ctx: Context) -> Identity:
            return await inspect(ctx, self.tokens[-1][1])

        @service.endpoint
        async def logout(ctx: Context, token: str) -> None:
            ledger.ended.append(token)

        @service.endpoint(name="join-tokens.list")
        async def list_join_tokens(ctx: Context) -> list[JoinToken]:
            return ledger.join_tokens

        @service.endpoint(name="join-tokens.create")
        async def create_join_token(ctx: Context, service: str = "", expires_in: float = 0.0) -> NewJoinToken:
            made = JoinToken(id="j1", service=service, created=1.0, expires=1.0 + expires_in, created_by="admin")
            ledger.join_tokens.append(made)
            return NewJoinToken(**msgspec.structs.asdict(made), token="mlj_default~j1~secret")

        @service.endpoint(name="join-tokens.delete")
        async def delete_join_token(ctx: Context, id: str) -> None:
            ledger.join_tokens = [one for one in ledger.join_tokens if one.id != id]

        return service

    def _registry(self) -> Service:
        service = Service("registry", built_in=True)

        @service.endpoint(name="list")
        async def list_(ctx: Context, built_in: bool = False) -> list[ServiceRecord]:
            return self._records()

        @service.endpoint
        async def get(ctx: Context, service: str) -> list[ServiceRecord]:
            self.looked_up(service)
            found = [record for record in self._records() if record.name == service]
            if not found:
                raise errors.ServiceNotFound(f'Service "{service}" not found')
            return found

        return service

    def _runtime(self) -> Service:
        service = Service("runtime", built_in=True)

        @service.endpoint
        async def run(ctx: Context, request: RunRequest) -> list[ServiceStatus]:
            self.asked.append(("run", {"request": request}))
            return self.outcome

        @service.endpoint
        async def session(ctx: Context, request: RunRequest) -> AsyncIterator[Happening]:
            self.asked.append(("session", {"request": request}))
            for happening in self.happenings:
                yield happening
            await self._killed.wait()
            for name in dict.fromkeys(happening.service for happening in self.happenings):
                yield Happening(at=0.0, topic="state", service=name, state=State.STOPPED)  # type: ignore[arg-type]

        @service.endpoint
        async def update(ctx: Context, service: str, version: str = "", instances: int = 0) -> list[ServiceStatus]:
            self.asked.append(("update", {"service": service, "version": version, "instances": instances}))
            return self.outcome

        @service.endpoint
        async def kill(ctx: Context, services: list[str]) -> list[str]:
            self.asked.append(("kill", {"services": services}))
            known = {status.name for status in self.statuses}
            for name in services:
                if name.partition("@")[0] not in known:
                    raise errors.ServiceNotFound(f'Service "{name}" not found')
            self.killed()
            return services

        @service.endpoint
        async def status(ctx: Context, service: str = "", version: str = "") -> list[ServiceStatus]:
            found = [one for one in self.statuses if service in ("", one.name) and version in ("", one.version)]
            if service and not found:
                raise errors.ServiceNotFound(f'Service "{service}" not found')
            return found

        @service.endpoint(name="logs")
        async def read_logs(
            ctx: Context, service: str, lines: int = 15, follow: bool = False, since: float = 0.0, node: str = ""
        ) -> AsyncIterator[Line]:
            fields = {"service": service, "lines": lines, "follow": follow, "since": since, "node": node}
            self.asked.append(("logs", fields))
            for line in self.lines:
                yield line

        return service


def _record(description: ServiceDescription) -> ServiceRecord:
    return ServiceRecord(
        name=description.name,
        version=description.version,
        doc=description.doc,
        metadata=description.metadata,
        endpoints=description.endpoints,
        nodes=(Node(id=f"{description.name}-1", address="/run/x.s", metadata={"zone": "a"}),),
    )


def running(name: str, source: str = "", *, version: str = "latest", **more: Any) -> ServiceStatus:
    """The status of a service with one node that serves."""
    node = NodeStatus(id=f"{name}-1", generation=1, state=State.RUNNING, pid=4242, started=1.0, healthy=1.0)
    return ServiceStatus(name=name, version=version, source=source, state=State.RUNNING, nodes=(node,), **more)


def line(text: str, stream: Stream = Stream.STDOUT) -> Line:
    """A line of greeter's log."""
    return Line(1.0, "greeter", "greeter-1", stream, text)
