"""Which namespace a host stands for, by what was said about hosts."""

from __future__ import annotations

import pytest

from microlite import errors
from microlite.core.namespaces.api import Namespace
from microlite.core.namespaces.hosts import HostNames
from microlite.core.namespaces.names import MAX_HOSTS, check_hosts

NAMED = (
    Namespace(name="shop", hosts=("shop.example.org", "*.shop.example.org")),
    Namespace(name="staging", hosts=("*.staging.shop.example.org", "staging.shop.example.org")),
    Namespace(name="all", hosts=("*.example.org",)),
    Namespace(name="single", hosts=("intranet",)),
    Namespace(name="doomed", hosts=("doomed.example.net",), deleting=True),
)

HOSTS = [
    ("shop.example.org", "shop"),
    ("a.shop.example.org", "shop"),
    ("a.b.shop.example.org", "shop"),
    ("staging.shop.example.org", "staging"),  # the exact name goes first
    ("x.staging.shop.example.org", "staging"),  # then the longest
    ("other.example.org", "all"),
    ("example.org", ""),  # a star stands for at least one word
    ("badshop.example.net", ""),
    ("intranet", "single"),
    ("intranet.example.com", ""),
    ("doomed.example.net", ""),
    ("localhost", ""),
    ("127.0.0.1", ""),
    ("::1", ""),
    ("", ""),
]


@pytest.mark.parametrize(("host", "namespace"), HOSTS)
def test_the_most_exact_name_decides(host: str, namespace: str) -> None:
    names = HostNames()
    names.set(NAMED)
    assert names.find(host) == namespace


def test_there_are_none_unless_somebody_said_so() -> None:
    names = HostNames()
    heard: list[bool] = []
    names.subscribe(lambda: heard.append(bool(names)))
    names.set([Namespace(name="default")])
    assert not names
    names.set(NAMED)
    names.set([])
    assert heard == [False, True, False]


def test_hosts_are_written_in_one_way() -> None:
    assert check_hosts(["Shop.Example.ORG.", "shop.example.org", "*.A.b"]) == ("shop.example.org", "*.a.b")
    with pytest.raises(errors.BadRequest, match="at most"):
        check_hosts([f"h{n}.org" for n in range(MAX_HOSTS + 1)])


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", "-a.org", "a_b.org", "*.", "*", "a.*.org", "a.org:80", "::1", "ä.org", "x" * 300]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(errors.BadRequest, match="hosts"):
        check_hosts([host])
