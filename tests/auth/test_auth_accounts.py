"""Accounts: who may make and change them, what ends with a change, and how one logs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from microlite.core import errors
from microlite.core.audit.audit import Wanted
from microlite.core.auth.passwords import CHEAP, LONGEST, MOST_WAITING, Cost, Passwords
from microlite.core.auth.throttle import MOST_REMEMBERED, PER_ACCOUNT, PER_ADDRESS, WINDOW, Throttle
from microlite.core.clock import ManualClock
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE, SERVICE, Account
from microlite.core.engine.api import Batch, Committed
from tests.auth.conftest import SECRET, Place, by

ADMIN = PLATFORM_ADMIN


async def create(place: Place, actor: Account | None = ADMIN, namespace: str = "shop", **given: Any) -> Any:
    return await place.auth.accounts.create(by(actor or ADMIN, namespace), actor, **given)


async def update(place: Place, id: str, actor: Account | None = ADMIN, namespace: str = "shop", **given: Any) -> Any:
    return await place.auth.accounts.update(by(actor or ADMIN, namespace), actor, id, **given)


# -- making them -------------------------------------------------------------------------------------------------------


async def test_an_account_is_made_and_logs_in_by_id_or_name(place: Place) -> None:
    made = await create(place, id="ann", name="Ann Lee", scopes=["buyer"], metadata={"team": "shop"}, secret=SECRET)
    assert (made.id, made.name, made.scopes, made.metadata) == ("ann", "Ann Lee", ("buyer",), {"team": "shop"})
    assert (made.created, made.created_by, made.namespace) == (place.clock.now(), "admin", "shop")
    for name in ("ann", "ANN", "Ann Lee", " ann lee "):
        token = await place.auth.log_in.by_secret("shop", name, SECRET)
        found = await place.auth.authenticator.authenticate(token.access_token)
        assert (found.account, found.name, found.scopes, found.metadata) == (
            "ann",
            "Ann Lee",
            ("buyer",),
            {"team": "shop"},
        )
    with pytest.raises(errors.Unauthorized):
        await place.auth.log_in.by_secret("other", "ann", SECRET)


async def test_what_is_not_given_is_made_up(place: Place) -> None:
    one, two = await create(place), await create(place)
    assert one.id != two.id
    assert one.secret != two.secret
    assert len(one.secret) >= 43
    await place.auth.log_in.by_secret("shop", one.id, one.secret)


async def test_ids_and_names_are_unique_together_in_whatever_letters(place: Place) -> None:
    await create(place, id="ann", name="boss")
    ids: list[dict[str, Any]] = [{"id": "ann"}, {"id": "ANN"}, {"id": "boss"}, {"id": "Boss"}]
    names: list[dict[str, Any]] = [{"id": "bob", "name": "Ann"}, {"id": "bob", "name": "BOSS"}]
    for given in ids:
        with pytest.raises(errors.BadRequest, match="Account with this ID already exists"):
            await create(place, **given)
    for given in names:
        with pytest.raises(errors.BadRequest, match="Account with this Name already exists"):
            await create(place, **given)
    await create(place, id="bob")
    with pytest.raises(errors.BadRequest, match="Account with this Name already exists"):
        await update(place, "bob", name="boss")
    await update(place, "ann", name="chief")
    await update(place, "bob", name="boss")
    await create(place, id="ann", namespace="other", actor=PLATFORM_ADMIN)
    results = await asyncio.gather(*(create(place, id="one") for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_mistakes_are_named(place: Place) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"id": "-x"}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "a", "name": "x" * 129}, "name"),
        ({"id": "a", "name": "two\nlines"}, "name"),
        ({"id": "a", "type": "robot"}, "type"),
        ({"id": "a", "scopes": ["Not One"]}, "scope"),
        ({"id": "a", "scopes": ["service"]}, "scope of services"),
        ({"id": "a", "metadata": {"x": "y" * 3000}}, "metadata"),
        ({"id": "a", "secret": "short"}, "too short"),
        ({"id": "a", "secret": "x" * (LONGEST + 1)}, "too long"),
        ({"id": "store", "type": SERVICE}, "built-in"),
        ({"id": "No Service", "type": SERVICE}, "service"),
    ]
    for given, word in mistakes:
        with pytest.raises(errors.BadRequest, match=word):
            await create(place, **given)
    assert await place.auth.accounts.page("shop") == []


async def test_accounts_are_listed_page_by_page(place: Place) -> None:
    for number in range(25):
        await create(place, id=f"user-{number:02}")
    found: list[str] = []
    while page := await place.auth.accounts.page("shop", found[-1] if found else "", 10):
        assert len(page) <= 10
        found += [one.id for one in page]
    assert found == [f"user-{number:02}" for number in range(25)]
    assert await place.auth.accounts.page("other") == []


async def test_a_service_account_has_the_scope_of_services(place: Place) -> None:
    await create(place, id="mailer", type=SERVICE, scopes=["service", "mail:send"], secret=SECRET)
    token = await place.auth.log_in.by_secret("shop", "mailer", SECRET)
    found = await place.auth.authenticator.authenticate(token.access_token)
    assert (found.type, found.scopes) == (SERVICE, ("service", "mail:send"))


# -- escalation --------------------------------------------------------------------------------------------------------

INTRUDERS = {
    "nobody": None,
    "a plain account": Account(id="eve", namespace="shop", scopes=("buyer",)),
    "a service": Account(id="mailer", type=SERVICE, namespace="shop", scopes=("service",)),
    "an admin of elsewhere": Account(id="boss", namespace="elsewhere", scopes=("admin",)),
    "an account of the platform": Account(id="watcher", namespace=PLATFORM_NAMESPACE, scopes=("viewer",)),
    "a token of an admin without his scope": Account(id="root", namespace="shop"),
}


@pytest.mark.parametrize("who", INTRUDERS)
async def test_nobody_makes_or_changes_accounts_without_operating_the_namespace(place: Place, who: str) -> None:
    actor = INTRUDERS[who]
    await place.account("ann", "admin")
    accounts, origin = place.auth.accounts, by(actor or ADMIN)
    acts: list[Callable[[], Awaitable[object]]] = [
        lambda: accounts.create(origin, actor, id="eve2", scopes=["admin"]),
        lambda: accounts.create(origin, actor, id="eve2"),
        lambda: accounts.update(origin, actor, "ann", disabled=True),
        lambda: accounts.update(origin, actor, "ann", scopes=[]),
        lambda: accounts.delete(origin, actor, "ann"),
        lambda: accounts.change_secret(origin, actor, "ann", "a new secret", ""),
        lambda: accounts.change_secret(origin, actor, "ann", "a new secret", SECRET),
    ]
    for act in acts:
        with pytest.raises(errors.Forbidden):
            await act()
    (left,) = await accounts.page("shop")
    assert (left.id, left.scopes, left.disabled) == ("ann", ("admin",), False)
    await place.auth.log_in.by_secret("shop", "ann", SECRET)


async def test_accounts_of_the_platform_are_for_its_admin_only(place: Place) -> None:
    with pytest.raises(errors.Forbidden):
        await create(
            place,
            Account(id="root", namespace="shop", scopes=("admin",)),
            PLATFORM_NAMESPACE,
            id="eve",
            scopes=["admin"],
        )
    with pytest.raises(errors.BadRequest):
        await create(place, PLATFORM_ADMIN, PLATFORM_NAMESPACE, id="Admin", secret=SECRET)
    with pytest.raises(errors.BadRequest):
        await create(place, PLATFORM_ADMIN, PLATFORM_NAMESPACE, id="bob", name="admin")
    await create(place, PLATFORM_ADMIN, PLATFORM_NAMESPACE, id="ops", scopes=["admin"], secret=SECRET)
    token = await place.auth.log_in.by_secret(PLATFORM_NAMESPACE, "ops", SECRET)
    await place.auth.authenticator.authenticate(token.access_token)
    found = place.auth.authenticator.known(token.access_token)
    assert found is not None
    assert found.is_platform_admin
    await create(place, found, id="made-by-ops", scopes=["admin"])
    with pytest.raises(errors.BadRequest, match="Name already"):
        await update(place, "ops", PLATFORM_ADMIN, PLATFORM_NAMESPACE, name="admin")


async def test_an_account_keeps_itself_in(place: Place) -> None:
    ann = await place.account("ann", "admin", "buyer")
    with pytest.raises(errors.Forbidden, match="cannot delete itself"):
        await place.auth.accounts.delete(by(ann), ann, "ANN")
    with pytest.raises(errors.Forbidden, match="cannot disable itself"):
        await update(place, "ann", ann, disabled=True)
    with pytest.raises(errors.Forbidden, match="cannot take scopes from itself"):
        await update(place, "ann", ann, scopes=["buyer"])
    await update(place, "ann", ann, scopes=["admin", "buyer", "seller"], name="Ann")


# -- what ends ---------------------------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {
    "deleted": lambda place: place.auth.accounts.delete(by(ADMIN), ADMIN, "ann"),
    "disabled": lambda place: update(place, "ann", disabled=True),
    "other scopes": lambda place: update(place, "ann", scopes=["seller"]),
    "another secret": lambda place: place.auth.accounts.change_secret(by(ADMIN), ADMIN, "ann", "another secret", ""),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_change_of_rights_or_secret_ends_all_log_ins(place: Place, change: str, restart: bool) -> None:
    ann = await place.account("ann", "buyer")
    other = await place.account("bob")
    token, others = [await place.auth.log_in.by_secret("shop", one.id, SECRET) for one in (ann, other)]
    session, sessions = [await place.auth.web_sessions.open(one, "shop") for one in (ann, other)]
    await place.auth.authenticator.authenticate(token.access_token)
    await CHANGES[change](place)
    if restart:
        await place.again()
    assert place.auth.authenticator.known(token.access_token) is None
    with pytest.raises(errors.Unauthorized):
        await place.auth.authenticator.authenticate(token.access_token)
    with pytest.raises(errors.Unauthorized):
        await place.auth.log_in.by_refresh_token(token.refresh_token)
    assert not await place.auth.web_sessions.lasts(session)
    assert await place.auth.web_sessions.find(session) is None
    await place.auth.authenticator.authenticate(others.access_token)
    assert await place.auth.web_sessions.find(sessions) is not None


async def test_a_change_of_nothing_that_matters_logs_nobody_out(place: Place) -> None:
    await place.account("ann", "buyer", "seller")
    token = await place.auth.log_in.by_secret("shop", "ann", SECRET)
    await update(place, "ann", name="Ann", metadata={"a": "b"}, scopes=["seller", "buyer"], disabled=False)
    await place.auth.authenticator.authenticate(token.access_token)
    await place.auth.log_in.by_refresh_token(token.refresh_token)


async def test_a_revocation_holds_although_whoever_asked_is_gone(place: Place) -> None:
    await place.account("ann")
    token = await place.auth.log_in.by_secret("shop", "ann", SECRET)
    await place.auth.authenticator.authenticate(token.access_token)
    committing, ended = asyncio.Event(), asyncio.Event()
    commit = place.engine.commit

    async def noticed(batch: Batch) -> Committed:
        committing.set()
        return await commit(batch)

    place.engine.commit = noticed  # type: ignore[method-assign]  # so that it is known when it has begun
    place.auth.marks.subscribe(lambda _: ended.set())
    deleting = asyncio.create_task(place.auth.accounts.delete(by(ADMIN), ADMIN, "ann"))
    await committing.wait()
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    await ended.wait()
    assert place.auth.authenticator.known(token.access_token) is None


async def test_a_secret_is_changed_by_who_knows_it_or_operates_the_namespace(place: Place) -> None:
    ann = await place.account("ann", "admin")
    accounts = place.auth.accounts
    for wrong in ("", "not the secret"):
        with pytest.raises(errors.Forbidden, match="old_secret"):
            await accounts.change_secret(by(ann), ann, "ann", "a new secret", wrong)
    with pytest.raises(errors.BadRequest, match="too short"):
        await accounts.change_secret(by(ann), ann, "ann", "new", SECRET)
    await accounts.change_secret(by(ann), ann, "ann", "a new secret", SECRET)
    with pytest.raises(errors.Unauthorized):
        await place.auth.log_in.by_secret("shop", "ann", SECRET)
    await accounts.change_secret(by(ADMIN), ADMIN, "ann", "the third secret", "")
    await place.auth.log_in.by_secret("shop", "ann", "the third secret")


async def test_every_act_is_in_the_audit_log_and_no_secret_is(place: Place) -> None:
    await create(place, id="ann", secret=SECRET, scopes=["buyer"])
    await update(place, "ann", disabled=True)
    await place.auth.accounts.change_secret(by(ADMIN), ADMIN, "ann", "another secret", "")
    await place.auth.accounts.delete(by(ADMIN), ADMIN, "ann")
    found, _ = await place.audit.page("shop", Wanted())
    assert [one.act.action for one in reversed(found)] == [
        "auth.accounts.create",
        "auth.accounts.update",
        "auth.accounts.change-secret",
        "auth.accounts.delete",
    ]
    assert {one.act.resource for one in found} == {"account:ann"}
    assert {one.act.actor for one in found} == {"admin"}
    for one in found:
        assert SECRET not in str(one)
        assert "another secret" not in str(one)


# -- logging in --------------------------------------------------------------------------------------------------------


async def test_who_fails_is_told_the_same_whether_there_is_such_an_account_or_not(place: Place) -> None:
    await place.account("ann")
    await place.account("off")
    await update(place, "off", disabled=True)
    told = set()
    for name, secret in (
        ("ann", "wrong secret"),
        ("ghost", SECRET),
        ("off", SECRET),
        ("\n", "x"),
        ("x" * 5000, "y" * 5000),
    ):
        with pytest.raises(errors.Unauthorized) as raised:
            await place.auth.log_in.by_secret("shop", name, secret)
        told.add(raised.value.detail)
    with pytest.raises(errors.Unauthorized) as raised:
        await place.auth.log_in.by_secret("no-such-namespace", "ann", SECRET)
    assert told == {raised.value.detail}


async def test_an_account_that_is_not_there_costs_as_much_as_a_wrong_secret() -> None:
    """With hashes that cost enough to be measured; the best of some, since others use the machine too."""
    passwords = Passwords(Cost(memory=4_096, passes=4))
    hash_of_ann = await passwords.hash(SECRET)
    await passwords.verify(None, "wrong")

    times: dict[str | None, list[float]] = {hash_of_ann: [], None: []}
    for _ in range(25):
        for kept, taken in times.items():
            begun = time.perf_counter()
            assert not await passwords.verify(kept, "wrong")
            taken.append(time.perf_counter() - begun)
    passwords.close()
    assert 0.4 < min(times[hash_of_ann]) / min(times[None]) < 2.5


async def test_hashes_beyond_what_can_wait_are_refused() -> None:
    passwords = Passwords(CHEAP)
    results = await asyncio.gather(*(passwords.hash(f"s{n}") for n in range(MOST_WAITING + 8)), return_exceptions=True)
    refused = [one for one in results if isinstance(one, errors.TooManyRequests)]
    assert len(refused) == 8
    assert await passwords.verify(await passwords.hash(SECRET), SECRET)  # and then it goes on
    passwords.close()


async def test_a_hash_of_another_cost_is_made_anew_when_its_owner_logs_in(place: Place) -> None:
    await place.account("ann")
    old = await place.auth.accounts.find("shop", "ann")
    assert old is not None
    place.auth._passwords._cost = Cost(memory=16, passes=1)
    place.auth._passwords._hasher = None
    await place.auth.log_in.by_secret("shop", "ann", SECRET)
    new = await place.auth.accounts.find("shop", "ann")
    assert new is not None
    assert new.hash != old.hash
    assert new.stamp == old.stamp
    await place.auth.log_in.by_secret("shop", "ann", SECRET)


async def test_too_many_attempts_for_an_account_are_refused_until_some_time_has_passed(place: Place) -> None:
    await place.account("ann")

    async def attempt(secret: str, address: str = "") -> None:
        await place.auth.log_in.by_secret("shop", "ann", secret, address=address)

    for number in range(PER_ACCOUNT - 1):
        with pytest.raises(errors.Unauthorized):
            await attempt("wrong secret", f"10.0.0.{number}")
    await attempt(SECRET)  # a good one begins anew
    for number in range(PER_ACCOUNT):
        with pytest.raises(errors.Unauthorized):
            await attempt("wrong secret", f"10.0.1.{number}")
    with pytest.raises(errors.TooManyRequests, match=r"try again in \d+ s"):
        await attempt(SECRET)
    place.clock.advance(WINDOW)
    await attempt(SECRET)


async def test_attempts_by_name_and_by_id_are_those_of_one_account(place: Place) -> None:
    await create(place, id="ann", name="Ann Lee", secret=SECRET)
    for number in range(PER_ACCOUNT):
        with pytest.raises(errors.Unauthorized):
            await place.auth.log_in.by_secret("shop", ("ann", "ANN", "Ann Lee")[number % 3], "wrong secret")
    with pytest.raises(errors.TooManyRequests):
        await place.auth.log_in.by_secret("shop", "ann lee", SECRET)


async def test_the_tokens_of_a_namespace_end_with_it(place: Place) -> None:
    await place.account("ann")
    await create(place, PLATFORM_ADMIN, "other", id="bob", secret=SECRET)
    ann, bob = [await place.auth.log_in.by_secret(*who, SECRET) for who in (("shop", "ann"), ("other", "bob"))]
    for token in (ann, bob):
        await place.auth.authenticator.authenticate(token.access_token)
    await place.auth.forget_namespace("shop")
    assert place.auth.authenticator.known(ann.access_token) is None
    with pytest.raises(errors.Unauthorized):
        await place.auth.authenticator.authenticate(ann.access_token)
    assert place.auth.authenticator.known(bob.access_token) is not None


async def test_too_many_attempts_from_an_address_are_refused(place: Place) -> None:
    await place.account("ann")
    for number in range(PER_ADDRESS):
        with pytest.raises(errors.Unauthorized):
            await place.auth.log_in.by_secret("shop", f"user-{number}", "wrong secret", address="10.0.0.1")
    with pytest.raises(errors.TooManyRequests):
        await place.auth.log_in.by_secret("shop", "ann", SECRET, address="10.0.0.1")
    await place.auth.log_in.by_secret("shop", "ann", SECRET, address="10.0.0.2")
    place.clock.advance(WINDOW)
    await place.auth.log_in.by_secret("shop", "ann", SECRET, address="10.0.0.1")


async def test_attempts_at_the_same_moment_are_all_counted(place: Place) -> None:
    await place.account("ann")
    attempts = [place.auth.log_in.by_secret("shop", "ann", f"wrong {n}", address="10.0.0.1") for n in range(30)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, errors.Unauthorized) for one in results) == PER_ACCOUNT
    assert sum(isinstance(one, errors.TooManyRequests) for one in results) == 30 - PER_ACCOUNT


def test_what_is_remembered_of_attempts_is_bounded() -> None:
    throttle = Throttle(ManualClock())
    for number in range(MOST_REMEMBERED + 500):
        throttle.begin(f"shop/user-{number}", f"10.{number}")
    assert len(throttle._accounts._times) == MOST_REMEMBERED
    assert len(throttle._addresses._times) == MOST_REMEMBERED


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        ([f"2001:db8:0:1::{number:x}" for number in range(60)], PER_ADDRESS),
        ([f"2001:db8:0:1:{number:x}::1%eth0" for number in range(60)], PER_ADDRESS),
        ([f"2001:db8:0:{number:x}::1" for number in range(60)], 60),
        (["::ffff:192.0.2.1", "192.0.2.1"] * 30, PER_ADDRESS),
        ([f"192.0.2.{number}" for number in range(60)], 60),
    ],
)
def test_who_has_a_network_has_no_more_attempts_than_who_has_an_address(addresses: list[str], taken: int) -> None:
    throttle = Throttle(ManualClock())
    counted = 0
    for number, address in enumerate(addresses):
        try:
            throttle.begin(f"shop/{number}", address)
        except errors.TooManyRequests:
            continue
        counted += 1
    assert counted == taken


# -- admins who act at the same moment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["delete", "disable", "demote"])
async def test_of_two_admins_who_remove_each_other_one_stays(act: str, place: Place) -> None:
    accounts = place.auth.accounts
    both = [await place.account(who, "admin") for who in ("ann", "bob")]

    async def remove(actor: Account, other: Account) -> None:
        if act == "delete":
            await accounts.delete(by(actor), actor, other.id)
        else:
            changed: dict[str, Any] = {"disabled": True} if act == "disable" else {"scopes": []}
            await accounts.update(by(actor), actor, other.id, **changed)

    outcomes = await asyncio.gather(remove(*both), remove(*reversed(both)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1, outcomes
    assert {type(outcome) for outcome in outcomes if outcome is not None} <= {errors.Conflict, errors.Forbidden}
    left = [one for one in await accounts.page("shop") if "admin" in one.scopes and not one.disabled]
    assert len(left) == 1


async def test_who_was_removed_while_his_call_was_on_its_way_makes_no_account(place: Place) -> None:
    """He was let in a moment before, and would come back by it."""
    ann = await place.account("ann", "admin")
    await place.auth.accounts.delete(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann")
    with pytest.raises(errors.Forbidden, match="no more"):
        await place.auth.accounts.create(by(ann), ann, id="back-door", scopes=["admin"], secret=SECRET)
