"""A running instance of a service: the process that `python main.py` is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.library import made
from microlite.core.library.attachments import Attachments
from microlite.core.library.context import Context, Scope
from microlite.core.library.dispatch import STUBBORN, Dispatcher
from microlite.core.library.failure import report, user_frames, user_traceback
from microlite.core.library.log_format import write_to_stderr
from microlite.core.library.own_ticket import OwnTicket
from microlite.core.library.peers import Peers
from microlite.core.library.placement import Placement
from microlite.core.library.policing import Policing
from microlite.core.registry.api import Node, Registration
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.paths import socket_path
from microlite.core.rpc.sockets import PARTING, Listener, dial

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.library.hooks import Hook
    from microlite.core.library.service import Service
    from microlite.core.rpc.call import Acceptor, Call
    from microlite.core.rpc.connection import Connection

GRACE = 30.0
"""Seconds for unary calls to finish when the node is asked to stop."""

STREAM_GRACE = 10.0
"""Seconds after which streams are ended then, with an error that says to call again."""

STOP_HOOKS = 10.0
"""Seconds that the functions of `on_stop` have together."""


def run(service: Service) -> None:
    """Serve until asked to stop, or until the platform ends that started this node.

    SIGTERM and SIGINT drain; a second one ends at once.
    """
    if not made.begin(service):
        return  # it was said when the other one began
    try:
        placement = Placement.from_environment(os.environ)
        write_to_stderr(placement.log_level)
        for other in made.siblings(service):
            logging.getLogger(service.name).warning(
                "%s does not run: a process serves one service, which is %s; put the other into a folder of its own",
                other.place,
                service.name,
            )
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(_serve(service, placement))
    except errors.Error as error:
        name = os.environ.get("MICROLITE_SERVICE") or service.name
        print(f"{name}: {error.detail}", file=sys.stderr)  # noqa: T201 - this is the program's own last word
        code = errors.exit_code(error)
    except KeyboardInterrupt:
        code = 130
    if code:
        sys.exit(code)


async def _serve(service: Service, placement: Placement) -> int:
    node = RunningNode(service, placement)
    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        if node.stopping.is_set():
            os._exit(128 + number)  # asked twice: what still runs is given up
        node.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    return await node.serve()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.Loop
    return None


class RunningNode:
    """One node of a service: hooks, its own socket, the connection to the platform, and the end of it all.

    Args:
        service: what it serves.
        placement: where it runs, and as what.
        clock: for what its handlers wait for, and for ids.
        front: puts something in front of what takes the calls, as tests do.

    Attributes:
        stopping: set it to drain and stop.
        registered: set as long as the platform knows the node.
    """

    def __init__(
        self,
        service: Service,
        placement: Placement,
        clock: Clock | None = None,
        front: Callable[[Acceptor], Acceptor] | None = None,
    ) -> None:
        self._service = service
        self._placement = placement
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._started = self._clock.now()
        self._platform: Connection | None = None
        self._peers: Peers | None = None
        self._front = front
        self._acceptor: Acceptor | None = None
        self._draining: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        self._listener: Listener | None = None
        self._policing: Policing | None = None
        self._scope: Scope | None = None
        self._attachments: Attachments | None = None
        self.name = placement.service or service.name
        self.node = placement.node or f"{self.name}-{self._clock.new_id()[-6:]}"
        self._ticket = OwnTicket(self._clock, str(placement.ticket), self._on_ticket)
        self._hurry = asyncio.Event()
        self.stopping = asyncio.Event()
        self.registered = asyncio.Event()

    async def serve(self) -> int:
        """Run from the start hooks to the stop hooks. Returns the exit code.

        Raises:
            Error: the node could not start.
        """
        placement = self._placement
        loop = asyncio.get_running_loop()
        scope = self._scope = Scope(
            self.name, node=self.node, namespace=placement.namespace, transport=_NotConnected(loop), clock=self._clock
        )
        dispatcher = Dispatcher(self._service, scope)
        self._attachments = Attachments(self._service.attachments, scope)
        scope.adopt = self._attachments.adopt
        scope.states["config declarations"] = self._service.configuration
        acceptor = self._acceptor = dispatcher if self._front is None else self._front(dispatcher)
        scope.serve = acceptor.accept
        policing = self._policing = Policing(
            self.name,
            namespace=placement.namespace,
            scopes=self._demanded,
            clock=self._clock,
            target=acceptor,
        )
        listener = self._listener = Listener(
            socket_path(placement.sockets, f"{placement.namespace} {self.node} {placement.generation} {os.getpid()}"),
            policing,
            role="node",
            properties={"node": self.node},
            on_hello=policing.meet,
            on_lost=policing.lose,
        )
        started = False
        try:
            await self._connect()
            if placement.in_process or placement.remote:
                from microlite.core.library.state.config_snapshot import snapshot_of

                # Here nothing can wait for the platform, blocking, as the first look of others does.
                await snapshot_of(Context(scope, None)).load(Context(scope, None))
            await self._attachments.prepare()
            await self._start_hooks(Context(scope, None))
            started = True
            if not placement.remote:
                await listener.start()
            await self._register(listener)
            return await self._until_stopped(listener)
        finally:
            if self._draining is not None:
                self._draining.cancel()
                await asyncio.gather(self._draining, return_exceptions=True)
            await self._attachments.stop(0.0)  # what is asked to finish has done so by now
            self._ticket.close()
            await policing.close()
            if self._finished.is_set():
                await listener.part()
            await listener.close()
            await dispatcher.stop()
            if started:
                await self._stop_hooks(Context(scope, None))
            await self._disconnect()

    async def attached(self) -> None:
        """Return when the platform has got the first call of each attachment: what follows it, say."""
        if self._attachments is not None and self._attachments.running:
            await asyncio.sleep(0)  # each has its first turn, and what it sends there goes before the ping
            if self._platform is not None:
                await self._platform.ping()

    def break_off(self) -> None:
        """Break all connections at once, as a crash of this process would."""
        for connection in list(self._listener.connections if self._listener is not None else ()):
            connection.abort()
        if self._platform is not None:
            self._platform.abort()

    async def _start_hooks(self, context: Context) -> None:
        try:
            for hook in self._service.start_hooks:
                await hook.run(context)
        except Exception as error:
            logging.getLogger(self._service.name).error("on_start failed\n%s", user_traceback(error))
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise errors.InternalServerError(f"on_start failed: {said}{_where(error)}") from error

    async def _stop_hooks(self, context: Context) -> None:
        time: asyncio.Future[Any] = asyncio.ensure_future(self._clock.sleep(STOP_HOOKS))
        try:
            for hook in self._service.stop_hooks:
                if not await self._stop_hook(hook, context, time):
                    break
        finally:
            time.cancel()

    async def _stop_hook(self, hook: Hook, context: Context, time: asyncio.Future[Any]) -> bool:
        """Run one of them; False where the time was up first."""
        work = asyncio.ensure_future(hook.run(context))
        try:
            await _first(work, time)
            if not work.done():
                context.log.error("on_stop did not end within %g s and is given up: %s", STOP_HOOKS, hook.place)
                return False
            work.result()
        except Exception as error:  # noqa: BLE001 - each hook has its turn, whatever the one before did
            report(error, context, None)
        finally:
            work.cancel()
        return True

    async def _connect(self) -> None:
        placement = self._placement
        assert self._acceptor is not None
        assert self._scope is not None
        properties = {
            "node": self.node,
            "service": self.name,
            "pid": str(os.getpid()),
            "namespace": placement.namespace,
        }
        if not placement.supervised:
            properties["session"] = self.name
        path: Path | None = None
        if placement.remote:
            from microlite.core.library.remote import join  # it loads OpenSSL

            connection = await join(placement, self._ticket, self._acceptor, properties)
        else:
            path = await placement.find_platform()
            if placement.ticket:
                properties["ticket"] = self._ticket.token
            connection = await dial(str(path), self._acceptor, role="node", properties=properties)
        connection.trusted = True
        connection.on_drain(self._on_drain)
        self._platform = connection
        assert self._policing is not None
        self._policing.attach(connection)
        if not placement.remote:
            await self._ticket.follow(connection)
        self._peers = Peers(
            connection,
            namespace=placement.namespace,
            node=self.node,
            clock=self._clock,
            socket=path,
            straight=not placement.isolated,
            ticket=None if placement.remote else self._ticket,
        )
        self._scope.transport = self._peers

    async def _disconnect(self) -> None:
        if self._peers is not None:
            await self._peers.close()
        if self._platform is not None:
            if self._finished.is_set():
                self._platform.say_drained()
                await asyncio.wait([self._platform.closed], timeout=PARTING)
            self._platform.close()
            await asyncio.wait([self._platform.closed], timeout=1)
            self._platform.abort()

    async def _register(self, listener: Listener) -> None:
        placement = self._placement
        assert self._platform is not None
        description = self._service.describe()
        description = msgspec.structs.replace(
            description,
            name=self.name,
            version=placement.version or description.version,
            metadata={**description.metadata, **placement.metadata},
        )
        registration = Registration(
            service=description,
            namespace=placement.namespace,
            node=Node(
                id=self.node,
                generation=placement.generation,
                address="" if placement.remote else str(listener.path),
                pid=os.getpid(),
                started=self._started,
            ),
        )
        # They ask for what they follow before the node is known: at a reload it follows on from the old one without a gap.
        assert self._attachments is not None
        self._attachments.start()
        await asyncio.sleep(0)
        call = UnaryCall("registry", "register", msgspec.msgpack.encode({"registration": registration}))
        await call.run(self._platform.start)
        self.registered.set()
        if not placement.supervised:
            placement.say_running(self.name, self._platform.peer)

    async def _until_stopped(self, listener: Listener) -> int:
        stopping = asyncio.ensure_future(self.stopping.wait())
        finished = asyncio.ensure_future(self._finished.wait())
        try:
            while True:
                assert self._platform is not None
                await _first(stopping, finished, self._platform.closed)
                if self.stopping.is_set():
                    await self._leave()
                    return 0
                if self._placement.supervised or self._draining is not None:
                    return 0  # this node is drained, or the platform is gone
                self.registered.clear()
                assert self._attachments is not None
                await self._attachments.stop(STUBBORN)
                await self._come_back(listener)
        finally:
            stopping.cancel()
            finished.cancel()

    async def _come_back(self, listener: Listener) -> None:
        """The platform ended under a node that was started by hand: find it again, or start it."""
        delay = 0.1
        while not self.stopping.is_set():
            try:
                await self._disconnect()
                await self._connect()
                await self._register(listener)
            except (errors.ServiceUnavailable, errors.Timeout) as error:
                logging.getLogger("microlite").warning("no platform: %s", error.detail)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), delay)
                delay = min(delay * 2, 5.0)
            else:
                return

    def _on_drain(self, grace: float) -> None:
        """The platform sends no more calls: tell the direct callers, finish, run the stop hooks, and say so."""
        if self._draining is not None:
            self._hurry.set()
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain(grace), name="microlite: drain")

    async def _drain(self, grace: float) -> None:
        assert self._platform is not None
        await self._finish_calls([self._platform], grace)

    async def _leave(self) -> None:
        """Asked to stop from outside: what was not started goes elsewhere, what was is finished."""
        assert self._platform is not None
        self._platform.go_away("the node is stopping")
        await self._finish_calls([self._platform], GRACE)

    async def _finish_calls(self, connections: list[Connection], grace: float) -> None:
        """Let what was called finish, streams for a shorter while; `_finished` is set when all of it has."""
        listener = self._listener
        if listener is not None:
            await listener.leave("the node is stopping")
            connections = [*connections, *listener.connections]
        assert self._attachments is not None
        finished: asyncio.Future[Any] = asyncio.gather(
            self._attachments.stop(), *(connection.settled() for connection in connections)
        )
        streams = min(grace, STREAM_GRACE)
        hurry: asyncio.Future[Any] = asyncio.ensure_future(self._hurry.wait())
        pause: asyncio.Future[Any] = asyncio.ensure_future(self._clock.sleep(streams))
        rest: asyncio.Future[Any] | None = None
        try:
            await _first(finished, hurry, pause)
            if not finished.done():
                for connection in connections:
                    connection.end_streams(errors.ServiceUnavailable("the node was replaced; call again"))
                rest = asyncio.ensure_future(self._clock.sleep(max(0.0, grace - streams)))
                await _first(finished, rest)
            if finished.done():
                self._finished.set()
        finally:
            for future in (finished, hurry, pause, rest):
                if future is not None:
                    future.cancel()

    def _demanded(self, endpoint: str) -> tuple[str, ...]:
        found = self._service.endpoints.get(endpoint)
        return found.description.scopes if found is not None else ()

    def _on_ticket(self, token: str) -> None:
        if self._listener is not None:
            self._listener.introduce({"node": self.node, "ticket": token})


def _where(error: BaseException) -> str:
    """File and line of the user's code at which it was raised, in brackets."""
    trace = user_frames(error.__traceback__)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace is not None else ""


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


class _NotConnected:
    """The transport before the node has dialled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def send(self, call: Call) -> None:
        call.on_error(errors.ServiceUnavailable("the node is not connected yet"))
