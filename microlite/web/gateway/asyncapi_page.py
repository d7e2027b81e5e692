"""`/asyncapi.json`: which messages and events the services take, as an AsyncAPI document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_ADMIN
from microlite.core.rpc.call import UnaryCall
from microlite.web.asyncapi import document
from microlite.web.gateway.exchange import NO_CACHE
from microlite.web.gateway.openapi_page import MAX_KEPT, VARY, asked, own_url, rights, services_for

if TYPE_CHECKING:
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.exchange import Exchange

_encode = msgspec.json.encode


class AsyncApiPage:
    """Answers with the document of all services, or of those that `?service=` names.

    An admin's holds the topics of events that are there, too, with the schemas that are set for them; it is made anew each
    time. That of everybody else is kept until the path table changes.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._kept: dict[tuple[object, ...], bytes] = {}
        self._version = edge.table.version
        self._making = asyncio.Lock()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            BadRequest: the query says something else than `service`.
            ServiceNotFound: there is no service of a name.
            Unauthorized: nothing of one may be called without an account.
            Forbidden: nothing of one may be called by this one.
        """
        account = exchange.caller.account
        namespace = self._edge.access.namespace(exchange.head, exchange.caller)
        is_admin = account is not None and account.is_admin and account.belongs_to(namespace)
        names, url = asked(exchange.query), own_url(exchange)
        topics = await self._topics(namespace) if is_admin and not names else {}
        async with self._making:
            if self._version != self._edge.table.version or len(self._kept) >= MAX_KEPT:
                self._version = self._edge.table.version
                self._kept.clear()
            key = (namespace, self._edge.access.rules(namespace), url, rights(account), names)
            body = None if is_admin else self._kept.get(key)
            if body is None:
                services = services_for(self._edge, namespace, names, account)
                body = await asyncio.to_thread(
                    lambda: _encode(document(services, gateway=url if url != "/" else "", topics=topics))
                )
                if not is_admin:
                    self._kept[key] = body
        await exchange.reply(body, headers=[NO_CACHE, VARY])

    async def _topics(self, namespace: str) -> dict[str, Any]:
        call = UnaryCall("events", "topics", namespace=namespace, account=PLATFORM_ADMIN)
        try:
            found = msgspec.msgpack.decode(await call.run(self._edge.send))
        except errors.Error:
            return {}  # the document of the services is right without them
        return {one["name"]: one["settings"]["schema"] for one in found}
