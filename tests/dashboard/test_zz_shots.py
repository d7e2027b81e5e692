from tests.dashboard.browsing import *
from tests.dashboard.conftest import *


async def test_shots(desk, enter):
    call = desk.bench.call
    await call(
        "auth.accounts.create",
        id="ann",
        name="Ann Lee",
        secret="correct horse",
        scopes=["admin"],
        metadata={"team": "shop"},
    )
    for i in range(12):
        await call(
            "auth.accounts.create",
            id=f"user{i}",
            name=f"User Number {i}",
            secret="correct horse",
            scopes=["orders:read", "orders:write"][: i % 3],
        )
    await call("auth.accounts.create", id="orders", type="service", scopes=["payments:charge"])
    await call("auth.accounts.update", id="user3", disabled=True)
    await call(
        "auth.rules.create",
        id="close-orders",
        resource={"type": "service", "name": "orders", "endpoint": "*"},
        access="denied",
        priority=5,
    )
    await call(
        "auth.rules.create",
        id="orders-for-writers",
        resource={"type": "service", "name": "orders", "endpoint": "create"},
        scope="orders:write",
        priority=10,
    )
    await call("auth.tokens.create", name="nightly import", account="ann", scopes=["admin"])
    await call("auth.keys.rotate")

    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)):
        b = await enter(scheme=scheme, width=width)
        for name, path in (
            ("accounts", "/access/accounts"),
            ("account", "/access/account?id=ann"),
            ("tokens", "/access/tokens?account=ann"),
            ("rules", "/access/rules"),
            ("explain", "/access/explain?account=user1&service=orders&endpoint=create"),
            ("audit", "/access/audit"),
            ("keys", "/access/keys"),
            ("me", "/me"),
            ("login", "/login"),
            ("namespace", "/namespace"),
        ):
            await b.open(path)
            await b.page.screenshot(path=f"/tmp/shots/{name}-{scheme}-{width}.png", full_page=True)
            print(
                name,
                scheme,
                width,
                await b.complaints(),
                await b.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"),
            )
        print(b.errors)
        b.errors.clear()
    b = await enter(who=("ann", "correct horse"))
    await b.open("/access/keys")
    await b.page.screenshot(path="/tmp/shots/denied-light-1280.png")
    await b.open("/me")
    await b.page.screenshot(path="/tmp/shots/me2-light-1280.png", full_page=True)
    b.errors.clear()
