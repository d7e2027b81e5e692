"""Logging in as an account, in a browser: what each sees, what is refused, and when one is out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from tests.dashboard.browsing import Desk, expect
from tests.dashboard.conftest import Enter
from tests.dashboard.test_dashboard_access import FORM, Client

SECRET = "correct horse 7"
ACCESS = ("Accounts", "Tokens", "Rules", "Explain", "Audit log", "Keys")


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def accounts(desk: Desk) -> None:
    create = "auth.accounts.create"
    await desk.bench.call(create, id="ann", name="Ann Lee", secret=SECRET, scopes=["admin"])
    await desk.bench.call(create, id="bob", secret=SECRET, scopes=["orders:read"], metadata={"team": "shop"})


@pytest_asyncio.fixture(loop_scope="session")
async def ask(desk: Desk) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(desk, session)


@pytest.mark.parametrize("name", ["ann", "Ann Lee"])
async def test_an_account_logs_in_by_its_id_or_name_and_out_again(enter: Enter, name: str) -> None:
    browsing = await enter(who=(name, SECRET))
    page = browsing.page
    await expect(page.locator("#who")).to_contain_text(re.compile(r"Ann Lee\s+in\s+default"))
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{browsing.desk.url}/login")
    await page.goto(browsing.desk.url)
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    browsing.errors.clear()  # the browser counts the 401 as one


async def test_logging_in_works_without_scripts(enter: Enter) -> None:
    browsing = await enter(who=("bob", SECRET), scripts=False)
    await browsing.page.locator("#who a").first.click()
    await expect(browsing.page.get_by_role("heading", name="Your account")).to_be_visible()
    await expect(browsing.page.locator("main")).to_contain_text("orders:read")
    await expect(browsing.page.locator("main")).to_contain_text("shop")


TRIES = [
    pytest.param("bob", "wrong secret", "default", id="wrong secret"),
    pytest.param("nobody-here", SECRET, "default", id="no such account"),
    pytest.param("bob", SECRET, "elsewhere", id="another namespace"),
    pytest.param("bob", "", "default", id="no secret"),
    pytest.param('"><img src=x>', SECRET, "default", id="markup"),
]


@pytest.mark.parametrize(("account", "secret", "namespace"), TRIES)
async def test_whoever_fails_is_told_nothing_about_accounts(
    ask: Client, account: str, secret: str, namespace: str
) -> None:
    """The same answer, whatever was wrong; what was typed as secret is not in it."""
    form = urlencode({"account": account, "secret": secret, "namespace": namespace})
    said = await ask("POST", "/login", form, Content_Type=FORM)
    assert said.code == 403
    assert "No account of this namespace has this secret." in said.text
    assert "Set-Cookie" not in said.headers
    assert said.headers["Cache-Control"] == "no-store"
    if secret:
        assert secret not in said.text
    assert "<img" not in said.text


async def test_who_tries_too_often_is_told_when_to_come_back(ask: Client) -> None:
    """For an account that there is and for one that there is not alike, with the right secret too."""
    await ask.desk.bench.call("auth.accounts.create", id="zoe", secret=SECRET)
    for account in ("zoe", "nobody-at-all"):
        for _ in range(20):
            said = await ask("POST", "/login", f"account={account}&secret=wrongwrong", Content_Type=FORM)
            if said.code == 429:
                break
        assert said.code == 429
        right = await ask("POST", "/login", f"account={account}&secret={SECRET}".replace(" ", "+"), Content_Type=FORM)
        assert right.code == 429
        seconds = int(right.headers["Retry-After"])
        assert 0 < seconds <= 60
        assert re.search(r"looked at in (\d+ seconds|a second)", right.text)


async def test_navigation_offers_what_the_account_may_read(enter: Enter) -> None:
    browsing = await enter(who=("bob", SECRET))
    found = await browsing.page.locator(".pages a").all_inner_texts()
    assert "Records" in found
    for hidden in ("Accounts", "Audit log", "Keys"):
        assert hidden not in found


async def test_an_admin_sees_the_pages_of_access_of_his_namespace(enter: Enter) -> None:
    browsing = await enter(who=("ann", SECRET))
    found = await browsing.page.locator(".pages a").all_inner_texts()
    assert [word for word in ACCESS if word in found] == ["Accounts", "Tokens", "Rules", "Explain", "Audit log"]


@pytest.mark.parametrize(
    "path", ["/access/accounts", "/access/audit", "/access/keys", "/access/account?id=ann", "/namespace"]
)
async def test_what_an_account_may_not_do_is_refused_with_the_reason(enter: Enter, path: str) -> None:
    browsing = await enter(who=("bob", SECRET))
    answer = await browsing.page.goto(f"{browsing.desk.url}{path}")
    assert answer is not None
    assert answer.status == 403
    await expect(browsing.page.get_by_role("heading", name="Not for this account")).to_be_visible()
    await expect(browsing.page.get_by_role("alert")).to_contain_text("bob")
    await expect(browsing.page.locator("#who")).to_contain_text("bob")
    assert await browsing.complaints() == []
    browsing.errors.clear()  # the browser counts the 403 as one


async def test_what_an_account_may_not_change_is_refused_as_well(ask: Client) -> None:
    """The page offers no such button; whoever sends the form all the same is told why it is refused."""
    token = await ask.log_in(account="bob", secret=SECRET)
    for path, form in (
        ("/access/accounts/create", "id=eve&scopes=admin"),
        ("/access/account/update", "id=bob&scopes=admin"),
        ("/access/rules/create", "id=r&service=*&endpoint=*"),
        ("/access/keys/rotate", ""),
        ("/namespace", "namespace=default"),
    ):
        said = await ask("POST", path, f"csrf={token}&{form}", Content_Type=FORM)
        assert said.code == 403, path
        assert "bob" in said.text, path


async def test_every_form_of_access_wants_the_token_of_its_page(ask: Client) -> None:
    await ask.log_in()
    for path in (
        *("/access/accounts/create", "/access/account/update", "/access/account/secret", "/access/account/delete"),
        *("/access/tokens/create", "/access/tokens/delete", "/access/rules/create", "/access/rules/delete"),
        *("/access/keys/rotate", "/access/joins/create", "/access/joins/delete", "/me/secret", "/namespace"),
    ):
        said = await ask("POST", path, "id=bob&secret=another+secret", Content_Type=FORM)
        assert (said.code, "load it again" in said.text) == (403, True), path


async def test_an_account_that_is_disabled_is_out_at_once(desk: Desk, enter: Enter) -> None:
    """The page that it has open says so without a click, and nothing is answered any more."""
    await desk.bench.call("auth.accounts.create", id="cat", secret=SECRET)
    browsing = await enter(who=("cat", SECRET))
    await browsing.open("/events")
    await browsing.live()
    await desk.bench.call("auth.accounts.update", id="cat", disabled=True)
    await expect(browsing.page.get_by_role("heading", name="Log in")).to_be_visible()
    await desk.bench.call("auth.accounts.update", id="cat", disabled=False)
    await browsing.page.goto(f"{desk.url}/events")
    await expect(browsing.page.get_by_role("heading", name="Log in")).to_be_visible()
    browsing.errors.clear()


async def test_an_account_that_is_deleted_is_out_at_once(desk: Desk, ask: Client) -> None:
    await desk.bench.call("auth.accounts.create", id="dan", secret=SECRET)
    await ask.log_in(account="dan", secret=SECRET)
    assert (await ask("GET", "/me")).code == 200
    await desk.bench.call("auth.accounts.delete", id="dan")
    assert (await ask("GET", "/me")).code == 401


async def test_a_link_of_an_account_logs_it_in_and_nobody_else(desk: Desk, enter: Enter) -> None:
    browsing = await enter()
    await expect(browsing.page.locator("#who")).to_contain_text("admin")
    await browsing.open("/me")
    await expect(browsing.page.locator("main")).to_contain_text("You operate the platform")


async def test_who_operates_the_platform_chooses_the_namespace_that_is_shown(enter: Enter) -> None:
    """Of the platform's own one there are only the accounts."""
    browsing = await enter()
    page = browsing.page
    for namespace in ("microlite.platform", "default"):
        await page.locator("#who a").last.click()
        show = page.get_by_role("button", name=f"Show {namespace}")
        if await show.count():
            await show.click()
        else:
            await page.get_by_label("Namespace").fill(namespace)
            await page.get_by_role("button", name="Show it").click()
        await expect(page.locator("#who")).to_contain_text(re.compile(rf"admin\s+in\s+{namespace}"))
        found = await page.locator(".pages a").all_inner_texts()
        assert "Accounts" in found
        assert ("Records" in found) is (namespace == "default")
    await browsing.open("/namespace")
    await browsing.page.reload()
    await expect(page.locator("#who")).to_contain_text("default")


async def test_no_cache_keeps_what_the_pages_of_access_answer(ask: Client) -> None:
    """Fragments and notices as well as pages, and above all what shows a secret."""
    token = await ask.log_in()
    for path in ("/access/accounts", "/access/endpoints?service=store", "/access/audit", "/me", "/login", "/alive"):
        assert (await ask("GET", path)).headers["Cache-Control"] == "no-store", path
    for scripted in (True, False):
        headers = {"HX-Request": "true"} if scripted else {}
        for path, form, code in (
            ("/access/accounts/create", f"id=kept-{scripted}".lower(), 200),
            ("/access/account/secret", f"id=kept-{scripted}".lower(), 200),
            ("/access/tokens/create", f"account=kept-{scripted}&name=n&expires=1d".lower(), 200),
            ("/access/account/update", f"id=kept-{scripted}&name=k{scripted}".lower(), 200 if scripted else 303),
            ("/access/rules/create", "id=", 400),
        ):
            said = await ask("POST", path, f"csrf={token}&{form}", Content_Type=FORM, **headers)
            assert (said.code, said.headers["Cache-Control"]) == (code, "no-store"), (path, said.text)
