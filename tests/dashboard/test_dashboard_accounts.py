"""The pages of access, in a browser: accounts, tokens, rules, why a call is allowed, the audit log, keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
import pytest_asyncio

from tests.dashboard.browsing import Browsing, Desk, Scheme, expect
from tests.dashboard.conftest import Enter

SECRET = "correct horse 7"


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def accounts(desk: Desk) -> None:
    call = desk.bench.call
    await call("auth.accounts.create", id="ann", name="Ann Lee", secret=SECRET, scopes=["admin"])
    await call("auth.accounts.create", id="bob", secret=SECRET, scopes=["orders:read"])
    await call("auth.accounts.create", id="billing", type="service")


def row(browsing: Browsing, name: str) -> Any:
    head = browsing.page.get_by_role("rowheader", name=name, exact=True)
    return browsing.page.locator("tbody tr").filter(has=head)


async def secret_shown(browsing: Browsing) -> str:
    """What the page shows once. It stands in no address, and not in the page when that is loaded again."""
    page = browsing.page
    await expect(page.locator(".once")).to_contain_text("It is shown this once")
    secret = await page.locator(".once code").inner_text()
    assert secret not in page.url
    return secret


async def say_yes(browsing: Browsing, word: str) -> None:
    dialog = browsing.page.locator("#confirm")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name=word).click()


async def test_an_account_is_made_and_logs_in_by_the_secret_that_is_shown_once(enter: Enter) -> None:
    browsing = await enter()
    page = browsing.page
    await browsing.open("/access/accounts")
    await page.get_by_label("Id", exact=True).fill("new.one")
    await page.get_by_label("Name", exact=True).fill("Somebody New")
    await page.get_by_label("Scopes").fill("orders:read, orders:write")
    await page.get_by_label("Notes").fill("team = shop\n\nfloor=2")
    await page.get_by_role("button", name="Create", exact=True).click()
    secret = await secret_shown(browsing)
    await expect(row(browsing, "new.one")).to_contain_text("Somebody New")  # the list is renewed by itself
    await expect(row(browsing, "new.one")).to_contain_text("orders:write")
    await expect(page.get_by_label("Id", exact=True)).to_have_value("")
    await page.reload()
    assert secret not in await page.content()
    other = await enter(who=("new.one", secret))
    await other.open("/me")
    await expect(other.page.locator("main")).to_contain_text("Somebody New")
    await expect(other.page.locator("main")).to_contain_text("shop")


async def test_a_form_that_is_refused_says_so_in_itself_and_keeps_what_was_typed(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/access/accounts")
    for notes, problem in (("nonsense", "notes: line 1 is no key=value"), ("", "already exists")):
        await page.get_by_label("Id", exact=True).fill("bob")
        await page.get_by_label("Notes").fill(notes)
        await page.get_by_role("button", name="Create", exact=True).click()
        await expect(page.locator("form .trouble")).to_contain_text(problem)
        await expect(page.get_by_label("Id", exact=True)).to_have_value("bob")
    browsing.errors.clear()  # the browser counts each refusal as one


async def test_forms_work_without_scripts(enter: Enter) -> None:
    browsing = await enter(scripts=False)
    page = browsing.page
    await browsing.open("/access/accounts")
    await page.get_by_label("Id", exact=True).fill("plain")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator(".once")).to_contain_text("The secret of plain")
    await page.get_by_role("link", name="Back").click()
    await page.get_by_role("link", name="plain", exact=True).click()
    await page.get_by_label("Name", exact=True).fill("Plain Form")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Plain Form")).to_be_visible()
    await page.get_by_role("button", name="Delete plain").click()
    await expect(row(browsing, "plain")).to_have_count(0)


async def test_accounts_are_searched_and_come_in_pages(desk: Desk, browsing: Browsing) -> None:
    for number in range(52):
        await desk.bench.caller.call(
            "auth.accounts.create", id=f"many{number:02}", name=f"Page {number}", secret=SECRET
        )
    page, rows = browsing.page, browsing.page.locator("tbody tr")
    await browsing.open("/access/accounts?q=MANY")
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="Next page").click()
    await expect(rows).to_have_count(2)
    await page.get_by_role("link", name="First page").click()
    await expect(rows).to_have_count(50)
    await page.get_by_label("Id or name begins with").fill("page 51")
    await page.get_by_role("button", name="Show").click()
    await expect(rows).to_have_count(1)
    await page.get_by_label("Id or name begins with").fill("")
    await page.get_by_label("Kind").first.select_option("service")
    await page.get_by_role("button", name="Show").click()
    await expect(rows).to_have_count(1)
    await expect(row(browsing, "billing")).to_be_visible()
    await browsing.open("/access/accounts?q=nobody-is-called-so")
    await expect(page.get_by_text("No account is like that")).to_be_visible()


async def test_an_account_is_changed_disabled_and_deleted(desk: Desk, browsing: Browsing) -> None:
    await desk.bench.call("auth.accounts.create", id="eve", secret=SECRET)
    page = browsing.page
    await browsing.open("/access/account?id=eve")
    await page.get_by_label("Scopes").fill("admin")
    await page.get_by_label("Disabled").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".notice")).to_have_text("eve is changed")
    await expect(page.locator("#account")).to_contain_text("disabled")
    await expect(page.locator("#account")).to_contain_text("admin")
    record = await desk.bench.call("auth.accounts.read", id="eve")
    assert (record["disabled"], list(record["scopes"])) == (True, ["admin"])
    await page.get_by_role("button", name="Delete eve").click()
    await expect(page.locator("#confirm-text")).to_contain_text("Delete the account eve?")
    await page.locator("#confirm").get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Delete eve").click()
    await say_yes(browsing, "Delete")
    await expect(page).to_have_url(f"{desk.url}/access/accounts")
    await expect(row(browsing, "eve")).to_have_count(0)


async def test_a_secret_is_changed_for_somebody_who_has_lost_it(desk: Desk, browsing: Browsing, enter: Enter) -> None:
    await desk.bench.call("auth.accounts.create", id="fay", secret=SECRET)
    await browsing.open("/access/account?id=fay")
    await browsing.page.get_by_role("button", name="Change the secret").click()
    await say_yes(browsing, "Change the secret")
    secret = await secret_shown(browsing)
    assert secret != SECRET
    await enter(who=("fay", secret))


async def test_an_account_cannot_delete_itself_and_is_told_so(enter: Enter) -> None:
    browsing = await enter(who=("ann", SECRET))
    await browsing.open("/access/account?id=ann")
    await browsing.page.get_by_role("button", name="Delete ann").click()
    await say_yes(browsing, "Delete")
    await expect(browsing.page.locator("#refused")).to_contain_text("an account cannot delete itself")
    browsing.errors.clear()


async def test_one_changes_ones_own_secret_and_stays_logged_in(desk: Desk, enter: Enter) -> None:
    await desk.bench.call("auth.accounts.create", id="gil", secret=SECRET)
    here, there = await enter(who=("gil", SECRET)), await enter(who=("gil", SECRET))
    await there.open("/events")
    await there.live()
    page = here.page
    await here.open("/me")
    for old, again, problem in (("wrong secret", "another horse", "not the secret"), (SECRET, "other", "not the same")):
        await page.get_by_label("The one you have").fill(old)
        await page.get_by_label("The new one", exact=True).fill("another horse")
        await page.get_by_label("The new one again").fill(again)
        await page.get_by_role("button", name="Change it").click()
        await expect(page.locator("form .trouble")).to_contain_text(problem)
    await page.get_by_label("The one you have").fill(SECRET)
    await page.get_by_label("The new one", exact=True).fill("another horse")
    await page.get_by_label("The new one again").fill("another horse")
    await page.get_by_role("button", name="Change it").click()
    await expect(page.get_by_role("status").first).to_contain_text("Your secret is changed")
    await expect(there.page.get_by_role("heading", name="Log in")).to_be_visible()
    await enter(who=("gil", "another horse"))
    here.errors.clear()
    there.errors.clear()


async def test_a_personal_token_is_made_shown_once_and_revoked(desk: Desk, enter: Enter) -> None:
    browsing = await enter(who=("bob", SECRET))
    page = browsing.page
    await browsing.open("/access/tokens")
    await page.get_by_label("What it is for").fill("nightly import")
    await page.get_by_label("Scopes").fill("orders:read")
    await page.get_by_label("Expires in").fill("7d")
    await page.get_by_role("button", name="Create a token").click()
    token = await secret_shown(browsing)
    found = await desk.bench.call("auth.inspect", token=token)
    assert (found["account"], list(found["scopes"])) == ("bob", ["orders:read"])
    await expect(row(browsing, "nightly import")).to_contain_text("in 6 d")
    await page.get_by_role("button", name="Revoke nightly import").click()
    await say_yes(browsing, "Revoke")
    await expect(row(browsing, "nightly import")).to_have_count(0)
    await page.get_by_label("What it is for").fill("too much")
    await page.get_by_label("Scopes").fill("admin")
    await page.get_by_role("button", name="Create a token").click()
    await expect(page.locator("form .trouble")).to_contain_text("admin")
    browsing.errors.clear()


async def test_an_admin_makes_and_revokes_tokens_of_others(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/access/tokens?account=bob")
    await page.get_by_label("What it is for").fill("for the robot")
    await page.get_by_role("button", name="Create a token").click()
    await secret_shown(browsing)
    await expect(row(browsing, "for the robot")).to_contain_text("bob")
    await browsing.open(
        "/access/tokens"
    )  # who is at the machine has none, and sees those of all, as at the command line
    await expect(row(browsing, "for the robot")).to_contain_text("bob")
    await page.get_by_role("button", name="Revoke for the robot").click()
    await say_yes(browsing, "Revoke")
    await expect(row(browsing, "for the robot")).to_have_count(0)
    assert await desk.bench.call("auth.tokens.list", account="bob") == []


async def test_a_rule_is_made_decides_is_explained_and_deleted(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/access/rules")
    await expect(row(browsing, "default")).to_contain_text("everybody")
    await page.get_by_label("Name of the rule").fill("close-store")
    await page.get_by_label("Says").select_option("denied")
    await page.get_by_label("Priority").fill("7")
    await page.get_by_label("Called").fill("store")
    await page.get_by_label("Endpoint").fill("wri*")
    await expect(page.locator("#endpoints option[value='write']")).to_have_count(1)  # what the service has is suggested
    await page.get_by_label("To whom").select_option("scope")
    await page.get_by_label("Scope", exact=True).fill("orders:read")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator(".notice")).to_have_text("close-store decides from now on")
    await expect(page.locator("tbody tr").first).to_contain_text("close-store")  # it decides before all others
    await expect(row(browsing, "close-store")).to_contain_text("service:store:wri*")
    await page.get_by_role("link", name="Explain a call").click()
    for account, verdict, reason in (("bob", "denied", "'close-store' denies"), ("ann", "allowed", "")):
        await page.get_by_label("Which account calls").fill(account)
        await page.get_by_label("Called").fill("store")
        await page.get_by_label("Endpoint").fill("write")
        await page.get_by_role("button", name="Explain", exact=True).click()
        await expect(page.locator("#explanation .verdict")).to_have_text(verdict)
        await expect(page.locator("#explanation")).to_contain_text(reason)
    await browsing.open("/access/explain?account=bob&service=store&endpoint=write")
    await expect(page.locator("#explanation")).to_contain_text("close-store")
    await expect(page.locator("#explanation")).to_contain_text(re.compile(r"Set by\s*admin"))
    await expect(row(browsing, "default")).to_be_visible()
    await browsing.open("/access/explain?account=&service=store&endpoint=write")
    await expect(page.locator("#explanation")).to_contain_text("nobody: without an account")
    await browsing.open("/access/explain?account=no-such-one&service=store&endpoint=write")
    await expect(page.get_by_role("alert")).to_contain_text("no-such-one")
    await browsing.open("/access/rules")
    await page.get_by_role("button", name="Delete close-store").click()
    await say_yes(browsing, "Delete")
    await expect(row(browsing, "close-store")).to_have_count(0)


async def test_a_rule_that_would_lock_people_out_is_refused_where_one_sees_it(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/access/rules")
    await page.get_by_label("Name of the rule").fill("lock-out")
    await page.get_by_label("Says").select_option("denied")
    await page.get_by_label("Priority").fill("100")
    await page.get_by_label("Called").fill("auth")
    await page.get_by_role("button", name="Create", exact=True).click()
    trouble = page.locator("form .trouble")
    await expect(trouble).to_be_in_viewport()
    assert len(await trouble.inner_text()) > 40
    await expect(row(browsing, "lock-out")).to_have_count(0)
    browsing.errors.clear()


async def test_the_audit_log_is_filtered_and_grows_as_one_looks(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/access/audit")
    await browsing.live()
    await desk.bench.call("auth.accounts.create", id="hal", secret=SECRET)
    first = page.locator("#entries tbody tr").first
    await expect(first).to_contain_text("account:hal")
    await expect(first).to_contain_text("auth.accounts.create")
    assert SECRET not in await page.content()
    await page.get_by_label("Resource begins with").fill("account:hal")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.locator("#entries tbody tr")).to_have_count(1)
    await page.get_by_label("Until").fill("2020-01-01T00:00:00")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.get_by_text("Nothing in the log is like that")).to_be_visible()
    await page.get_by_role("link", name="Show all").click()
    await expect(page.locator("#entries tbody tr").nth(2)).to_be_visible()


async def test_a_new_key_signs_and_nobody_is_logged_out(desk: Desk, browsing: Browsing, enter: Enter) -> None:
    other = await enter(who=("bob", SECRET))
    page = browsing.page
    await browsing.open("/access/keys")
    before = await page.locator("#keys tbody tr").count()
    await page.get_by_role("button", name="Make a new key").click()
    await say_yes(browsing, "Make a new key")
    await expect(page.locator("#keys tbody tr")).to_have_count(before + 1)
    await expect(page.locator("#keys").get_by_text("signs", exact=True)).to_have_count(1)
    await other.open("/me")
    await expect(other.page.get_by_role("heading", name="Your account")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
async def test_the_pages_are_accessible_in_every_dress(desk: Desk, enter: Enter, scheme: Scheme, width: int) -> None:
    tokens = await desk.bench.call("auth.tokens.list", account="bob")
    if not tokens:
        await desk.bench.call(
            "auth.tokens.create", account="bob", name="a rather long name of a token", expires_in=86_400
        )
    browsing = await enter(scheme=scheme, width=width)
    for path in (
        *("/access/accounts", "/access/account?id=ann", "/access/tokens?account=bob", "/access/rules", "/access/audit"),
        *("/access/explain?account=bob&service=store&endpoint=write", "/access/keys", "/me", "/login", "/namespace"),
    ):
        await browsing.open(path)
        assert await browsing.complaints() == [], path
        too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await browsing.page.evaluate(too_wide), path
