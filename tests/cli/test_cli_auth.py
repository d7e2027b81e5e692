"""`microlite auth`, `login` and `user`, on a whole platform."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import msgspec
import pytest

from microlite import Context, Service
from microlite.core.log_ins import LogIns
from tests.cli.live import Live, live

__all__ = ["live"]

ANN = "a secret that ann has"
BOB = "another that bob has"


def shop() -> Service:
    service = Service("shop")

    @service.endpoint
    async def price(product: str) -> int:
        """Look up a price."""
        return 420

    @service.endpoint(scopes=["shop:sell"])
    async def sell(ctx: Context, product: str) -> str:
        """Sell something."""
        assert ctx.account is not None
        return f"{ctx.account.id} sold {product}"

    return service


async def create(live: Live, id: str = "ann", secret: str = ANN, *words: str) -> None:
    said = await live("auth", "create", "account", id, "--secret-stdin", *words, stdin=f"{secret}\n")
    assert (said.code, said.err) == (0, "")
    assert secret not in said.out, "who gave it knows it"


async def log_in(live: Live, id: str = "ann", secret: str = ANN) -> None:
    assert await live("login", id, "--secret-stdin", stdin=f"{secret}\n") == (0, "Successfully logged in.\n", "")


async def test_an_account_is_created_listed_changed_and_deleted(live: Live) -> None:
    said = await live(
        *("auth", "create", "account", "ann", "--scopes", "orders:write,orders:read", "--scopes", "x"),
        *("--name", "Ann", "--metadata", "team=shop"),
    )
    assert said.code == 0
    head, document = said.out.split(": ", 1)
    created = json.loads(document)
    assert head == "Account created"
    assert (created["id"], created["scopes"]) == ("ann", ["orders:write", "orders:read", "x"])
    assert len(created["secret"]) >= 20
    assert json.loads((await live("auth", "create", "account", "-o", "json")).out)["id"].startswith("user-")
    rows = [line.split() for line in (await live("auth", "list", "accounts")).out.splitlines()]
    assert rows[0] == ["ID", "Name", "Scopes", "Metadata"]
    assert rows[1] == ["ann", "Ann", "orders:write,", "orders:read,", "x", "team=shop"]
    assert (await live("auth", "update", "account", "ann", "--scopes", "x", "--name", "", "--disable")).out == (
        "Account updated\n"
    )
    (found,) = [one for one in await live.read("auth", "list", "accounts") if one["id"] == "ann"]
    assert (found["scopes"], found["name"], found["disabled"], found["metadata"]) == (["x"], "", True, {"team": "shop"})
    assert "(disabled)" in (await live("auth", "list", "accounts")).out
    said = await live("auth", "delete", "account", "ann")
    assert (said.code, said.err) == (1, "Nobody can be asked here whether that is meant: say --yes\n")
    assert (await live("auth", "delete", "account", "ann", "--yes")).out == "Account deleted\n"
    assert "ann" not in (await live("auth", "list", "accounts")).out


async def test_long_listings_are_read_to_their_end(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlite.cli.auth_words.PAGE", 2)
    for number in range(5):
        await create(live, f"a{number}")
    assert [one["id"] for one in await live.read("auth", "list", "accounts")] == [f"a{number}" for number in range(5)]


async def test_what_the_platform_refuses_is_one_line(live: Live) -> None:
    await create(live)
    assert await live("auth", "create", "account", "ann") == (127, "", "Account with this ID already exists\n")
    assert (await live("auth", "update", "account", "ann")).code == 2
    said = await live("auth", "delete", "account", "nobody", "--yes")
    assert (said.code, said.out, said.err.count("\n")) == (127, "", 1)
    rule = ("auth", "create", "rule", "--resource", "service:shop:*", "r")
    assert (await live(*rule)).code == 0
    assert await live(*rule) == (127, "", "A rule with this ID already exists\n")


async def test_a_secret_on_the_command_line_works_and_warns(live: Live) -> None:
    said = await live("auth", "create", "account", "ann", "--secret", ANN)
    assert (said.code, "list of processes" in said.err, ANN in said.err) == (0, True, False)
    said = await live("auth", "update", "secret", "ann", "--new_secret", BOB)
    assert (said.code, said.out, "list of processes" in said.err) == (0, "Secret updated\n", True)
    await log_in(live, secret=BOB)


async def test_rules_are_created_listed_in_their_order_and_deleted(live: Live) -> None:
    words = ("auth", "create", "rule", "--resource")
    said = await live(*words, "service:shop:*", "--access", "denied", "--priority", "10", "closed")
    assert said == (0, "Rule created\n", "")
    assert (await live(*words, "service:shop:sell", "--scope", "shop:sell", "--priority", "20", "sellers")).code == 0
    assert (await live("auth", "list", "rules")).out.splitlines() == [
        "ID       Scope      Access   Resource           Priority",
        "sellers  shop:sell  granted  service:shop:sell  20",
        "closed   <public>   denied   service:shop:*     10",
        "default  <public>   granted  *:*:*              0",
    ]
    assert [one["id"] for one in await live.read("auth", "list", "rules")] == ["sellers", "closed", "default"]
    assert await live("auth", "delete", "rule", "closed") == (0, "Rule deleted\n", "")
    assert (await live("auth", "delete", "rule", "closed")).code == 127


@pytest.mark.parametrize("resource", ["shop", "service:shop", "service:shop:", "a:b:c:d"])
async def test_a_resource_has_three_parts(live: Live, resource: str) -> None:
    said = await live("auth", "create", "rule", "--resource", resource, "r")
    assert (said.code, said.out) == (2, "")
    assert "write type:name:endpoint" in said.err


async def test_commands_act_as_who_has_logged_in(live: Live) -> None:
    await live.platform.serve(shop())
    await create(live, "ann", ANN, "--scopes", "shop:sell")
    await create(live, "bob", BOB)
    await log_in(live)
    assert await live("shop", "sell", "--product", "tea") == (0, '"ann sold tea"\n', "")
    await log_in(live, "bob", BOB)
    said = await live("shop", "sell", "--product", "tea")
    assert (said.code, said.out) == (2, "")
    assert "demands the scope 'shop:sell'" in said.err
    said = await live("auth", "list", "accounts")
    assert (said.code, said.out) == (2, "")
    assert "for admins" in said.err
    assert (await live("--account", "ann", "call", "shop.sell", '{"product": "tea"}')).out == '"ann sold tea"\n'
    assert (await live("--account", "-", "auth", "list", "accounts")).code == 0


async def test_what_is_demanded_of_a_caller_is_shown(live: Live) -> None:
    await live.platform.serve(shop())
    assert "Endpoint: sell (needs the scope shop:sell)" in (await live("describe", "shop")).out
    assert "Endpoint: price\n" in (await live("describe", "shop")).out
    assert "ACCESS:\n        needs the scope shop:sell\n" in (await live("shop", "sell", "--help")).out
    assert "for admins" in (await live("describe", "auth")).out


async def test_it_is_explained_why_somebody_may_or_may_not(live: Live) -> None:
    await live.platform.serve(shop())
    await create(live, "ann", ANN, "--scopes", "shop:sell")
    words = ("auth", "create", "rule", "--resource")
    await live(*words, "service:shop:*", "--access", "denied", "--priority", "10", "closed")
    await live(*words, "service:shop:*", "--scope", "shop:sell", "--priority", "20", "sellers")
    said = (await live("auth", "explain", "--account", "ann", "shop.price")).out.splitlines()
    assert said[0] == "allowed: the rule 'sellers' grants shop.price to ann"
    assert said[2].startswith("The rule sellers decides: it was set by admin at 2")
    assert said[2].endswith(", for accounts with the scope shop:sell")
    assert said[4].split() == ["sellers", "shop:sell", "granted", "service:shop:*", "20"]
    assert said[6] == "Other rules that apply, in the order in which they would decide:"
    assert [line.split()[0] for line in said[8:]] == ["closed", "default"]
    said = (await live("auth", "explain", "shop.price")).out.splitlines()
    assert said[0] == "denied: the rule 'closed' denies shop.price to nobody"
    found = await live.read("auth", "explain", "--account", "ann", "--scopes", "x", "shop.sell")
    assert (found["granted"], found["rule"]) == (False, None)
    assert (await live.read("auth", "explain", "--service", "orders", "store.read"))["granted"] is True
    assert (await live.read("auth", "explain", "table:shop/prices:read"))["granted"] is True
    assert (await live("auth", "explain", "--account", "ann", "--service", "shop", "shop.price")).code == 2


async def test_a_token_for_a_program_is_made_used_and_ended(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    await live.platform.serve(shop())
    await create(live, "ann", ANN, "--scopes", "shop:sell,more")
    await log_in(live)
    made = json.loads((await live("auth", "create", "token", "nightly", "--scopes", "shop:sell", "-o", "json")).out)
    assert (made["account"], made["scopes"]) == ("ann", ["shop:sell"])
    assert 29 * 86_400 < made["expires"] - made["created"] < 31 * 86_400
    assert made["token"] not in (await live("auth", "list", "tokens")).out
    await live("logout")
    monkeypatch.setenv("MICROLITE_TOKEN", made["token"])
    assert (await live("shop", "sell", "--product", "tea")).out == '"ann sold tea"\n'
    assert (await live("user")).out.splitlines()[0] == "user       ann"
    monkeypatch.delenv("MICROLITE_TOKEN")
    assert (await live("login", "--token", "-", stdin=made["token"])).code == 0
    assert (await live("user")).out.splitlines()[2] == "scopes     shop:sell"
    assert (await live("logout")).code == 0
    assert [one["id"] for one in await live.read("auth", "list", "tokens")] == [made["id"]]
    assert (await live("auth", "delete", "token", made["id"])).code == 1
    assert (await live("auth", "delete", "token", made["id"], "--yes")).out == "Token deleted\n"
    monkeypatch.setenv("MICROLITE_TOKEN", made["token"])
    said = await live("shop", "price", "--product", "tea")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("The token in MICROLITE_TOKEN is not accepted: ")


async def test_the_token_of_the_admin_does_for_commands(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROLITE_TOKEN", (live.platform.home / "admin.token").read_text())
    assert (await live("auth", "list", "rules")).code == 0
    assert (await live("user")).out.splitlines() == [
        "user       admin",
        "namespace  microlite.platform",
        "scopes     admin",
        "by         MICROLITE_TOKEN",
    ]


async def test_a_log_in_that_was_ended_says_what_to_do(live: Live) -> None:
    await create(live)
    await log_in(live)
    assert (await live("auth", "list", "rules")).code == 0
    said = await live("--account", "-", "auth", "update", "secret", "ann", "--secret-stdin", stdin=f"{BOB}\n")
    assert said.code == 0
    for words in (("auth", "list", "rules"), ("user",), ("services",)):
        assert await live(*words) == (2, "", "The log-in of ann has ended; log in again with: microlite login ann\n")
    await log_in(live, secret=BOB)
    assert (await live("user")).code == 0


async def test_tokens_are_renewed_and_logging_out_ends_them(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    await create(live)
    await log_in(live)
    (first,) = LogIns(live.platform.home).all()
    now = time.time()
    LogIns(live.platform.home).keep(msgspec.structs.replace(first, created=now - 841, expires=now + 59))
    assert (await live("user")).code == 0
    (second,) = LogIns(live.platform.home).all()
    assert second.access_token != first.access_token
    assert second.refresh_token != first.refresh_token
    monkeypatch.setenv("MICROLITE_TOKEN", second.access_token)
    assert (await live("user")).code == 0
    monkeypatch.delenv("MICROLITE_TOKEN")
    assert (await live("logout")).out == "Successfully logged out.\n"
    monkeypatch.setenv("MICROLITE_TOKEN", second.access_token)
    assert (await live("user")).code == 2


async def test_one_changes_ones_password_and_stays_logged_in(live: Live) -> None:
    await create(live)
    said = await live("user", "set", "password", "--secret-stdin", stdin=f"{ANN}\n{BOB}\n")
    assert (said.code, said.err.startswith("You are not logged in")) == (1, True)
    await log_in(live)
    said = await live("user", "set", "password", "--secret-stdin", stdin=f"wrong\n{BOB}\n")
    assert (said.code, said.out) == (2, "")
    assert await live("user", "set", "password", "--secret-stdin", stdin=f"{ANN}\n{BOB}\n") == (0, "", "")
    assert (await live("user")).out.startswith("user       ann\n")
    await log_in(live, secret=BOB)
    assert (await live("login", "ann", "--secret-stdin", stdin=f"{ANN}\n")).code == 2


async def test_a_wrong_secret_does_not_tell_whether_there_is_such_an_account(live: Live) -> None:
    await create(live)
    said = [await live("login", who, "--secret-stdin", stdin=f"{BOB}\n") for who in ("ann", "nobody")]
    assert said[0] == said[1]
    assert (said[0].code, said[0].err.count("\n")) == (2, 1)


async def test_keys_are_listed_and_rotated_and_nobody_is_logged_out(live: Live) -> None:
    await create(live)
    await log_in(live)
    assert (await live("--account", "-", "auth", "rotate", "keys")) == (0, "Keys rotated\n", "")
    found = await live.read("--account", "-", "auth", "list", "keys")
    assert [one["signs"] for one in found] == [True, False]
    assert (await live("--account", "-", "auth", "list", "keys")).out.split()[:4] == ["ID", "Created", "Signs", "Until"]
    assert (await live("user")).code == 0
    assert (await live("auth", "rotate", "keys")).code == 2


async def test_ids_are_completed(live: Live) -> None:
    await create(live)
    await create(live, "bob", BOB)
    await live("auth", "create", "token", "nightly", "--account", "ann")
    (token,) = await live.read("auth", "list", "tokens")
    for line, expected in (
        ("auth delete account ", ["ann", "bob"]),
        ("auth delete rule ", ["default"]),
        ("auth explain --account b", ["bob"]),
        ("auth delete token ", [token["id"]]),
        ("--account ", ["ann"]),
    ):
        if line.startswith("--account"):
            await log_in(live)
        assert await completed(live, line) == expected


async def completed(live: Live, line: str) -> list[str]:
    """What a shell offers behind this line."""
    environment = {
        **os.environ,
        "_MICROLITE_COMPLETE": "bash_complete",
        "_MICROLITE_LINE": f"microlite {line}",
        "MICROLITE_HOME": str(live.platform.home),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "microlite"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return [answer.split("\t")[1].strip() for answer in out.decode().splitlines()]


async def test_the_link_to_the_dashboard_is_for_who_has_logged_in(live: Live) -> None:
    """The harness has no dashboard, and says so only to somebody whom it would give a link."""
    await create(live)
    await log_in(live)
    said = await live("web", "--no-open")
    assert (said.code, said.err.startswith("This platform has no dashboard")) == (127, True)


async def test_doctor_finds_a_platform_sound_whatever_namespace_is_meant(live: Live) -> None:
    """It asks in the one that is always there: what a namespace has not is no fault of platform or database."""
    for namespace in ("microlite.platform", "gone"):
        said = await live("--namespace", namespace, "doctor", "-o", "json")
        found = {one["check"]: one for one in json.loads(said.out)}
        assert (found["platform"]["verdict"], found["database"]["verdict"]) == ("ok", "ok")
    assert found["log-in"]["verdict"] == "warning"
    assert found["log-in"]["mend"] == "microlite user namespace set default"
