"""The pages of rules: what they say in the order in which they decide, and why a call is allowed or denied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response, get, post

from microlite.core import errors
from microlite.core.auth.api import AccountRecord, Explanation
from microlite.core.policy.rules import Rule, RuleSet
from microlite.core.registry.api import ServiceRecord
from microlite.web.dashboard.acting import done, told
from microlite.web.dashboard.frame import HTML, session_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

SUGGESTED: Final = 200
"""Accounts that the field of the explanation suggests; any other can be typed."""


def rule_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The table, the explanation, and what changes the rules."""

    async def services(session: WebSession) -> list[ServiceRecord]:
        """What can be picked; nothing for those who may not read the registry, who can type."""
        try:
            found: list[ServiceRecord] = await frame.calls.ask(
                session, "registry.list", list[ServiceRecord], built_in=True
            )
        except errors.Forbidden:
            return []
        return found

    async def names(session: WebSession) -> list[str]:
        return sorted({record.name for record in await services(session)})

    async def accounts(session: WebSession) -> list[AccountRecord]:
        try:
            found: list[AccountRecord] = await frame.calls.ask(
                session, "auth.accounts.list", list[AccountRecord], limit=SUGGESTED
            )
        except errors.Forbidden:
            return []
        return found

    @get("/access/rules")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        found = await frame.calls.ask(session, "auth.rules.list", list[Rule])
        ordered = RuleSet(session.namespace, found).rules
        return frame.page(request, "access/rules.html", rules=ordered, services=await names(session))

    @get("/access/endpoints")
    async def endpoints(request: Request[Any, Any, Any]) -> Response[str]:
        wanted = request.query_params.get("service", "")
        found = {
            endpoint.name
            for record in await services(session_of(request))
            if record.name == wanted
            for endpoint in record.endpoints
        }
        return Response(frame.render("access/_endpoints.html", endpoints=sorted(found)), media_type=HTML)

    @post("/access/rules/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        rule = _read(await told(request))
        await frame.calls.ask(session_of(request), "auth.rules.create", **rule)
        return done(frame, request, "/access/rules", f"{rule['id']} decides from now on")

    @post("/access/rules/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        rule = (await told(request)).get("id", "")
        await frame.calls.ask(session_of(request), "auth.rules.delete", id=rule)
        return done(frame, request, "/access/rules", f"{rule} is deleted")

    @get("/access/explain")
    async def explain(request: Request[Any, Any, Any]) -> Response[str]:
        session, query = session_of(request), request.query_params
        asked = {name: query.get(name, "").strip() for name in ("account", "caller", "type", "service", "endpoint")}
        found, trouble = None, ""
        if asked["service"]:
            try:
                found = await frame.calls.ask(session, "auth.rules.explain", Explanation, **_question(asked))
            except (errors.BadRequest, errors.NotFound) as error:
                trouble = error.detail
        return frame.page(
            request,
            "access/explain.html",
            asked=asked,
            found=found,
            trouble=trouble,
            accounts=await accounts(session),
            services=await names(session),
        )

    return [index, endpoints, create, delete, explain]


def _question(asked: Mapping[str, str]) -> dict[str, Any]:
    """What is asked about who calls what.

    Raises:
        BadRequest: two callers are named.
    """
    if asked["account"] and asked["caller"]:
        raise errors.BadRequest("name an account or a service as the one who calls, not both")
    resource = {"type": asked["type"] or "service", "name": asked["service"], "endpoint": asked["endpoint"]}
    return {"resource": resource, "account": asked["account"], "service": asked["caller"]}


def _read(form: Mapping[str, str]) -> dict[str, Any]:
    """The rule that a filled form describes.

    Raises:
        BadRequest: a field of it cannot be.
    """
    whom, scope = form.get("whom", ""), form.get("scope", "")
    if whom == "scope" and not scope:
        raise errors.BadRequest("scope: name the scope of the accounts to whom it applies")
    if whom != "scope" and scope:
        raise errors.BadRequest("scope: to whom it applies is not “accounts with the scope”, so leave this empty")
    priority = form.get("priority", "") or "0"
    if not priority.removeprefix("-").isdecimal() or len(priority) > 10:
        raise errors.BadRequest(f"priority: {priority[:20]!r} is no number")
    resource = {
        "type": form.get("type", "service"),
        "name": form.get("service", "") or "*",
        "endpoint": form.get("endpoint", "") or "*",
    }
    return {
        "id": form.get("id", ""),
        "scope": scope if whom == "scope" else whom,
        "resource": resource,
        "access": form.get("access", "granted"),
        "priority": int(priority),
    }
