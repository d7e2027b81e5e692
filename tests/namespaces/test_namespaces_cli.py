"""`microlite namespace`, against a platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from microlite.cli.entry import run
from microlite.core.clock import SystemClock
from microlite.testing import blocking_platform

Said = tuple[int, str, str]
Microlite = Callable[..., Said]


@pytest.fixture(scope="module")
def platform() -> Iterator[Any]:
    with blocking_platform(clock=SystemClock()) as platform:
        yield platform


@pytest.fixture
def microlite(platform: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microlite:
    for variable in ("MICROLITE_HOME", "MICROLITE_NAMESPACE"):
        monkeypatch.delenv(variable, raising=False)

    def call(*words: str) -> Said:
        code = run(["--home", str(platform.home), *words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_one_is_made_listed_changed_and_deleted(microlite: Microlite) -> None:
    words = ("--max-records", "1,000", "--max-bytes", "2GB", "--max-rate", "50", "--host", "shop.example.org")
    assert microlite("namespace", "create", "shop", *words) == (0, "", "")
    code, out, _ = microlite("namespace", "list")
    head, default, shop = out.splitlines()
    assert (code, head.split()) == (0, ["NAME", "RECORDS", "BYTES", "RATE", "NODES", "HOSTS", "STATE"])
    assert default.split() == ["default", "any", "any", "any", "any", "n/a", "ready"]
    assert " ".join(shop.split()) == "shop 1,000 2.0 GB 50/s any shop.example.org ready"
    assert microlite("namespace", "set", "shop", "--max-bytes", "none", "--max-nodes", "3", "--no-hosts") == (0, "", "")
    listed = json.loads(microlite("namespace", "list", "-o", "json")[1])[1]
    assert (listed["limits"]["bytes"], listed["limits"]["nodes"], listed["hosts"]) == (0, 3, [])
    assert microlite("--namespace", "shop", "store", "write", "k", "v")[0] == 0
    code, out, _ = microlite("namespace", "usage", "shop")
    assert code == 0
    assert "of 1,000" in out
    code, _, err = microlite("namespace", "delete", "shop")
    assert (code, "say --yes" in err) == (1, True)
    assert microlite("namespace", "delete", "shop", "--yes") == (0, "", "")
    code, _, err = microlite("--namespace", "shop", "store", "read", "k")
    assert code != 0
    assert err.strip() == 'Namespace "shop" does not exist; create it with: microlite namespace create shop'


@pytest.mark.parametrize(
    "words",
    [
        ("services",),
        ("status",),
        ("store", "list"),
        ("config", "get", "a"),
        ("call", "greeter.hello", "{}"),
        ("greeter", "hello"),
        ("run", "."),
        ("logs", "greeter"),
        ("events", "read", "t"),
        ("schedules", "list"),
        ("publish", "t", "1"),
    ],
)
def test_each_command_says_that_there_is_no_such_namespace(words: tuple[str, ...], microlite: Microlite) -> None:
    code, out, err = microlite("--namespace", "foo", *words)
    assert code != 0
    assert out == ""
    assert 'amespace "foo" does not exist; create it with: microlite namespace create foo' in err


def test_the_platforms_own_namespace_is_nobodys(microlite: Microlite) -> None:
    code, _, err = microlite("--namespace", "microlite.platform", "store", "list")
    assert code == 2
    assert "platform's own" in err
    code, _, err = microlite("namespace", "create", "microlite.platform")
    assert code != 0
    assert "no name for a namespace" in err


def test_the_name_has_to_be_typed_again(microlite: Microlite, platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    microlite("namespace", "create", "blue")
    monkeypatch.setattr(sys, "stdin", Terminal("red\n"))
    code, _, err = microlite("namespace", "delete", "blue")
    assert code == 1
    assert "Everything in blue will be gone" in err
    assert "nothing was deleted" in err
    monkeypatch.setattr(sys, "stdin", Terminal("blue\n"))
    assert microlite("namespace", "delete", "blue")[0] == 0
    assert "blue" not in microlite("namespace", "list")[1]


def test_default_stays(microlite: Microlite) -> None:
    code, _, err = microlite("namespace", "delete", "default", "--yes")
    assert code == 1
    assert "cannot be deleted" in err


@pytest.mark.parametrize(
    "words",
    [
        ("set", "default"),
        ("set", "default", "--max-bytes", "many"),
        ("set", "default", "--max-records", "x"),
        ("set", "default", "--host", "a.org", "--no-hosts"),
        ("create", "shop", "--max-bytes", "1iB"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(words: tuple[str, ...], microlite: Microlite) -> None:
    assert microlite("namespace", *words)[0] == 2


def test_names_are_completed(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from microlite.cli import candidates

    root = click.Context(click.Command("x"))
    root.params = {"home": platform.home, "namespace": "default"}
    assert [item.value for item in candidates.namespaces(root, "de")] == ["default"]
