"""From flags to a request, by its schema."""

from __future__ import annotations

from typing import Any

import pytest

from microlite.cli.failure import CommandError
from microlite.cli.flags import list_flags, read_request
from microlite.core.description.type_words import type_word

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "ratio": {"type": "number"},
        "dry_run": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "colour": {"$ref": "#/$defs/Colour"},
        "level": {"enum": [1, 2, 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "some": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        "anything": {},
        "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
        "options": {"$ref": "#/$defs/Options"},
        "camelCase": {"type": "string"},
        "option_set": {"type": "string"},
        "tree": {"$ref": "#/$defs/Tree"},
    },
    "required": ["name"],
    "$defs": {
        "Colour": {"title": "Colour", "enum": ["blue", "red"]},
        "Options": {
            "title": "Options",
            "type": "object",
            "properties": {"domain": {"type": "string"}, "max_age": {"type": "integer"}},
        },
        "Tree": {
            "title": "Tree",
            "type": "object",
            "properties": {
                "leaf": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ([], {}),
        (["--name=Ann"], {"name": "Ann"}),
        (["--name", "a=b"], {"name": "a=b"}),
        (["--name=--x"], {"name": "--x"}),
        (["--name", "-5"], {"name": "-5"}),
        (["--name="], {"name": ""}),
        (["--count", "-5"], {"count": -5}),
        (["--limit", "null"], {"limit": None}),
        (["--limit", "3"], {"limit": 3}),
        (["--ratio", "1e3"], {"ratio": 1000.0}),
        (["--dry-run"], {"dry_run": True}),
        (["--dry_run", "--count", "1"], {"dry_run": True, "count": 1}),
        (["--dry-run", "false"], {"dry_run": False}),
        (["--dry-run=no"], {"dry_run": False}),
        (["--no-dry-run"], {"dry_run": False}),
        (["--maybe"], {"maybe": True}),
        (["--colour", "red"], {"colour": "red"}),
        (["--level", "2"], {"level": 2}),
        (["--tags", "a,b", "--tags", "c"], {"tags": ["a", "b", "c"]}),
        (["--tags", '["a,b"]'], {"tags": ["a,b"]}),
        (["--tags", ""], {"tags": []}),
        (["--numbers", "1,2"], {"numbers": [1, 2]}),
        (["--pair", "1,x"], {"pair": [1, "x"]}),
        (["--either", "5"], {"either": 5}),
        (["--either", "five"], {"either": "five"}),
        (["--some", "5"], {"some": 5}),
        (["--some", "5", "--some", "6"], {"some": [5, 6]}),
        (["--anything", '{"a":[1]}'], {"anything": {"a": [1]}}),
        (["--anything", "plain"], {"anything": "plain"}),
        (["--labels", '{"a":1}'], {"labels": {"a": 1}}),
        (["--labels", "a=1", "--labels", "b=2"], {"labels": {"a": 1, "b": 2}}),
        (["--labels.Some_Key", "1"], {"labels": {"Some_Key": 1}}),
        (["--options-domain=x"], {"options": {"domain": "x"}}),
        (["--options.max_age", "5"], {"options": {"max_age": 5}}),
        (["--options-domain=x", "--options", '{"max_age":1}'], {"options": {"max_age": 1, "domain": "x"}}),
        (["--camel-case", "x"], {"camelCase": "x"}),
        (["--camelCase", "x"], {"camelCase": "x"}),
        (["--option-set", "x"], {"option_set": "x"}),
        (["--tree-next-next-next-next-leaf", "x"], {"tree": {"next": {"next": {"next": {"next": {"leaf": "x"}}}}}}),
        (["--json", '{"name":"a","count":1}', "--name", "b"], {"name": "b", "count": 1}),
        (["--json", '{"unheard_of":1}'], {"unheard_of": 1}),
        (["--name", "a", "--name", "b"], {"name": "b"}),
    ],
)
def test_flags_become_the_fields_that_they_name(words: list[str], request_: dict[str, Any]) -> None:
    assert read_request(words, SCHEMA) == request_


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (["--nme", "x"], "Unknown flag: nme; did you mean --name?"),
        (["--zzzz", "x"], "Unknown flag: zzzz; there are --name, "),
        (["--no-name"], "Unknown flag: no-name"),
        (["--options-doman", "x"], "Unknown flag: options-doman; did you mean --options-domain?"),
        (["name"], "Unexpected argument: name"),
        (["-n"], "Unexpected argument: -n"),
        (["--name"], "--name needs a value"),
        (["--name", "--count", "1"], "--name needs a value"),
        (["--count", "1.5"], "--count: expected int, got '1.5'"),
        (["--ratio", "nan"], "--ratio: expected number, got 'nan'"),
        (["--ratio", "x"], "--ratio: expected number, got 'x'"),
        (["--dry-run=maybe"], "--dry-run: expected true or false, got 'maybe'"),
        (["--colour", "green"], "--colour: expected one of blue, red, got 'green'"),
        (["--numbers", "1,x"], "--numbers: expected int, got 'x'"),
        (["--tags", "[1"], "--tags: expected a list, got '[1': "),
        (["--options", "x"], "--options: expected a JSON object, got 'x': "),
        (["--options", "[1]"], "--options: expected a JSON object, got '[1]'"),
        (["--json", "[1]"], "--json: expected a JSON object: "),
        (["--json"], "--json needs a object"),
    ],
)
def test_what_does_not_fit_is_said_with_the_name_of_the_flag(words: list[str], detail: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_request(words, SCHEMA)
    assert caught.value.detail.startswith(detail)
    assert caught.value.code == 2


def test_a_service_without_fields_has_no_flag() -> None:
    with pytest.raises(CommandError, match="Unknown flag: x; there is no flag"):
        read_request(["--x", "1"], {"type": "object", "properties": {}})


def test_flags_of_a_type_within_itself_end() -> None:
    names = [flag.name for flag in list_flags(SCHEMA)]
    assert [name for name in names if name.startswith("tree")] == ["tree", "tree-leaf", "tree-next"]
    assert [flag.name for flag in list_flags(SCHEMA) if flag.required] == ["name"]


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("name", "string"),
        ("limit", "int"),
        ("dry_run", "bool"),
        ("colour", "blue|red"),
        ("tags", "list[string]"),
        ("pair", "list[int, string]"),
        ("either", "int|string"),
        ("anything", "json"),
        ("labels", "map[int]"),
        ("options", "Options"),
    ],
)
def test_each_type_has_a_word(field: str, word: str) -> None:
    assert type_word(SCHEMA["properties"][field], SCHEMA) == word
