"""The service `auth` as its callers meet it: over HTTP and the wire, on a whole platform."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from microlite import Context, Service, errors
from microlite.core.auth.throttle import PER_ADDRESS
from microlite.testing import RunningPlatform
from microlite.testing import platform as boot

SECRET = "correct horse"


@pytest.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    async with boot() as running:
        yield running


async def ask(
    p: RunningPlatform, path: str, body: Any = None, token: str = "", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and answer of a request."""

    def send() -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{p.http}{path}",
            None if body is None else json.dumps(body).encode(),
            {
                "content-type": "application/json",
                **({"authorization": f"Bearer {token}"} if token else {}),
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return await asyncio.to_thread(send)


async def log_in(p: RunningPlatform, id: str) -> dict[str, Any]:
    status, token = await ask(p, "/auth/token", {"id": id, "secret": SECRET})
    assert status == 200, token
    found: dict[str, Any] = token
    return found


async def make(p: RunningPlatform, id: str, *scopes: str) -> None:
    await p.call("auth.accounts.create", id=id, scopes=list(scopes), secret=SECRET)


@pytest.fixture
def orders() -> Service:
    service = Service("orders")

    @service.endpoint
    async def whose(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    return service


async def test_one_logs_in_over_http_and_calls_with_what_that_gives(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    await make(platform, "ann", "admin")
    assert (await ask(platform, "/auth/token", {"id": "ann", "secret": "wrong secret"}))[0] == 401
    token = await log_in(platform, "ann")
    assert await ask(platform, "/orders/whose", {}, token["access_token"]) == (200, "ann")
    assert await ask(platform, "/orders/whose", {}) == (200, "nobody")
    status, accounts = await ask(platform, "/auth/accounts/list", None, token["access_token"])
    assert (status, [one["id"] for one in accounts]) == (200, ["ann"])
    status, again = await ask(platform, "/auth/token", {"refresh_token": token["refresh_token"]})
    assert status == 200
    assert await ask(platform, "/orders/whose", {}, again["access_token"]) == (200, "ann")
    assert (await ask(platform, "/auth/logout", {"token": again["refresh_token"]}))[0] == 204
    for one in (token, again):
        assert (await ask(platform, "/auth/accounts/list", None, one["access_token"]))[0] == 401


async def test_what_an_account_may_not_do_it_cannot(platform: RunningPlatform) -> None:
    await make(platform, "ann")
    token = (await log_in(platform, "ann"))["access_token"]
    admin_rule = {"id": "mine", "resource": {"type": "*"}, "priority": 9}
    for path, body in (
        ("/auth/accounts/list", None),
        ("/auth/accounts/create", {"id": "eve", "scopes": ["admin"]}),
        ("/auth/accounts/update", {"id": "ann", "scopes": ["admin"]}),
        ("/auth/accounts/delete", {"id": "ann"}),
        ("/auth/rules/create", admin_rule),
        ("/auth/rules/delete", {"id": "default"}),
        ("/auth/keys/rotate", {}),
        ("/auth/keys/list", None),
        ("/auth/audit/list", None),
        ("/auth/tokens/create", {"name": "x", "scopes": ["admin"]}),
        ("/auth/tokens/list?account=admin", None),
        ("/auth/accounts/read?id=admin", None),
        ("/auth/confirm", {"version": 1}),
    ):
        assert (await ask(platform, path, body, token))[0] == 403, path
        assert (await ask(platform, path, body))[0] == 401, path
    assert (await ask(platform, "/auth/whoami", None, token))[1]["account"] == "ann"
    assert (await ask(platform, "/auth/accounts/read", None, token))[1]["id"] == "ann"


async def test_a_personal_token_works_over_http_until_it_is_deleted(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    await make(platform, "ann", "buyer")
    token = (await log_in(platform, "ann"))["access_token"]
    status, made = await ask(platform, "/auth/tokens/create", {"name": "ci"}, token)
    assert (status, made["scopes"], made["account"]) == (200, ["buyer"], "ann")
    assert await ask(platform, "/orders/whose", {}, made["token"]) == (200, "ann")
    status, listed = await ask(platform, "/auth/tokens/list", None, made["token"])
    assert [one["id"] for one in listed] == [made["id"]]
    assert "token" not in listed[0]
    assert (await ask(platform, "/auth/tokens/delete", {"id": made["id"]}, token))[0] == 204
    assert (await ask(platform, "/auth/whoami", None, made["token"]))[0] == 401


async def test_a_personal_token_makes_no_other(platform: RunningPlatform) -> None:
    await make(platform, "ann", "admin", "buyer")
    token = (await log_in(platform, "ann"))["access_token"]
    _, narrow = await ask(platform, "/auth/tokens/create", {"name": "narrow", "scopes": ["buyer"]}, token)
    for wanted in ({"scopes": ["admin"]}, {"scopes": ["buyer"]}, {}, {"account": "ann"}):
        status, error = await ask(platform, "/auth/tokens/create", {"name": "x", **wanted}, narrow["token"])
        assert (status, "makes no other" in error["detail"]) == (403, True), wanted
    assert (await ask(platform, "/auth/accounts/create", {"id": "eve"}, narrow["token"]))[0] == 403


async def test_a_rule_holds_for_the_next_request(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    await make(platform, "ann", "buyer")
    token = (await log_in(platform, "ann"))["access_token"]
    rule = {"id": "only-buyers", "resource": {"name": "Orders"}, "access": "denied", "priority": 1}
    allow = {"id": "buyers", "resource": {"name": "orders"}, "scope": "buyer", "priority": 2}
    assert (await ask(platform, "/auth/rules/create", rule, platform.token))[0] == 200
    assert (await ask(platform, "/orders/whose", {}, token))[0] == 403
    assert (await ask(platform, "/orders/whose", {}))[0] == 401
    assert (await ask(platform, "/auth/rules/create", allow, platform.token))[0] == 200
    assert await ask(platform, "/orders/whose", {}, token) == (200, "ann")
    status, why = await ask(
        platform, "/auth/rules/explain", {"resource": {"name": "orders", "endpoint": "whose"}, "account": "ann"}, token
    )
    assert (status, why["granted"], why["rule"]["id"], why["rule"]["created_by"]) == (200, True, "buyers", "admin")
    assert [one["id"] for one in why["others"]] == ["only-buyers", "default"]
    assert (await ask(platform, "/auth/rules/delete", {"id": "buyers"}, platform.token))[0] == 204
    assert (await ask(platform, "/orders/whose", {}, token))[0] == 403


async def test_what_locks_out_is_refused_over_http_with_what_to_do(platform: RunningPlatform) -> None:
    rule = {"id": "shut", "resource": {"type": "*"}, "access": "denied", "priority": 1}
    status, error = await ask(platform, "/auth/rules/create", rule, platform.token)
    assert status == 403
    assert "nobody could log in any more" in error["detail"]
    assert "first grant service:auth:token" in error["detail"]


async def test_the_public_keys_prove_tokens_and_are_open_to_all(platform: RunningPlatform) -> None:
    await make(platform, "ann")
    token = (await log_in(platform, "ann"))["access_token"]
    status, document = await ask(platform, "/.well-known/jwks.json")
    assert status == 200
    key = jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["EdDSA"], audience="microlite", issuer="microlite", options={"verify_exp": False})
    assert (claims["sub"], claims["ns"]) == ("ann", "default")
    assert (await ask(platform, "/auth/keys/rotate", {}, platform.token))[0] == 200
    assert len((await ask(platform, "/.well-known/jwks.json"))[1]["keys"]) == 2
    assert (await ask(platform, "/auth/whoami", None, token))[0] == 200


async def test_attempts_are_counted_by_the_address_of_the_client_whatever_it_claims(platform: RunningPlatform) -> None:
    for number in range(PER_ADDRESS):
        body = {"id": f"user-{number}", "secret": "wrong secret"}
        status, _ = await ask(platform, "/auth/token", body, headers={"x-microlite-client": f"10.0.0.{number}"})
        assert status == 401
    status, error = await ask(platform, "/auth/token", {"id": "x", "secret": "wrong secret"})
    assert (status, "try again in" in error["detail"]) == (429, True)


async def test_a_log_in_without_credentials_says_what_is_needed(platform: RunningPlatform) -> None:
    status, error = await ask(platform, "/auth/token", {})
    assert (status, error["detail"][:36]) == (400, "Credentials or a refresh token requi")


async def test_a_service_cannot_take_over_the_user_whose_call_it_handles(platform: RunningPlatform) -> None:
    evil = Service("evil")

    @evil.endpoint
    async def take(ctx: Context) -> str:
        for act in (
            ctx.call("auth.tokens.create", name="mine"),
            ctx.call("auth.link"),
            ctx.call("auth.accounts.create", id="x", scopes=["admin"]) if ctx.account is None else None,
        ):
            if act is not None:
                try:
                    await act
                except (errors.Unauthorized, errors.Forbidden, errors.NotFound):
                    pass
                else:
                    return "taken"
        return "nothing"

    await platform.serve(evil)
    await make(platform, "ann", "admin")
    token = (await log_in(platform, "ann"))["access_token"]
    assert await ask(platform, "/evil/take", {}, token) == (200, "nothing")
    assert await ask(platform, "/evil/take", {}) == (200, "nothing")


async def test_the_platform_makes_its_keys_with_the_first_log_in() -> None:
    async with boot() as p:
        keys = Path(p.home) / "auth.keys"
        assert not keys.exists()
        await make(p, "ann")
        await log_in(p, "ann")
        assert keys.exists()
