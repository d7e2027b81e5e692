"""Tokens: whom they stand for, forged ones, those that hold no more, and what a restart does not forget."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.auth.api import Token
from microlite.core.auth.authenticator import MADE_FOR
from microlite.core.auth.keys import MOST as MOST_KEYS
from microlite.core.auth.log_ins import GRACE, IDLE, LONGEST
from microlite.core.auth.marks import LONGEST as LONGEST_SIGNED
from microlite.core.auth.opaque_tokens import parse_opaque
from microlite.core.auth.personal_tokens import LONGEST as LONGEST_PERSONAL
from microlite.core.auth.personal_tokens import MOST as MOST_PERSONAL
from microlite.core.auth.personal_tokens import TOUCH
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE, SERVICE, Account
from tests.auth.conftest import ADMIN_TOKEN, SECRET, Place, by


async def log_in(place: Place, id: str = "ann", **terms: Any) -> Token:
    return await place.auth.log_in.by_secret("shop", id, SECRET, **terms)


async def who(place: Place, token: str) -> Account:
    return (await place.auth.authenticator.authenticate(token)).as_account()


async def refused(place: Place, token: str) -> str:
    """Why a token opens nothing."""
    assert place.auth.authenticator.known(token) is None
    with pytest.raises(errors.Unauthorized) as raised:
        await place.auth.authenticator.authenticate(token)
    assert len(token) < 16 or token not in raised.value.detail
    return raised.value.detail


# -- whom a token stands for -------------------------------------------------------------------------------------------


async def test_an_access_token_stands_for_its_account(place: Place) -> None:
    ann = await place.account("ann", "buyer")
    token = (await log_in(place)).access_token
    assert place.auth.authenticator.known(token) is None
    assert await who(place, token) == ann
    assert place.auth.authenticator.known(token) == ann
    await place.again()
    assert await who(place, token) == ann


async def test_the_token_of_this_machine_stands_for_the_admin_of_the_platform(place: Place) -> None:
    assert await who(place, ADMIN_TOKEN) == PLATFORM_ADMIN
    for wrong in (ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), "", " ", "x" * 100_000):
        await refused(place, wrong)


async def test_an_access_token_expires(place: Place) -> None:
    await place.account()
    token = await log_in(place, lifetime=60.0)
    assert token.expires == place.clock.now() + 60
    await who(place, token.access_token)
    place.clock.advance(60)
    assert "expired" in await refused(place, token.access_token)


@pytest.mark.parametrize("lifetime", [0, -1, 9, LONGEST_SIGNED + 1, float("inf"), float("nan")])
async def test_nobody_gets_a_token_that_holds_for_ever(place: Place, lifetime: float) -> None:
    await place.account()
    with pytest.raises(errors.BadRequest, match="expires_in"):
        await log_in(place, lifetime=lifetime)


async def test_a_token_of_a_time_to_come_is_refused(place: Place) -> None:
    await place.account()
    token = (await log_in(place)).access_token
    place.clock.jump(-60)
    assert "clock" in await refused(place, token)


async def test_many_who_show_the_same_token_at_once_have_it_proven_once(place: Place) -> None:
    ann = await place.account()
    token = (await log_in(place)).access_token
    proofs = 0
    prove = place.auth.tokens.prove

    def count(token: str) -> Any:
        nonlocal proofs
        proofs += 1
        return prove(token)

    place.auth.tokens.prove = count  # type: ignore[method-assign]  # it is counted
    found = await asyncio.gather(*(who(place, token) for _ in range(50)))
    assert ({one.id for one in found}, proofs) == ({ann.id}, 1)


# -- forged ------------------------------------------------------------------------------------------------------------


def encode(part: object) -> str:
    return (
        base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=").decode()
    )


def decode(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_what_is_not_signed_by_this_platform_is_refused(place: Place) -> None:
    await place.account("ann")
    token = (await log_in(place)).access_token
    head, body, signature = token.split(".")
    header, claims = decode(head), decode(body)
    kid, key = place.auth.keys.signer()
    public = key.public_key()
    raw = public.public_bytes_raw()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    admin = {**claims, "scopes": ["admin"], "ns": PLATFORM_NAMESPACE, "sub": "admin", "marks": []}
    foreign = Ed25519PrivateKey.generate()

    def mac(secret: bytes, head: dict[str, Any]) -> str:
        signed = f"{encode(head)}.{encode(admin)}"
        return f"{signed}.{encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"

    def signed(key: Any, head: dict[str, Any], claims: dict[str, Any] = admin) -> str:
        text = f"{encode(head)}.{encode(claims)}"
        return f"{text}.{encode(key.sign(text.encode()))}"

    forged = {
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{token}.x",
        "other claims": f"{head}.{encode(admin)}.{signature}",
        "another account's signature": f"{encode({**header, 'kid': kid})}.{body}.{signature[:-4]}AAAA",
        "algorithm none": f"{encode({**header, 'alg': 'none'})}.{encode(admin)}.",
        "algorithm None": f"{encode({**header, 'alg': 'None'})}.{encode(admin)}.{signature}",
        "HMAC with the public key": mac(raw, {**header, "alg": "HS256"}),
        "HMAC with the public key as PEM": mac(pem, {**header, "alg": "HS256"}),
        "HMAC with the key in the JWKS": mac(
            place.auth.keys.document()["keys"][0]["x"].encode(), {**header, "alg": "HS256"}
        ),
        "a foreign key": signed(foreign, header),
        "a foreign key under its own name": signed(foreign, {**header, "kid": "foreign"}),
        "a key that comes along": signed(
            foreign,
            {**header, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": encode(foreign.public_key().public_bytes_raw())}},
        ),
        "a key from elsewhere": signed(foreign, {**header, "jku": "http://evil.example/jwks.json"}),
        "a path for a key": signed(foreign, {**header, "kid": "../../../../dev/null"}),
        "no key": signed(foreign, {"alg": "EdDSA", "typ": "at+jwt"}),
        "a key that is no text": signed(foreign, {**header, "kid": 1}),
        "another type": signed(key, {**header, "typ": "ticket+jwt"}),
        "no type": signed(key, {"alg": "EdDSA", "kid": kid}),
        "an extension that must be understood": signed(key, {**header, "crit": ["exp"]}),
        "another issuer": signed(key, header, {**claims, "iss": "evil"}),
        "another audience": signed(key, header, {**claims, "aud": "evil"}),
        "no end": signed(key, header, {name: value for name, value in claims.items() if name != "exp"}),
        "an end that is no number": signed(key, header, {**claims, "exp": "9999999999"}),
        "scopes that are no list": signed(key, header, {**claims, "scopes": "admin"}),
        "a payload that is no object": signed(key, header, [1]),  # type: ignore[arg-type]  # that is what it tries
        "nothing": "..",
        "not base 64": "e30.!!!.???",
        "bytes that are no text": "\ud800.\ud800.\ud800",
        "too long": f"{head}.{body}.{'A' * 10_000}",
    }
    for how, one in forged.items():
        try:
            await refused(place, one)
        except BaseException as error:
            raise AssertionError(how) from error
    assert jwt.decode(token, public, ["EdDSA"], audience="microlite", options={"verify_exp": False})["sub"] == "ann"
    await who(place, token)


async def test_a_token_that_was_cut_or_changed_anywhere_is_refused(place: Place) -> None:
    await place.account()
    token = (await log_in(place)).access_token
    for size in range(0, len(token), 7):
        await refused(place, token[:size])
    for at in range(0, len(token), 11):
        swapped = "A" if token[at] not in "A." else "B"
        if token[at] != "." and at != len(token) - 1:
            await refused(place, token[:at] + swapped + token[at + 1 :])


@given(st.text(max_size=200) | st.from_regex(r"ml[a-z]_[a-z]{1,8}~[a-z0-9.]{0,20}~.{0,60}"))
def test_whatever_is_shown_has_parts_or_none(token: str) -> None:
    parsed = parse_opaque(token)
    assert parsed is None or str(parsed) == token


async def test_tokens_of_another_platform_open_nothing_here(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other", place.clock)
    other.home.mkdir()
    await other.open()
    for one in (place, other):
        await one.account()
    token = await log_in(other)
    personal = await make_personal(other)
    await other.close()
    for shown in (token.access_token, token.refresh_token, personal):
        await refused(place, shown)
    with pytest.raises(errors.Unauthorized):
        await place.auth.log_in.by_refresh_token(token.refresh_token)


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_a_new_key_signs_at_once_and_logs_nobody_out(place: Place) -> None:
    await place.account()
    before = await log_in(place, lifetime=LONGEST_SIGNED)
    made = place.auth.keys.rotate()
    after = await log_in(place)
    assert jwt.get_unverified_header(after.access_token)["kid"] == made.id
    await place.again()
    for token in (before, after):
        await who(place, token.access_token)
    assert place.auth.keys.document()["keys"][0]["kid"] == made.id
    renewed = await place.auth.log_in.by_refresh_token(before.refresh_token)
    await who(place, renewed.access_token)


async def test_a_key_goes_when_the_last_token_that_it_signed_has_expired(place: Place) -> None:
    await place.account()
    first = place.auth.keys.shown()[0]
    token = await log_in(place, lifetime=LONGEST_SIGNED)
    place.auth.keys.rotate()
    place.clock.advance(LONGEST_SIGNED - 1)
    await who(place, token.access_token)
    assert first.id in [key.id for key in place.auth.keys.shown()]
    place.clock.advance(60)
    assert first.id not in [key.id for key in place.auth.keys.shown()]
    assert len(place.auth.keys.document()["keys"]) == 1
    await place.again()
    assert len(place.auth.keys.shown()) == 1


async def test_keys_do_not_pile_up(place: Place) -> None:
    for _ in range(MOST_KEYS - 1):
        place.auth.keys.rotate()
    with pytest.raises(errors.TooManyRequests, match="can be made in"):
        place.auth.keys.rotate()
    place.clock.advance(2 * LONGEST_SIGNED)
    place.auth.keys.rotate()
    assert len(place.auth.keys.shown()) == 2


async def test_private_keys_are_in_a_file_of_their_owner_and_nowhere_else(place: Place) -> None:
    await place.account()
    await log_in(place)
    path = place.home / "auth.keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = json.loads(path.read_bytes())
    private = [kept["private"] for kept in written["keys"].values()] + [written["refresh"]]
    await place.close()
    others = b"".join(one.read_bytes() for one in place.home.iterdir() if one != path)
    for secret in private:
        assert secret.encode() not in others
        assert base64.b64decode(secret) not in others
    assert b"d" not in [name for key in place.auth.keys.document()["keys"] for name in key]
    path.chmod(0o640)
    await place.open()
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        place.auth.keys.signer()
    path.chmod(0o600)


# -- refresh tokens ----------------------------------------------------------------------------------------------------


async def renew(place: Place, token: str) -> Token:
    return await place.auth.log_in.by_refresh_token(token)


async def test_a_refresh_token_gives_the_next_pair_and_opens_nothing_itself(place: Place) -> None:
    ann = await place.account()
    first = await log_in(place)
    assert "auth.token" in await refused(place, first.refresh_token)
    second = await renew(place, first.refresh_token)
    assert second.refresh_token != first.refresh_token
    assert await who(place, second.access_token) == ann
    await place.again()
    third = await renew(place, second.refresh_token)
    assert await who(place, third.access_token) == ann


async def test_a_client_that_lost_the_answer_gets_the_same_one_again(place: Place) -> None:
    await place.account()
    first = await log_in(place)
    second = await renew(place, first.refresh_token)
    place.clock.advance(GRACE - 1)
    again = await renew(place, first.refresh_token)
    assert again.refresh_token == second.refresh_token
    await who(place, (await renew(place, again.refresh_token)).access_token)


async def test_two_processes_that_renew_at_once_both_go_on(place: Place) -> None:
    await place.account()
    first = await log_in(place)
    pairs = await asyncio.gather(*(renew(place, first.refresh_token) for _ in range(8)))
    assert len({pair.refresh_token for pair in pairs}) == 1
    for pair in pairs:
        await who(place, pair.access_token)


async def test_a_refresh_token_that_comes_back_later_ends_its_log_in_for_all(place: Place) -> None:
    await place.account()
    stolen = await log_in(place)
    honest = await renew(place, stolen.refresh_token)
    other = await log_in(place)
    await who(place, honest.access_token)
    place.clock.advance(GRACE)
    with pytest.raises(errors.Unauthorized, match="used before"):
        await renew(place, stolen.refresh_token)
    await refused(place, honest.access_token)
    await place.again()
    await refused(place, honest.access_token)
    with pytest.raises(errors.Unauthorized):
        await renew(place, honest.refresh_token)
    await who(place, other.access_token)  # another log-in of the same account goes on


async def test_the_one_before_the_last_ends_it_at_any_time(place: Place) -> None:
    await place.account()
    first = await log_in(place)
    second = await renew(place, first.refresh_token)
    third = await renew(place, second.refresh_token)
    with pytest.raises(errors.Unauthorized, match="used before"):
        await renew(place, first.refresh_token)
    with pytest.raises(errors.Unauthorized):
        await renew(place, third.refresh_token)


async def test_a_refresh_token_that_was_made_up_ends_nothing(place: Place) -> None:
    """Else whoever knows the id of a log-in, which access tokens show, could end it."""
    await place.account()
    first = await log_in(place)
    kind, rest = first.refresh_token.split("_", 1)
    namespace, first_id, secret = rest.split("~")
    family = first_id.partition(".")[0]
    made_up = [
        f"{family}.0",
        f"{family}.2",
        f"{family}.01",
        f"{family}.-1",
        f"{family}.1.1",
        family,
        f"{family}.{'9' * 20}",
    ]
    for one in made_up:
        for what in (secret, "A" * 43):
            with pytest.raises(errors.Unauthorized):
                await renew(place, f"{kind}_{namespace}~{one}~{what}")
    for other in (
        f"{kind}_other~{first_id}~{secret}",
        f"mlp_{namespace}~{first_id}~{secret}",
        first.refresh_token[:-1],
    ):
        with pytest.raises(errors.Unauthorized):
            await renew(place, other)
    await who(place, (await renew(place, first.refresh_token)).access_token)


async def test_a_log_in_ends_unused_and_in_the_end(place: Place) -> None:
    await place.account()
    unused, used = await log_in(place), await log_in(place)
    token = used.refresh_token
    for _ in range(int(LONGEST / (IDLE / 2)) - 1):
        place.clock.advance(IDLE / 2)
        token = (await renew(place, token)).refresh_token
    with pytest.raises(errors.Unauthorized):
        await renew(place, unused.refresh_token)
    place.clock.advance(IDLE / 2)
    with pytest.raises(errors.Unauthorized):
        await renew(place, token)


async def test_the_database_holds_no_token(place: Place) -> None:
    await place.account()
    token = await renew(place, (await log_in(place)).refresh_token)
    personal = await make_personal(place)
    await place.close()
    written = b"".join(path.read_bytes() for path in place.home.iterdir())
    for secret in (token.access_token, token.refresh_token, personal, SECRET):
        assert secret.encode() not in written
        assert secret.rpartition("~")[2].encode() not in written
    await place.open()


# -- out ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["access", "refresh", "spent"])
async def test_logging_out_ends_the_log_in_and_nothing_else(place: Place, which: str) -> None:
    await place.account()
    first, other = await log_in(place), await log_in(place)
    second = await renew(place, first.refresh_token)
    for token in (first, second, other):
        await who(place, token.access_token)
    shown = {"access": second.access_token, "refresh": second.refresh_token, "spent": first.refresh_token}[which]
    await place.auth.log_in.out(shown)
    for restarted in (False, True):
        if restarted:
            await place.again()
        await refused(place, first.access_token)
        await refused(place, second.access_token)
        with pytest.raises(errors.Unauthorized):
            await renew(place, second.refresh_token)
        await who(place, other.access_token)
    await place.auth.log_in.out(second.refresh_token)  # again: no error


async def test_a_token_without_a_log_in_is_ended_by_itself(place: Place) -> None:
    await place.account()
    token, other = await log_in(place, renewable=False), await log_in(place, renewable=False)
    assert not token.refresh_token
    await who(place, token.access_token)
    await place.auth.log_in.out(token.access_token)
    await refused(place, token.access_token)
    await place.again()
    await refused(place, token.access_token)
    await who(place, other.access_token)


async def test_what_no_log_in_gave_cannot_be_logged_out(place: Place) -> None:
    await place.account()
    personal = await make_personal(place)
    for shown in (personal, ADMIN_TOKEN, "x", ""):
        with pytest.raises(errors.BadRequest):
            await place.auth.log_in.out(shown)
    await who(place, personal)


# -- personal access tokens --------------------------------------------------------------------------------------------


async def make_personal(
    place: Place, id: str = "ann", scopes: list[str] | None = None, lifetime: float = 3600.0, name: str = "ci"
) -> str:
    stored = await place.auth.accounts.find("shop", id)
    assert stored is not None
    actor = stored.account("shop")
    return (await place.auth.personal.create(by(actor), stored, name, scopes, lifetime)).token


async def test_a_personal_token_acts_with_the_scopes_it_was_given(place: Place) -> None:
    await place.account("ann", "buyer", "admin")
    assert (await who(place, await make_personal(place))).scopes == ("buyer", "admin")
    assert (await who(place, await make_personal(place, scopes=["buyer"]))).scopes == ("buyer",)
    assert (await who(place, await make_personal(place, scopes=[]))).scopes == ()
    with pytest.raises(errors.Forbidden, match="no scope 'seller'"):
        await make_personal(place, scopes=["seller"])


async def test_a_personal_token_never_grants_more_than_its_account_has_now(place: Place) -> None:
    await place.account("ann", "buyer", "admin")
    token = await make_personal(place)
    assert "admin" in (await who(place, token)).scopes
    await place.auth.accounts.update(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann", scopes=["buyer"])
    assert (await who(place, token)).scopes == ("buyer",)
    await place.auth.accounts.update(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann", disabled=True)
    assert "disabled" in await refused(place, token)
    await place.auth.accounts.update(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann", disabled=False)
    await who(place, token)
    await place.auth.accounts.delete(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann")
    await refused(place, token)
    await place.account("ann", "buyer", "admin")  # another one of the same name
    await refused(place, token)


async def test_a_personal_token_expires_and_is_deleted(place: Place) -> None:
    await place.account()
    short, long = await make_personal(place, lifetime=60), await make_personal(place, lifetime=LONGEST_PERSONAL)
    for token in (short, long):
        await who(place, token)
    place.clock.advance(60)
    await refused(place, short)
    await who(place, long)
    (left,) = await place.auth.personal.of("shop", "ann")
    with pytest.raises(errors.NotFound):
        await place.auth.personal.delete(by(PLATFORM_ADMIN), left.id, "bob")
    await place.auth.personal.delete(by(PLATFORM_ADMIN), left.id, "ann")
    await refused(place, long)
    await place.again()
    await refused(place, long)


async def test_the_use_of_a_personal_token_is_noted_once_a_minute_at_most(place: Place) -> None:
    await place.account()
    token = await make_personal(place)

    async def used() -> float:
        return (await place.auth.personal.of("shop", "ann"))[0].used

    assert await used() == 0
    await who(place, token)
    first = await used()
    assert first == place.clock.now()
    place.clock.advance(TOUCH / 2)
    await who(place, token)
    assert await used() == first
    place.clock.advance(TOUCH / 2)
    await who(place, token)
    assert await used() == place.clock.now()


async def test_personal_tokens_have_limits(place: Place) -> None:
    await place.account()
    for name in ("", " ", "x" * 200, "two\nlines"):
        with pytest.raises(errors.BadRequest, match="name"):
            await make_personal(place, name=name)
    for lifetime in (0.0, -1.0, LONGEST_PERSONAL + 1, float("nan")):
        with pytest.raises(errors.BadRequest, match="expires_in"):
            await make_personal(place, lifetime=lifetime)
    for _ in range(MOST_PERSONAL):
        await make_personal(place)
    with pytest.raises(errors.TooManyRequests, match="which is the most"):
        await make_personal(place)


# -- tokens that travel in place of others -----------------------------------------------------------------------------


async def test_in_place_of_a_personal_token_travels_a_signed_one_that_ends_with_it(place: Place) -> None:
    await place.account("ann", "buyer")
    authenticator = place.auth.authenticator
    personal = await make_personal(place, scopes=[])
    ann = await who(place, personal)
    signed = authenticator.token_for(ann, personal)
    assert signed.startswith("ey")
    assert authenticator.token_for(ann, personal) == signed
    assert await who(place, signed) == ann
    (left,) = await place.auth.personal.of("shop", "ann")
    await place.auth.personal.delete(by(PLATFORM_ADMIN), left.id, "ann")
    await refused(place, signed)
    await place.again()
    await refused(place, signed)


async def test_what_travels_in_place_of_a_personal_token_does_not_outlive_it(place: Place) -> None:
    await place.account("ann", "buyer")
    personal = await make_personal(place, lifetime=60)
    place.clock.advance(30)
    signed = place.auth.authenticator.token_for(await who(place, personal), personal)
    ends = (await place.auth.authenticator.authenticate(signed)).expires
    assert ends - place.clock.now() == 30
    place.clock.advance(30)
    await refused(place, signed)


async def test_a_made_token_ends_with_its_account(place: Place) -> None:
    ann = await place.account("ann", "buyer")
    signed = place.auth.authenticator.token_for(ann)
    assert await who(place, signed) == ann
    await place.auth.accounts.delete(by(PLATFORM_ADMIN), PLATFORM_ADMIN, "ann")
    await refused(place, signed)
    await refused(
        place, place.auth.authenticator.token_for(ann)
    )  # whoever holds on to the account makes none that holds


async def test_a_made_token_stands_for_the_admin_and_for_services(place: Place) -> None:
    mailer = Account(id="mailer", type=SERVICE, namespace="shop", scopes=("service",))
    for account in (PLATFORM_ADMIN, mailer):
        signed = place.auth.authenticator.token_for(account)
        assert await who(place, signed) == account
        place.clock.advance(MADE_FOR / 2)
        assert place.auth.authenticator.token_for(account) != signed
        await who(place, signed)


async def test_an_account_made_up_by_somebody_gets_no_token_that_holds(place: Place) -> None:
    nobody = Account(id="ghost", namespace="shop", scopes=("admin",))
    await refused(place, place.auth.authenticator.token_for(nobody))
