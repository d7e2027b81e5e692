"""Names, targets, and which of them are refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.description import naming
from microlite.core.description.naming import (
    check_endpoint_name,
    check_service_name,
    endpoint_of,
    normalise,
    normalise_endpoint,
    parse_target,
)

written = st.text(st.sampled_from(string.ascii_letters + string.digits + "_-."), max_size=20)


@given(st.text())
def test_normalising_twice_is_normalising_once(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)
    assert normalise_endpoint(normalise_endpoint(name)) == normalise_endpoint(name)


@given(written, written)
def test_two_names_that_normalise_alike_are_one_name(left: str, right: str) -> None:
    def accepted(name: str) -> str | None:
        try:
            return check_service_name(name)
        except errors.BadRequest:
            return None

    if normalise(left) == normalise(right):
        assert accepted(left) == accepted(right)
    elif accepted(left) is not None:
        assert accepted(left) != accepted(right)


@given(written)
def test_an_accepted_name_is_its_own_normal_form_and_a_target(name: str) -> None:
    try:
        service = check_service_name(name)
    except errors.BadRequest:
        return
    assert check_service_name(service) == service
    assert parse_target(service) == (service, "call")
    assert parse_target(f"{service}.create") == (service, "create")


@given(st.text())
def test_any_text_is_a_target_or_a_bad_request(target: str) -> None:
    try:
        service, endpoint = parse_target(target)
    except errors.BadRequest:
        return
    assert parse_target(f"{service} {endpoint}") == (service, endpoint) or endpoint.startswith(f"{service}.")


@pytest.mark.parametrize("name", ["orders", "Orders", "order_desk", "a", "orders2", "x" * 63])
def test_names_of_services_that_are_good(name: str) -> None:
    assert check_service_name(name) == name.lower().replace("_", "-")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is no name for a service"),
        ("2fast", "a letter first"),
        ("a--b", "single hyphens"),
        ("-a", "is no name for a service"),
        ("a-", "is no name for a service"),
        ("bestände", "is no name for a service"),
        ("\u212aey", "is no name for a service"),
        ("x" * 64, "at most 63"),
        ("a b", "is no name for a service"),
        ("a/b", "is no name for a service"),
        ("v1", "stands for a version"),
        ("v1.orders", "needs an admin's grant"),
        ("Store", "built-in service"),
        ("RUN", "command line"),
        ("healthz", "path of the platform"),
        ("api", "path of the platform"),
    ],
)
def test_names_of_services_that_are_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(errors.BadRequest, match=words):
        check_service_name(name)


def test_the_platform_may_use_its_own_names_and_a_grant_a_version() -> None:
    assert check_service_name("store", built_in=True) == "store"
    assert check_service_name("v1.Orders", versioned=True) == "v1.orders"
    with pytest.raises(errors.BadRequest):
        check_service_name("v1.store", versioned=True)
    with pytest.raises(errors.BadRequest):
        check_service_name("shop.orders", versioned=True)


def test_the_reserved_words_cannot_be_taken() -> None:
    for name in naming.BUILT_IN_SERVICES | naming.COMMANDS | naming.PLATFORM_PATHS:
        with pytest.raises(errors.BadRequest):
            check_service_name(name)


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("create", "create"),
        ("list_rules", "list-rules"),
        ("listRules", "list-rules"),
        ("BazXyz", "baz-xyz"),
        ("HTTPServer", "http-server"),
        ("list_", "list"),
        ("Comments.Create", "comments.create"),
    ],
)
def test_endpoint_names_have_one_form_however_they_are_written(name: str, normal: str) -> None:
    assert check_endpoint_name(name) == normal


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "_a", "a b", "a/b", "1a", "x" * 129, "ä"])
def test_bad_endpoint_names_are_refused(name: str) -> None:
    with pytest.raises(errors.BadRequest, match="is no name for an endpoint"):
        check_endpoint_name(name)


@pytest.mark.parametrize(
    ("target", "service", "endpoint"),
    [
        ("orders", "orders", "call"),
        ("Orders.Create", "orders", "create"),
        ("orders.create", "orders", "create"),
        ("orders/create", "orders", "create"),
        ("/orders/create", "orders", "create"),
        ("orders create", "orders", "create"),
        ("orders Orders.Create", "orders", "create"),
        ("orders Comments.Create", "orders", "comments.create"),
        ("orders comments.create", "orders", "comments.create"),
        ("orders comments create", "orders", "comments.create"),
        ("orders/comments/create", "orders", "comments.create"),
        ("Orders.Comments.Create", "orders", "comments.create"),
        ("order_desk.list_rules", "order-desk", "list-rules"),
        ("foo.BazXyz", "foo", "baz-xyz"),
        ("v1.orders.create", "v1.orders", "create"),
        ("v1/orders", "v1.orders", "call"),
        ("store.write", "store", "write"),
    ],
)
def test_targets_are_read_in_every_form_that_callers_write(target: str, service: str, endpoint: str) -> None:
    assert parse_target(target) == (service, endpoint)


@pytest.mark.parametrize(
    "target", ["", " ", ".", "orders.", ".create", "orders._", "orders..create", "a/../b", "orders//x", "9.x", "ö.x"]
)
def test_a_malformed_target_is_a_bad_request(target: str) -> None:
    with pytest.raises(errors.BadRequest, match="names no endpoint"):
        parse_target(target)


def test_a_versioned_service_knows_micros_form_by_its_own_last_part() -> None:
    assert endpoint_of("v1.orders", "Orders.Create") == "create"
    assert endpoint_of("orders", "") == "call"
