"""The ASGI application of the gateway: every request that is not answered on the fast way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.context import CLIENT_ADDRESS, TRACEPARENT
from microlite.core.description import naming
from microlite.core.description.media_type import ANY
from microlite.core.description.structs import Encoding, Streaming, encoding_of
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.version import __version__
from microlite.web.gateway import metrics
from microlite.web.gateway.answers import EVENT_STREAM, NDJSON
from microlite.web.gateway.asyncapi_page import AsyncApiPage
from microlite.web.gateway.bodies import Request, read_document, read_request
from microlite.web.gateway.exchange import NO_CACHE, Exchange
from microlite.web.gateway.file_answer import pump_file
from microlite.web.gateway.forward import Forwarder
from microlite.web.gateway.idempotency import HEADER, METHODS, REPEATED, Idempotency
from microlite.web.gateway.jwks_page import PATH as JWKS
from microlite.web.gateway.jwks_page import JwksPage
from microlite.web.gateway.media import pump_raw, raw_reply, raw_type
from microlite.web.gateway.openapi_page import OpenApiPage
from microlite.web.gateway.output import pump, wants_events
from microlite.web.gateway.sources import open_source
from microlite.web.gateway.streams import StreamExchange
from microlite.web.gateway.subprotocols import adopt_token
from microlite.web.gateway.table import ALL_METHODS, Target, UnknownService, WrongMethod

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping

    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.cycle import Receive, Send
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.kept_answers import KeptAnswers

_METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class GatewayApp:
    """Answers requests by their path: the platform's own pages, calls with and without streams, HTTP programs.

    Args:
        edge: what is shared with all connections.
        answers: those to calls with an `Idempotency-Key`; without them the header says nothing.
        keys: the public keys of the platform's tokens, as a JWK set.
    """

    def __init__(
        self, edge: Edge, answers: KeptAnswers | None = None, keys: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        self._edge = edge
        self._idempotency = Idempotency(edge, answers) if answers is not None else None
        self._forwarder = Forwarder(edge)
        self._pages: dict[bytes, Callable[[Exchange], Awaitable[None]]] = {
            b"/": self._root,
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
            b"/metrics": self._metrics,
            b"/asyncapi.json": AsyncApiPage(edge),
            b"/openapi.json": OpenApiPage(edge),
        }
        if keys is not None:
            self._pages[JWKS] = JwksPage(keys)

    async def close(self) -> None:
        """Let go of the connections to programs."""
        await self._forwarder.close()
        if self._idempotency is not None:
            await self._idempotency.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (https://asgi.readthedocs.io)."""
        edge = self._edge
        exchange = Exchange(edge, scope, receive, send)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        edge.active += 1
        try:
            await self._answer(exchange)
        except errors.Error as error:
            await exchange.fail(error)
        except Exception:  # noqa: BLE001 - an edge: it is logged and answered
            await exchange.fail(edge.failed(f"{exchange.method} {exchange.path.decode('latin-1')}"))
        finally:
            exchange.hold(0)
            edge.active -= 1
            seconds = loop.time() - begun
            edge.stats(exchange.target).observe(exchange.status or errors.Canceled.code, seconds)
            url = exchange.path + b"?" + exchange.query if exchange.query else exchange.path
            edge.note(exchange.client, exchange.method, url, exchange.status, seconds)

    async def _answer(self, exchange: Exchange) -> None:
        edge = self._edge
        exchange.read_head()
        fields = exchange.head.fields
        if exchange.wants_websocket:
            adopt_token(exchange.head)
        host = fields.get(b"host")
        program = ""
        if host is not None or exchange.scope["http_version"] != "1.0":
            program = edge.access.check_host(host)
        if edge.active > edge.options.max_requests:
            raise errors.ServiceUnavailable("too many requests are being answered; try again", id="gateway")
        exchange.caller = await edge.access.identify(fields.get(b"authorization"))
        if program:
            await self._forward_to_origin(exchange, program)
            return
        if edge.origins.is_preflight(exchange.method, exchange.head):
            await self._preflight(exchange)
            return
        page = self._pages.get(exchange.path)
        if page is not None and exchange.method in ("GET", "HEAD"):
            await page(exchange)
            return
        try:
            if page is not None:
                raise WrongMethod(exchange.method, ("GET", "HEAD"))
            target = await self._resolve(exchange)
        except WrongMethod as error:
            if exchange.method != "OPTIONS":
                raise
            await self._options(exchange, error.allow)
            return
        exchange.target = target
        if target.is_program:
            edge.access.authorise(target, exchange.caller)
            await self._forwarder.forward_below_path(exchange, target)
        else:
            await self._call(exchange, target)

    async def _resolve(self, exchange: Exchange) -> Target:
        """What the path stands for; where that is a service which is just being started, once it is there.

        Raises:
            Error: see `PathTable.resolve` and `Arrivals.wait`.
        """
        edge = self._edge
        namespace = edge.access.namespace(exchange.head, exchange.caller)
        while True:
            try:
                if exchange.wants_websocket:
                    return edge.table.resolve_any(exchange.path, namespace)
                return edge.table.resolve(exchange.method, exchange.path, namespace)
            except UnknownService as error:
                await self._await_service(exchange, namespace, error)

    async def _await_service(self, exchange: Exchange, namespace: str, missing: UnknownService) -> None:
        """Return when it is worth looking again.

        Raises:
            ServiceNotFound: nobody has asked for this service.
            ServiceUnavailable: the platform, or the service, is not up yet.
        """
        edge = self._edge
        if not edge.ready():
            raise errors.ServiceUnavailable("the platform is starting; try again", id="gateway") from None
        patience = exchange.head.timeout(edge.options.call_timeout, edge.options.max_timeout)
        if not await edge.table.arrivals.wait(namespace, missing.names, patience or edge.options.call_timeout):
            names = [service.name for service in edge.table.services(namespace)]
            raise errors.ServiceNotFound(
                f"{missing.detail}{naming.did_you_mean(missing.names[-1], names)}", id="gateway"
            ) from None

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def _call(self, exchange: Exchange, target: Target) -> None:
        assert target.endpoint is not None  # no program
        edge = self._edge
        edge.origins.check_unasked(exchange.method, exchange.head, has_body=exchange.has_body)
        token = edge.access.authorise(target, exchange.caller)
        streaming = target.endpoint.streaming
        if exchange.wants_websocket:
            await self._call_over_websocket(exchange, target, token)
        elif streaming.from_client:
            await self._call_with_source(exchange, target, token)
        elif streaming.from_server:
            if exchange.method == "HEAD" and target.endpoint.produces != ANY:
                await exchange.start(200, self._stream_headers(exchange, target))
                await exchange.write(b"", more=False)
                return
            call = self._stream_call(exchange, target, token, await read_request(exchange, target))
            async with _Watch(edge, exchange.until_gone(), call):
                await self._pump(exchange, target, call)
        else:
            await self._call_unary(exchange, target, token)

    async def _call_unary(self, exchange: Exchange, target: Target, token: str) -> None:
        request = await read_request(exchange, target)
        raw = target.endpoint is not None and bool(target.endpoint.produces)
        terms = self._terms(exchange, target, token, request, unary=True, raw=raw)
        call = UnaryCall(*self._address(target), request.payload, **terms)
        if HEADER in exchange.head.metadata and exchange.method in METHODS and self._idempotency is not None:
            outcome = await self._idempotency.run(exchange, exchange.head.metadata[HEADER], call)
            if outcome.repeated:
                exchange.noted.append(REPEATED)
            if outcome.error is not None:
                await exchange.fail(outcome.error)
            else:
                await self._reply(exchange, target, outcome.reply)
            return
        with exchange.giving_up(lambda: call.on_error(errors.Canceled("the client went away", id="gateway"))):
            try:
                reply = await call.run(self._edge.send)
            finally:
                if exchange.gone:
                    call.cancel()
        await self._reply(exchange, target, reply)

    async def _call_with_source(self, exchange: Exchange, target: Target, token: str) -> None:
        """A call whose stream is the body; its request is what query, path and a form's fields say."""
        source = await open_source(exchange, target)
        call = self._stream_call(exchange, target, token, source.request, source.metadata)
        async with _Watch(self._edge, source.send(call), call):
            if target.endpoint is not None and target.endpoint.streaming.from_server:
                await self._pump(exchange, target, call)
            else:
                while await call.take() is not None:
                    pass
                await self._reply(exchange, target, call.reply)

    async def _call_over_websocket(self, exchange: Exchange, target: Target, token: str) -> None:
        """A call whose request is the first message of a WebSocket, merged with query and path as a body is."""
        from microlite.web.gateway.websocket import open_websocket  # late, for what it costs
        from microlite.web.gateway.websocket_call import listen, speak

        assert target.endpoint is not None  # no program
        streaming = target.endpoint.streaming
        unary = streaming is Streaming.UNARY
        terms = self._terms(exchange, target, token, read_document(target, exchange.query, b""), unary=unary)
        credit = INITIAL_CREDIT if streaming.from_server else 0
        call = StreamExchange(*self._address(target), credit=credit, **terms)
        socket = open_websocket(exchange)

        def start(document: bytes) -> None:
            request = read_document(target, exchange.query, document)
            call.payload = request.payload
            call.encoding = int(encoding_of(request.encoding, Encoding.JSON))
            if not call.ended:
                self._send(call)

        self._edge.access.stands(target, exchange.caller, call.cut, lambda: call.ended)
        listening = listen(socket, call, start, streaming, self._edge.options.keep_alive)
        try:
            async with _Watch(self._edge, listening, call):
                code, reason = await speak(socket, call, streaming)
            await socket.close(code, reason)
        finally:
            socket.forget()

    def _send(self, call: StreamExchange) -> None:
        try:
            self._edge.send(call)
        except Exception:  # noqa: BLE001 - an edge: it is logged, and ends the call
            call.on_error(self._edge.failed(f"{call.service}.{call.endpoint}"))

    def _stream_call(
        self,
        exchange: Exchange,
        target: Target,
        token: str,
        request: Request,
        metadata: Mapping[str, str] | None = None,
    ) -> StreamExchange:
        assert target.endpoint is not None  # no program
        terms = self._terms(exchange, target, token, request, unary=False, raw=bool(target.endpoint.produces))
        terms["metadata"].update(metadata or {})
        credit = INITIAL_CREDIT if target.endpoint.streaming.from_server else 0
        call = StreamExchange(*self._address(target), request.payload, credit=credit, **terms)
        self._edge.access.stands(target, exchange.caller, call.cut, lambda: call.ended)
        self._edge.send(call)
        return call

    @staticmethod
    async def _pump(exchange: Exchange, target: Target, call: StreamExchange) -> None:
        """The stream to the client, as what the endpoint declares."""
        produces = target.endpoint.produces if target.endpoint is not None else ""
        if produces == ANY:
            await pump_file(exchange, call)
        elif produces and target.endpoint is not None:
            await pump_raw(exchange, call, target.endpoint)
        else:
            await pump(exchange, call, target.endpoint.event_id if target.endpoint is not None else "")

    @staticmethod
    def _stream_headers(exchange: Exchange, target: Target) -> Headers:
        """What the head of a stream says of its body."""
        if target.endpoint is not None and target.endpoint.produces:
            return raw_type(target.endpoint)
        return [(b"content-type", EVENT_STREAM if wants_events(exchange) else NDJSON)]

    @staticmethod
    def _address(target: Target) -> tuple[str, str]:
        assert target.endpoint is not None  # no program
        return target.service, target.endpoint.name

    def _terms(
        self,
        exchange: Exchange,
        target: Target,
        token: str,
        request: Request,
        *,
        unary: bool,
        raw: bool = False,
    ) -> dict[str, Any]:
        """What a call needs beside its address and payload. `raw` asks for bytes as they are, in place of JSON."""
        assert target.endpoint is not None  # no program
        options = self._edge.options
        answered = Encoding.MSGPACK if raw else Encoding.JSON
        return {
            "encoding": int(encoding_of(request.encoding, answered)),
            "namespace": target.namespace,
            "timeout": exchange.head.timeout(options.call_timeout if unary else None, options.max_timeout),
            "metadata": {
                **exchange.head.metadata,
                TRACEPARENT: exchange.traceparent,
                **({CLIENT_ADDRESS: exchange.client} if target.is_builtin else {}),
            },
            "account": exchange.caller.account,
            "token": token,
            "idempotent": target.endpoint.idempotent,
        }

    @staticmethod
    async def _reply(exchange: Exchange, target: Target, reply: bytes) -> None:
        """A reply as it is; nothing at all, which is what a function returns that returns None, is 204."""
        endpoint = target.endpoint
        if endpoint is not None and endpoint.produces:
            content = raw_reply(reply, endpoint)
            if content is None:
                await exchange.respond(204)
            else:
                (_, kind), *headers = raw_type(endpoint)
                await exchange.reply(content, content_type=kind, headers=headers, in_parts=True)
        elif reply and reply != b"null":
            await exchange.reply(reply, etag=target.etag)
        else:
            await exchange.respond(204)

    # -- programs ------------------------------------------------------------------------------------------------------

    async def _forward_to_origin(self, exchange: Exchange, name: str) -> None:
        namespace = self._edge.access.namespace(exchange.head, exchange.caller)
        target = self._edge.table.program(namespace, name)
        if target is None:
            await self._await_service(exchange, namespace, UnknownService(name))
            target = self._edge.table.program(namespace, name)
        if target is None:
            raise errors.ServiceNotFound(
                f'no HTTP program is called "{name}"; services have no host of their own, but a path: /{name}/…',
                id="gateway",
            )
        exchange.target = target
        self._edge.access.authorise(target, exchange.caller)
        await self._forwarder.forward_to_origin(exchange, target)

    # -- pages ---------------------------------------------------------------------------------------------------------

    async def _root(self, exchange: Exchange) -> None:
        url = self._edge.options.dashboard_url
        if url and "text/html" in exchange.head.metadata.get("accept", ""):
            await exchange.respond(307, headers=[(b"location", url.encode()), (b"vary", b"Accept")])
            return
        body = msgspec.json.encode({"name": "microlite", "version": __version__})
        await exchange.respond(200, body, headers=[(b"vary", b"Accept")])

    async def _healthz(self, exchange: Exchange) -> None:
        await exchange.respond(200, b'{"status":"ok"}', headers=[NO_CACHE])

    async def _readyz(self, exchange: Exchange) -> None:
        if self._edge.stopping or not self._edge.ready():
            raise errors.ServiceUnavailable("the platform is not ready", id="gateway")
        await exchange.respond(200, b'{"status":"ready"}', headers=[NO_CACHE])

    async def _metrics(self, exchange: Exchange) -> None:
        edge = self._edge
        account = exchange.caller.account
        if account is None:
            raise errors.Unauthorized(
                exchange.caller.refusal or "send Authorization: Bearer with a token of who operates the platform",
                id="gateway",
            )
        if not account.is_platform_admin:
            raise errors.Forbidden(
                f"/metrics is for who operates the platform, and {account.id} does not", id="gateway"
            )
        gauges = (
            ("microlite_http_active_requests", "Requests that are being answered.", float(edge.active)),
            ("microlite_http_streams", "Streams that are open.", float(len(edge.streams) + len(edge.tunnels))),
        )
        body = metrics.render(metrics.GatewayCollector(edge.table.stats, gauges))
        await exchange.reply(body, content_type=_METRICS_TYPE, headers=[NO_CACHE])

    # -- OPTIONS -------------------------------------------------------------------------------------------------------

    async def _preflight(self, exchange: Exchange) -> None:
        """Tell a browser what a page may send here.

        Where nothing is found every method is allowed, so that the page can read the error that it then gets.
        """
        access, table = self._edge.access, self._edge.table
        wanted = exchange.head.text(b"access-control-request-method")
        allow: tuple[str, ...] = ALL_METHODS
        target: Target | None = None
        try:
            if exchange.path in self._pages:
                allow = ("GET", "HEAD")
            else:
                target = table.resolve(wanted, exchange.path, access.home(exchange.head.fields.get(b"host")))
                allow = target.methods
        except WrongMethod as error:
            allow = error.allow
        except errors.Error:
            pass
        if target is not None and target.is_program:
            exchange.target = target
            await self._forwarder.forward_below_path(exchange, target)
        else:
            await self._options(exchange, allow)

    @staticmethod
    async def _options(exchange: Exchange, allow: tuple[str, ...]) -> None:
        """Say what is possible here; to a browser that asks for a page of another origin, whether that page may."""
        methods = ", ".join((*allow, "OPTIONS")).encode()
        headers: Headers = [(b"allow", methods)]
        origins = exchange.edge.origins
        if origins.is_preflight(exchange.method, exchange.head):
            headers += origins.preflight(exchange.head, methods)
        await exchange.respond(204, headers=headers)


class _Watch:
    """Runs what listens to the client beside what answers it, and gives the call up when the client is gone.

    While it runs the stream is known to the edge, which ends it when the platform stops.
    """

    def __init__(self, edge: Edge, listening: Coroutine[Any, Any, None], call: StreamExchange) -> None:
        self._edge = edge
        self._listening = listening
        self._call = call
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._edge.streams.add(self._call)
        self._task = asyncio.create_task(self._listen(), name="gateway client")

    async def __aexit__(self, *exc_info: object) -> None:
        self._edge.streams.discard(self._call)
        self._call.give_up(errors.Canceled("nobody reads the answer any longer", id="gateway"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._listening.close()  # a task that was over before its first step has not begun it

    async def _listen(self) -> None:
        try:
            await self._listening
        except errors.Error as error:
            self._call.give_up(error)
        else:
            self._call.give_up(errors.Canceled("the client went away", id="gateway"))
