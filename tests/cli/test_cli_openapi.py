"""`microlite openapi`."""

from __future__ import annotations

import json
from typing import Any

from tests.openapi.openapi_checks import check


def test_the_document_of_all_services_is_printed(platform: Any, microlite: Any) -> None:
    said = microlite("openapi")
    assert (said.code, said.err) == (0, "")
    document = check(json.loads(said.out))
    assert [tag["name"] for tag in document["tags"]] == ["greeter", "orders"]
    assert document["servers"][0]["url"].startswith("http://")
    assert document["info"]["title"] == "microlite"


def test_services_can_be_named(platform: Any, microlite: Any) -> None:
    document = check(json.loads(microlite("openapi", "Greeter").out))
    assert [tag["name"] for tag in document["tags"]] == ["greeter"]
    assert document["info"]["title"] == "greeter"


def test_a_service_that_is_not_there_is_an_error(platform: Any, microlite: Any) -> None:
    said = microlite("openapi", "greeter", "nobody")
    assert (said.code, said.out) == (4, "")
    assert said.err == 'Service "nobody" not found\n'


def test_a_name_that_is_none_is_an_error(platform: Any, microlite: Any) -> None:
    assert microlite("openapi", "a b").code == 3
