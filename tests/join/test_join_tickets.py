"""Tickets: each proves one node to those for whom it was made, for some minutes, and nothing else to anybody."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from microlite.core import errors
from microlite.core.auth.keys import Keys
from microlite.core.auth.ticket_signer import KeySigner
from microlite.core.auth.tickets import LIFETIME, Bearer, Tickets, Use, node_mark
from microlite.core.clock import ManualClock

ORDERS = Bearer(namespace="default", service="orders", node="orders-1")


class Issuer:
    """Tickets of one platform."""

    def __init__(self, home: Path) -> None:
        self.clock = ManualClock()
        self.keys = Keys(home, self.clock, kept=LIFETIME)
        self.signer = KeySigner(self.keys)
        self.revoked: list[str] = []
        self.tickets = Tickets(self.signer, self.clock, self.revoked.append)

    def claims(self, token: str) -> dict[str, Any]:
        return self.signer.verify(token)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "home")


def test_a_ticket_proves_its_node_to_the_platform_until_it_expires(issuer: Issuer) -> None:
    ticket = issuer.tickets.issue(ORDERS)
    assert issuer.tickets.prove(ticket.token) == ORDERS
    issuer.clock.advance(LIFETIME)
    with pytest.raises(errors.Unauthorized, match="expired"):
        issuer.tickets.prove(ticket.token)


def test_what_is_shown_to_others_proves_nothing_to_the_platform(issuer: Issuer) -> None:
    for shown in (issuer.tickets.issue(ORDERS).shown, issuer.tickets.issue(ORDERS, "stock-1").shown):
        with pytest.raises(errors.Unauthorized, match="another use"):
            issuer.tickets.prove(shown)


def test_what_is_shown_to_the_platform_proves_nothing_to_others(issuer: Issuer) -> None:
    with pytest.raises(errors.Unauthorized, match="another use"):
        issuer.tickets.meet(issuer.tickets.issue(ORDERS).token, "stock-1", Use.CALLER)


def test_a_ticket_for_one_node_cannot_be_shown_on_by_it(issuer: Issuer) -> None:
    shown = issuer.tickets.issue(ORDERS, "stock-1").shown
    assert issuer.tickets.meet(shown, "stock-1", Use.CALLER) == ORDERS
    with pytest.raises(errors.Unauthorized, match="for stock-1 to see, and was shown to billing-1"):
        issuer.tickets.meet(shown, "billing-1", Use.CALLER)


def test_who_is_called_and_who_calls_cannot_show_each_others_tickets(issuer: Issuer) -> None:
    ticket = issuer.tickets.issue(ORDERS)
    assert issuer.tickets.meet(ticket.shown, "stock-1", Use.CALLEE) == ORDERS
    for token, use in ((ticket.shown, Use.CALLER), (issuer.tickets.issue(ORDERS, "stock-1").shown, Use.CALLEE)):
        with pytest.raises(errors.Unauthorized, match="another use"):
            issuer.tickets.meet(token, "stock-1", use)


def test_the_ticket_of_a_started_node_ends_with_its_process(issuer: Issuer) -> None:
    token = issuer.tickets.start("default", "orders", "orders-1", 7)
    bearer = issuer.tickets.prove(token)
    assert (bearer.node, bearer.generation) == ("orders-1", 7)
    issuer.tickets.start("default", "orders", "orders-1", 8)
    issuer.tickets.end("default", "orders-1", 7)
    with pytest.raises(errors.Unauthorized, match="generation 7 of orders-1, which has ended"):
        issuer.tickets.prove(token)
    assert issuer.revoked == [node_mark("default", "orders-1", 7)]
    assert issuer.tickets.is_started("default", "orders-1"), "its successor runs"


def test_after_a_restart_of_the_platform_no_ticket_of_a_started_node_holds(issuer: Issuer) -> None:
    token = issuer.tickets.start("default", "orders", "orders-1", 1)
    again = Tickets(issuer.signer, issuer.clock)
    with pytest.raises(errors.Unauthorized, match="ended"):
        again.prove(token)
    assert again.prove(issuer.tickets.issue(ORDERS).token) == ORDERS, "that of another node does"


def test_a_ticket_of_another_platform_is_none(issuer: Issuer, tmp_path: Path) -> None:
    foreign = Issuer(tmp_path / "other").tickets.issue(ORDERS).token
    with pytest.raises(errors.Unauthorized, match="no ticket of this platform"):
        issuer.tickets.prove(foreign)


def _forgeries(issuer: Issuer) -> dict[str, str]:
    token = issuer.tickets.issue(ORDERS).token
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))

    def encoded(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    kid = jwt.get_unverified_header(token)["kid"]
    public = issuer.keys.document()["keys"][0]["x"]
    return {
        "another generation": f"{head}.{encoded({**claims, 'gen': 9})}.{signature}",
        "another service": f"{head}.{encoded({**claims, 'sub': 'billing'})}.{signature}",
        "another namespace": f"{head}.{encoded({**claims, 'ns': 'blue'})}.{signature}",
        "without a signature": f"{encoded({'alg': 'none', 'kid': kid})}.{body}.",
        "by the public key": jwt.encode(claims, public * 2, algorithm="HS256", headers={"kid": kid}),
        "of an unknown key": f"{encoded({'alg': 'EdDSA', 'kid': 'ffff'})}.{body}.{signature}",
        "without the name of its key": f"{encoded({'alg': 'EdDSA'})}.{body}.{signature}",
        "cut off": token[:-4],
        "nothing at all": "x",
        "too long": token + "a" * 5_000,
    }


NAMES = (
    "another generation",
    "another service",
    "another namespace",
    "without a signature",
    "by the public key",
    "of an unknown key",
    "without the name of its key",
    "cut off",
    "nothing at all",
    "too long",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_forged_ticket_is_none(issuer: Issuer, name: str) -> None:
    with pytest.raises(errors.Unauthorized, match="no ticket of this platform"):
        issuer.tickets.prove(_forgeries(issuer)[name])


def test_another_token_of_the_platform_is_no_ticket(issuer: Issuer) -> None:
    access = issuer.signer.sign({"sub": "ann", "ns": "default", "exp": int(issuer.clock.now()) + 60})
    with pytest.raises(errors.Unauthorized, match="no ticket of a node"):
        issuer.tickets.prove(access)
