"""Serves the calls of one service: from a payload to the user's function and back."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.description.naming import did_you_mean, endpoint_of
from microlite.core.description.structs import ANSWERED, ASKED, Role, Streaming
from microlite.core.library.context import Context
from microlite.core.library.failure import report
from microlite.core.library.middleware import Invocation
from microlite.core.library.pulse import Pulse
from microlite.core.library.threads import Threads
from microlite.core.rpc.flow import CreditGate, ItemQueue

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from microlite.core.description.endpoint import Endpoint
    from microlite.core.library.context import Scope
    from microlite.core.library.middleware import Handler
    from microlite.core.library.service import Service
    from microlite.core.rpc.call import Inbound

STUBBORN: Final = 5.0
"""Seconds that a canceled handler has to end."""

_EAGER: Final = sys.version_info >= (3, 12)


class Dispatcher:
    """The acceptor of a node's calls (see `rpc.connection.Acceptor`).

    An `async def` runs on the loop, and starts at once, within the turn in which its call arrived; a plain `def` runs in a
    thread. An exception that is no `Error` becomes a 500 whose id stands in the log beside the traceback.

    Args:
        service: what it serves.
        scope: what all its calls share.
        checked: whether the least role of each endpoint is demanded of the caller's account, as built-in services do.
    """

    def __init__(self, service: Service, scope: Scope, *, checked: bool = False) -> None:
        self._service = service
        self._scope = scope
        self._checked = checked
        self._endpoints: dict[str, Endpoint] = dict(service.endpoints)
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], str] = {}
        """Each with the name of its endpoint; an empty one for a plain function, which runs in a thread."""
        self._threads = Threads(service.name, self._loop)
        self._pulse = Pulse(service.name, self._loop, self._tasks.values, scope.log)
        self._wrapped = bool(service.middlewares)
        self._run: Handler = service.wrap(self._invoke)

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        endpoint = self._endpoints.get(inbound.endpoint)
        if endpoint is None:
            endpoint = self._find(inbound)
            if endpoint is None:
                return
        described = endpoint.description
        if (self._checked or described.scopes or described.triggers) and not self._allowed(endpoint, inbound):
            return
        if inbound.encoding >= len(ASKED):
            error = errors.UnsupportedMediaType(f"encoding {inbound.encoding}: 0 is MessagePack, 1 is JSON")
            _fail(inbound, error, endpoint)
            return
        try:
            arguments = endpoint.decode_request(inbound.payload, ASKED[inbound.encoding])
        except errors.Error as error:
            _fail(inbound, error, endpoint)
            return
        context = Context(self._scope, inbound)
        name = endpoint.name if endpoint.is_async else ""
        self._pulse.started(name)
        if endpoint.streaming is Streaming.UNARY:
            self._start(inbound, self._unary(endpoint, context, arguments, inbound), name, None)
            return
        if endpoint.streaming.from_server and not inbound.credit:
            _fail(inbound, errors.BadRequest(f"{endpoint.name} answers with a stream; call it as one"), endpoint)
            return
        flow = _Flow(inbound, endpoint.streaming.from_client)
        self._start(inbound, self._stream(endpoint, context, arguments, inbound, flow), name, flow)

    def _start(self, inbound: Inbound, work: Coroutine[Any, Any, None], name: str, flow: _Flow | None) -> None:
        if flow is not None:
            inbound.receiver = flow
        task: asyncio.Task[None]
        if _EAGER:
            task = asyncio.Task(work, loop=self._loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]  # 3.12
            if task.done():
                return
        else:
            task = self._loop.create_task(work)
        self._tasks[task] = name
        task.add_done_callback(self._tasks.pop)
        if flow is not None:
            flow.task = task
        else:
            inbound.receiver = _Cancelable(task)

    async def _unary(self, endpoint: Endpoint, context: Context, arguments: tuple[Any, ...], inbound: Inbound) -> None:
        try:
            if endpoint.is_async and not self._wrapped:
                result = await endpoint.invoke(context, arguments)
            else:
                result = await self._run(context, Invocation(endpoint, arguments))
            inbound.reply(endpoint.encode_response(result, ANSWERED[inbound.encoding]))
        except errors.Error as error:
            _fail(inbound, error, endpoint)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge between user code and the wire
            inbound.fail(report(error, context, endpoint))
        except asyncio.CancelledError:
            _fail(inbound, _canceled(endpoint), endpoint)  # dropped where the caller is gone or the deadline has passed
            raise

    async def _stream(
        self, endpoint: Endpoint, context: Context, arguments: tuple[Any, ...], inbound: Inbound, flow: _Flow
    ) -> None:
        try:
            items: Any = _Items(endpoint, inbound, flow.queue) if flow.queue is not None else None
            if items is not None and not endpoint.is_async:
                items = self._threads.blocking(items)
            result = await self._run(context, Invocation(endpoint, arguments, items))
            if not endpoint.streaming.from_server:
                inbound.reply(endpoint.encode_response(result, ANSWERED[inbound.encoding]))
                return
            encoding = ANSWERED[inbound.encoding]
            stream = result if hasattr(result, "__aiter__") else self._threads.iterate(context, result)
            try:
                async for item in stream:
                    payload = endpoint.encode_response(item, encoding)
                    if not flow.gate.open:
                        await flow.gate.wait()
                    flow.gate.take(len(payload))
                    inbound.item(payload)
                    if inbound.held_up:
                        await inbound.writable()
                    if inbound.done:
                        return
            finally:
                close = getattr(stream, "aclose", None)
                if close is not None:
                    await close()
            inbound.end()
        except errors.Error as error:
            _fail(inbound, error, endpoint)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge between user code and the wire
            inbound.fail(report(error, context, endpoint))
        except asyncio.CancelledError:
            _fail(inbound, _canceled(endpoint), endpoint)
            raise
        finally:
            flow.over()

    async def _invoke(self, context: Context, call: Invocation) -> Any:
        """The innermost handler: gives the reply, or the iterator of a server's stream."""
        endpoint = call.endpoint
        if not endpoint.is_async:
            return await self._threads.run(context, endpoint.invoke, context, call.arguments, call.items)
        if endpoint.streaming.from_server:
            return endpoint.invoke(context, call.arguments, call.items)
        return await endpoint.invoke(context, call.arguments, call.items)

    def _find(self, inbound: Inbound) -> Endpoint | None:
        endpoint = self._endpoints.get(endpoint_of(self._service.name, inbound.endpoint))
        if endpoint is None:
            near = did_you_mean(inbound.endpoint, self._endpoints)
            inbound.fail(
                errors.EndpointNotFound(
                    f'Endpoint "{inbound.endpoint}" not found for service "{self._service.name}"{near}'
                )
            )
        return endpoint

    def _allowed(self, endpoint: Endpoint, inbound: Inbound) -> bool:
        """The last line: what the endpoint itself demands, whatever was decided on the way here."""
        account, description = inbound.account, endpoint.description
        namespace = inbound.namespace or self._scope.namespace
        if account is not None and account.is_platform_admin:
            return True
        role = Role.SERVICE if description.triggers else description.role
        scopes, admitted = description.scopes, role.admits(account, namespace)
        if admitted and not scopes:
            return True
        name, who = f"{inbound.service}.{endpoint.name}", account.id if account is not None else "nobody"
        if admitted:
            missing = [scope for scope in scopes if account is None or scope not in account.scopes]
            if not missing and account is not None and account.belongs_to(namespace):
                return True
            lack = f", which {who} lacks" if account is not None else ""
            reason = f"{name} demands the scope {(*missing, *description.scopes)[0]!r}{lack}"
        else:
            reason = f"{name} is for {role.people}" + (f", and {who} is none of them" if account is not None else "")
        if account is None:
            _fail(inbound, errors.Unauthorized(f"{reason}; log in, or send a token"), endpoint)
        else:
            _fail(inbound, errors.Forbidden(reason), endpoint)
        return False

    @property
    def running(self) -> int:
        """How many calls are being served, those that answered within their first turn aside."""
        return len(self._tasks)

    async def stop(self) -> None:
        """Cancel what runs and wait until it has ended; what does not within five seconds is left behind."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STUBBORN)
        self._pulse.stop()
        self._threads.close()


class _Cancelable:
    """The receiver of a unary call: all that can still be heard is that nobody waits."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""

    def on_end(self) -> None:
        """See `Receiver`."""

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self._task.cancel()


