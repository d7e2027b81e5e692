"""Pydantic models in requests and replies, where pydantic is installed."""

# mypy: allow-subclassing-any

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

pydantic = pytest.importorskip("pydantic")

from microlite.core import errors  # noqa: E402 - after the check
from microlite.core.description import Encoding, compile_endpoint  # noqa: E402

if TYPE_CHECKING:
    # pydantic may be absent where types are checked
    BaseModel: Any = object
    ConfigDict: Any = dict
    Field: Any = dict
else:
    from pydantic import BaseModel, ConfigDict, Field

BOTH = [Encoding.MSGPACK, Encoding.JSON]


class Address(BaseModel):
    street: str
    zip: str = Field(alias="postalCode", min_length=4)


class Person(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    born: datetime
    address: Address | None = None
    friends: list[Person] = []


@dataclass
class Party:
    host: Person
    guests: list[Person]


def invite(person: Person, others: list[Person], party: Party | None = None, by: Person | None = None) -> Party:
    return Party(person, others)


INVITE = compile_endpoint(invite, "invite")
ANN = Person(name="Ann", born=datetime(1990, 1, 2), address=Address(street="x", postalCode="12345"))


@pytest.mark.parametrize("encoding", BOTH)
def test_models_travel_both_ways_also_in_lists_and_dataclasses(encoding: Encoding) -> None:
    party = Party(ANN, [ANN])
    payload = INVITE.encode_request({"person": ANN, "others": [ANN], "party": party}, encoding)
    assert INVITE.decode_request(payload, encoding) == (ANN, [ANN], party, None)
    reply = INVITE.encode_response(party, encoding)
    assert INVITE.decode_response(reply, encoding) == party
    if encoding is Encoding.JSON:
        assert json.loads(reply)["host"]["address"] == {"street": "x", "postalCode": "12345"}


@pytest.mark.parametrize("encoding", BOTH)
def test_complaints_name_the_field_from_the_top(encoding: Encoding) -> None:
    good = ANN.model_dump(mode="json", by_alias=True)
    bad = {**good, "name": 1, "address": {"street": "x", "postalCode": "1"}}
    request = {"person": good, "others": [good, bad]}
    payload = msgspec.json.encode(request) if encoding is Encoding.JSON else msgspec.msgpack.encode(request)
    with pytest.raises(errors.BadRequest) as caught:
        INVITE.decode_request(payload, encoding)
    assert caught.value.detail == (
        "others[1].name: input should be a valid string; "
        "others[1].address.postalCode: string should have at least 4 characters"
    )


def test_the_schema_holds_the_models_and_resolves() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = INVITE.description.request
    assert {"Person", "Address", "Party"} <= set(schema["$defs"])
    validator = jsonschema.Draft202012Validator(schema)
    good = ANN.model_dump(mode="json", by_alias=True)
    validator.validate({"person": good, "others": [good]})
    assert not validator.is_valid({"person": good, "others": [{"name": "x"}]})


def test_two_models_of_one_name_stay_apart() -> None:
    def other() -> Any:
        class Address(BaseModel):
            city: str

        return Address

    other_address = other()

    def move(old: Address, new: Any) -> None: ...

    move.__annotations__ = {"old": Address, "new": other_address, "return": None}
    schema = compile_endpoint(move, "move").description.request
    properties = schema["properties"]
    assert properties["old"] != properties["new"]
    names = [properties[name]["$ref"].rpartition("/")[2] for name in ("old", "new")]
    assert ["street" in schema["$defs"][name]["properties"] for name in names] == [True, False]
