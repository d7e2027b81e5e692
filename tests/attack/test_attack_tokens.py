"""Tokens that are none, or no more, shown on every way on which one can be shown."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from microlite import errors
from microlite.core.context import NOBODY, PLATFORM_NAMESPACE
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import RunningPlatform, platform

SECRET = "a secret of the test"


async def forged(running: RunningPlatform) -> dict[str, str]:
    """Tokens of every kind that must open nothing, by what is wrong with them."""
    ask = running.call
    await ask("auth.accounts.create", id="ann", scopes=["admin"], secret=SECRET)
    logged = await ask("auth.token", id="ann", secret=SECRET)
    good = logged["access_token"]
    head, body, seal = good.split(".")
    header, claims = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    keys = running._booted.identities.keys
    public = keys.signer()[1].public_key()
    raw = public.public_bytes_raw()
    mine = Ed25519PrivateKey.generate()

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def signed(key: Any = mine, algorithm: str = "EdDSA", more: dict[str, Any] | None = None, **said: Any) -> str:
        return jwt.encode({**claims, **said}, key, algorithm=algorithm, headers={**header, **(more or {})})

    ours = keys.signer()[1]
    found = {
        "another key": signed(),
        "another key, and it is shown": signed(more={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}),
        "a key at a URL": signed(more={"jku": "http://127.0.0.1:9/keys"}),
        "an id of a key that is a path": signed(more={"kid": "../../admin.token"}),
        "no id of a key": jwt.encode(claims, mine, algorithm="EdDSA"),
        "no algorithm": f"{part({**header, 'alg': 'none'})}.{body}.",
        "NONE": f"{part({**header, 'alg': 'NONE'})}.{body}.{seal}",
        "the public key as a secret": signed(raw.hex() * 2, "HS256", {"alg": "HS256"}),
        "other claims": f"{head}.{part({**claims, 'ns': PLATFORM_NAMESPACE})}.{seal}",
        "cut off": good[:-4],
        "no signature": f"{head}.{body}.",
        "twice": f"{good}.{good}",
        "expired": signed(ours, exp=running.clock.now() - 1),
        "of a time to come": signed(ours, iat=running.clock.now() + 600, exp=running.clock.now() + 900),
        "for somebody else": signed(ours, aud="another"),
        "of another type": signed(ours, more={"typ": "JWT"}),
        "an account that is not there": signed(ours, sub="nobody", marks=["account:0"]),
        "an unknown log-in": signed(ours, marks=["family:0"]),
        "a refresh token": logged["refresh_token"],
        "a join token": "mlj_default~0123~" + "a" * 43,
        "a ticket": running._booted.nodes.tickets.start("default", "orders", "orders-1", 1),
        "a personal token of another": "mlp_default~0123456789-0123456789ab~" + "a" * 43,
        "the admin's token, cut off": running.token[:-1],
        "the admin's token, and more": running.token + "x",
        "nothing but a word": "ey",
        "what stands for nobody": NOBODY,
    }
    made = (await ask("auth.tokens.create", name="t", account="ann"))["token"]
    found["a personal token, in other letters"] = made.upper()
    found["a personal token with another secret"] = made[:-3] + "AAA"
    found["a personal token of another namespace"] = made.replace("mlp_default", f"mlp_{PLATFORM_NAMESPACE}")
    return found


def _by_http(running: RunningPlatform, authorization: str) -> int:
    address = urlsplit(running.http)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request(
        "POST", "/auth/whoami", b"{}", {"Authorization": authorization, "Content-Type": "application/json"}
    )
    code = connection.getresponse().status
    connection.close()
    return code


async def _by_websocket(running: RunningPlatform, token: str) -> bytes:
    address = urlsplit(running.http)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    key = base64.b64encode(b"0123456789abcdef").decode()
    head = (
        f"GET /store/watch HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: microlite, bearer.{token}\r\n\r\n"
    )
    writer.write(head.encode())
    line = await reader.readline()
    writer.close()
    return line.split()[1]


async def test_what_is_no_token_opens_nothing_on_any_way() -> None:
    async with platform() as running:
        client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
        opened = []
        for what, token in (await forged(running)).items():
            basic = "Basic " + base64.b64encode(f"admin:{token}".encode()).decode()
            for authorization in (f"Bearer {token}", basic):
                if await asyncio.to_thread(_by_http, running, authorization) != 401:
                    opened.append(f"{what}: {authorization[:6]}")
            if await _by_websocket(running, token) == b"101":
                opened.append(f"{what}: WebSocket")
            payload = msgspec.msgpack.encode({"token": token})
            for endpoint, shown, sent in (("whoami", token, b"\x80"), ("inspect", "", payload)):
                try:
                    await UnaryCall("auth", endpoint, sent, token=shown, namespace="default").run(client.start)
                    opened.append(f"{what}: {endpoint}")
                except errors.Unauthorized:
                    pass
        assert opened == []
        good = (await running.call("auth.token", id="ann", secret=SECRET))["access_token"]
        assert await asyncio.to_thread(_by_http, running, f"Bearer {good}") == 200
        assert await _by_websocket(running, good) == b"101"
        client.close()
        await client.closed
