"""Commands that are the endpoints of running services."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn


@pytest.mark.usefixtures("platform")
def test_an_endpoint_is_a_command_and_its_fields_are_flags(microlite: Microlite) -> None:
    assert microlite("greeter", "hello", "--name", "Ann", "--times=2") == (0, '"hello Ann, hello Ann"\n', "")


@pytest.mark.usefixtures("platform")
def test_flags_carry_lists_objects_maps_and_booleans(microlite: Microlite) -> None:
    said = microlite(
        *("orders", "create", "--customer", "a=b", "--items", '[{"sku":"x"}]', "--items", '{"sku":"y","price":2}'),
        *("--options-domain=d", "--options.address.zip-code", "1", "--labels.red", "1", "--labels", "blue=2"),
        "--dry_run",
    )
    assert json.loads(said.out) == {
        "customer": "a=b",
        "items": [{"sku": "x", "price": 1.5}, {"sku": "y", "price": 2.0}],
        "options": {"domain": "d", "address": {"street": "", "zip_code": "1"}},
        "labels": {"red": 1, "blue": 2},
        "dry_run": True,
    }


@pytest.mark.usefixtures("platform")
def test_nested_names_are_further_words(microlite: Microlite) -> None:
    assert microlite("greeter", "comments", "create", "--text", "hi").out == '"comment: hi"\n'
    assert microlite("greeter", "comments.create", "--text", "hi").out == '"comment: hi"\n'


@pytest.mark.usefixtures("platform")
def test_a_stream_is_printed_as_it_comes(microlite: Microlite) -> None:
    assert microlite("greeter", "count", "--to", "2").out == "0\n1\n"
    assert microlite("greeter", "total", stdin="1\n2\n").out == "3\n"


@pytest.mark.usefixtures("platform")
def test_an_endpoint_without_an_answer_prints_nothing(microlite: Microlite) -> None:
    assert microlite("greeter", "nothing") == (0, "", "")


@pytest.mark.usefixtures("platform")
@pytest.mark.parametrize("words", [("greeter",), ("greeter", "--help")])
def test_a_service_alone_shows_its_endpoints(microlite: Microlite, words: tuple[str, ...]) -> None:
    said = microlite(*words)
    assert said.code == 0
    for text in ("NAME:", "VERSION:\n        1.0.0", "USAGE:", "COMMANDS:", "hello ", "Say hello."):
        assert text in said.out
    assert "comments create  Write a comment." in said.out
    assert "Count. (deprecated)" in said.out


@pytest.mark.usefixtures("platform")
def test_a_part_of_a_name_shows_what_is_below_it(microlite: Microlite) -> None:
    said = microlite("greeter", "comments")
    assert said.code == 0
    assert "comments create" in said.out
    assert "Say hello" not in said.out


@pytest.mark.usefixtures("platform")
def test_the_help_of_an_endpoint_shows_flags_types_docs_and_defaults(microlite: Microlite) -> None:
    said = microlite("greeter", "hello", "--help")
    assert said.code == 0
    assert "--name string  whom to greet. (default: world)" in said.out
    assert "--times int    (default: 1)" in said.out
    said = microlite("orders", "create", "--help")
    for text in ("--customer string", "(required)", "--items list[Item]", "--options-address-zip-code string"):
        assert text in said.out
    assert "--labels map[int]" in said.out


@pytest.mark.usefixtures("platform")
@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (("greeter", "hello", "--nme", "x"), 2, "Unknown flag: nme; did you mean --name?\n"),
        (("greeter", "hello", "--times", "x"), 2, "--times: expected int, got 'x'\n"),
        (("greeter", "hello", "--times"), 2, "--times needs a value"),
        (("greeter", "hello", "--name", "x", "y"), 2, "Unexpected argument: y"),
        (("greeter", "hello", "Ann"), 5, 'Endpoint "hello.ann" not found for service "greeter"; to give hello'),
        (("greeter", "nix"), 5, 'Endpoint "nix" not found for service "greeter"; it has comments.create, count'),
        (("greeter", "--name", "x"), 5, 'Endpoint "call" not found for service "greeter"'),
        (("orders", "create", "--customer", "x"), 127, "items: "),
        (("zebra",), 4, 'Service "zebra" not found\n'),
        (("stauts",), 4, "Service \"stauts\" not found; did you mean 'microlite status'?\n"),
        (("no!name",), 3, "'no!name' is no name of a service\n"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(microlite: Microlite, words: tuple[str, ...], code: int, err: str) -> None:
    said = microlite(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(err)


def test_an_unknown_word_without_a_platform_is_no_command(microlite: Microlite) -> None:
    said = microlite("stauts")
    assert said.code == 1
    assert said.err.startswith(
        "Unrecognized microlite command: stauts. Please refer to 'microlite --help'; did you mean 'status'?\n"
    )
    assert "no platform runs" in said.err


def test_an_http_program_says_where_it_is(microlite: Microlite, platform: StandIn) -> None:
    platform.programs.append("pages")
    assert "http://127.0.0.1:8080/pages/" in microlite("pages", "x").err