class _Flow:
    """The receiver of a streaming call."""

    __slots__ = ("_inbound", "gate", "queue", "task")

    def __init__(self, inbound: Inbound, from_client: bool) -> None:
        self._inbound = inbound
        self.task: asyncio.Task[None] | None = None
        self.gate = CreditGate(inbound.credit)
        self.queue = ItemQueue(inbound.grant) if from_client else None

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""
        if self.queue is not None:
            self.queue.put(payload)

    def on_end(self) -> None:
        """See `Receiver`."""
        if self.queue is not None:
            self.queue.end()

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""
        self.gate.give(size)

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self.gate.close(error)
        if self.queue is not None:
            self.queue.end(error)
        if self.task is not None:
            self.task.cancel()

    def over(self) -> None:
        """Nobody serves the call any more: let no thread wait for its items."""
        if self.queue is not None:
            self.queue.end(errors.Canceled("the call has ended"))


class _Items:
    """The items of the caller's stream, decoded."""

    __slots__ = ("_encoding", "_endpoint", "_queue")

    def __init__(self, endpoint: Endpoint, inbound: Inbound, queue: ItemQueue) -> None:
        self._endpoint = endpoint
        self._encoding = ASKED[inbound.encoding]
        self._queue = queue

    def __aiter__(self) -> _Items:
        return self

    async def __anext__(self) -> Any:
        payload = await self._queue.get()
        if payload is None:
            raise StopAsyncIteration
        return self._endpoint.decode_item(payload, self._encoding)


def _fail(inbound: Inbound, error: errors.Error, endpoint: Endpoint) -> None:
    """Let the call fail; an error that does not say whose it is is this endpoint's."""
    error.id = error.id or f"{inbound.service}.{endpoint.name}"
    inbound.fail(error)


def _canceled(endpoint: Endpoint) -> errors.Error:
    return errors.OutcomeUnknown(f"outcome unknown: {endpoint.name} was canceled before it had finished")
