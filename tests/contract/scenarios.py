"""What every face must do alike: a request, and what comes back of it."""

from __future__ import annotations

from typing import Any

import msgspec

from microlite.core import errors
from tests.contract.faces.face import Need
from tests.contract.sample import sample

ANN = {"name": "tea", "price": 2.5, "size": "l", "tags": ["hot"]}


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its outcome. Values are as JSON has them; bytes in a request are for each face to write down.

    Attributes:
        says: what must hold.
        endpoint: of the service `sample`, unless `service` says otherwise.
        request: the fields.
        items: the caller's stream, None for an endpoint that takes none.
        values: the reply, or the items of the answer.
        error: what ends it, after the values. A detail that ends with … is the beginning of it.
        metadata: sent along.
        timeout: seconds that the call may take; 0 for the face's own.
        leave: so many items of the answer are read, and the caller leaves; 0 to stay until the end.
    """

    says: str
    endpoint: str
    service: str = "sample"
    request: dict[str, Any] = {}
    items: list[Any] | None = None
    values: list[Any] = []
    error: errors.Error | None = None
    metadata: dict[str, str] = {}
    timeout: float = 0
    leave: int = 0

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        found = sample.endpoints.get(self.endpoint)
        return found is not None and found.streaming.from_server

    @property
    def needs(self) -> frozenset[Need]:
        """What a face must be able to carry for it."""
        facts = {
            Need.METADATA: self.metadata,
            Need.TIMEOUT: self.timeout,
            Need.ITEMS: self.items is not None,
            Need.MISFIT: isinstance(self.error, errors.BadRequest),
            Need.UNKNOWN: isinstance(self.error, errors.ServiceNotFound | errors.EndpointNotFound),
            Need.SIZE: len(msgspec.json.encode(self.request)) > 4096,
        }
        return frozenset(need for need, holds in facts.items() if holds)


def _refused(says: str, endpoint: str, request: dict[str, Any], detail: str) -> Scenario:
    return Scenario(says=says, endpoint=endpoint, request=request, error=errors.BadRequest(detail))


TIMES = {
    "at": "2026-11-27T16:00:00Z",
    "day": "2026-11-27",
    "pause": "PT90S",
    "amount": "12.30",
    "id": "00000000-0000-0000-0000-000000000007",
}
PLAIN = {"number": 0, "ratio": 0.0, "flag": False, "text": ""}

SCENARIOS = [
    Scenario(says="a reply comes back", endpoint="hello", request={"name": "Ann"}, values=["Hello, Ann!"]),
    Scenario(says="what is left out has its default", endpoint="hello", values=["Hello, world!"]),
    Scenario(says="the default endpoint is `call`", endpoint="call", values=["sample in default"]),
    Scenario(says="zero values are kept", endpoint="plain", request=PLAIN, values=[[0, 0.0, False, "", "a"]]),
    Scenario(
        says="numbers, text and choices keep their values",
        endpoint="plain",
        request={"number": -(2**53), "ratio": 1e-9, "flag": True, "text": 'a "b"\n<é&ü> 日本 🎈', "kind": "b"},
        values=[[-(2**53), 1e-9, True, 'a "b"\n<é&ü> 日本 🎈', "b"]],
    ),
    Scenario(says="times and decimals are text in JSON", endpoint="times", request=TIMES, values=[TIMES]),
    Scenario(
        says="objects nest", endpoint="total", request={"items": [ANN, {"name": "cup", "price": 1}]}, values=[3.5]
    ),
    Scenario(says="an object comes back", endpoint="largest", request={"items": [ANN]}, values=[ANN]),
    Scenario(says="an empty list is one", endpoint="largest", request={"items": []}, values=[None]),
    Scenario(
        says="objects nest as deep as they do",
        endpoint="depth",
        request={"tree": {"label": "a", "branches": [{}, {"branches": [{"label": "b", "branches": [{}]}]}]}},
        values=[4],
    ),
    *(
        Scenario(says=says, endpoint="either", request={"value": value}, values=[[word, value]])
        for says, word, value in (
            ("a union takes a number", "int", 7),
            ("a union takes text", "str", "seven"),
            ("a union takes a list", "list", [7, 8]),
            ("a union takes nothing", "NoneType", None),
        )
    ),
    Scenario(
        says="a map keeps its keys",
        endpoint="labels",
        request={"labels": {"One": 1, "two words": 2, "drei-ß": 3}},
        values=[{"One": 1, "two words": 2, "drei-ß": 3}],
    ),
    Scenario(says="a map may be empty", endpoint="labels", request={"labels": {}}, values=[{}]),
    Scenario(
        says="names may be of any script",
        endpoint="measure",
        request={"größe": 3, "имя": "花"},
        values=[{"größe": 3, "имя": "花"}],
    ),
    *(
        Scenario(says=f"{number:,} is not rounded", endpoint="next-number", request={"number": number}, values=[after])
        for number, after in ((2**53, 2**53 + 1), (-(2**63), 1 - 2**63), (2**63, 2**63 + 1), (2**64 - 2, 2**64 - 1))
    ),
    Scenario(
        says="a file keeps its name and its kind",
        endpoint="keep",
        request={"photo": {"name": "a b.png", "content_type": "image/png", "content": b"\x00\xff\n"}, "note": "mine"},
        values=[{"name": "a b.png", "type": "image/png", "content": "AP8K", "note": "mine"}],
    ),
    Scenario(
        says="content of a kind of its own arrives whole",
        endpoint="draw",
        request={"length": 3},
        values=["iVBORw0KAAAA"],
    ),
    Scenario(
        says="text of a kind of its own arrives as text",
        endpoint="table",
        request={"rows": 2},
        values=["0,ä\n1,ä\n"],
    ),
    Scenario(says="bytes are base64 in JSON", endpoint="size", request={"content": b"\x00\x01\x02\x03"}, values=[4]),
    Scenario(says="bytes come back so", endpoint="content", request={"length": 4}, values=["AAECAw=="]),
    Scenario(says="nothing comes back as nothing", endpoint="nothing", values=[None]),
    Scenario(says="a plain function answers", endpoint="slow-lane", request={"text": "up"}, values=["UP"]),
    Scenario(says="a nested endpoint answers", endpoint="notes.create", request={"text": "x"}, values=[{"text": "x"}]),
    Scenario(says="a large value passes", endpoint="slow-lane", request={"text": "y" * 90_000}, values=["Y" * 90_000]),
    _refused("a missing field is named", "total", {}, "items: required field is missing"),
    _refused("a wrong type is named", "hello", {"name": 7}, "name: expected str, got int"),
    _refused("a field that is not there is named", "hello", {"nome": "Ann"}, "nome: …"),
    _refused(
        "a wrong type deep within is named",
        "total",
        {"items": [ANN, {"name": "cup", "price": "much"}]},
        "items[1].price: expected float, got str",
    ),
    _refused("a wrong choice is named", "total", {"items": [{**ANN, "size": "xl"}]}, "items[0].size: …"),
    _refused("a wrong date is named", "times", {**TIMES, "day": "yesterday"}, "day: …"),
    Scenario(
        says="an error keeps code and detail",
        endpoint="fail",
        request={"code": 404},
        error=errors.NotFound("it went wrong as asked"),
    ),
    Scenario(
        says="so does another",
        endpoint="fail",
        request={"code": 409},
        error=errors.Conflict("it went wrong as asked"),
    ),
    Scenario(
        says="a forbidden call is told from a wrong one",
        endpoint="fail",
        request={"code": 403},
        error=errors.Forbidden("it went wrong as asked"),
    ),
    Scenario(
        says="a fault tells where to look, and nothing else",
        endpoint="crash",
        error=errors.InternalServerError("sample.crash failed with ZeroDivisionError; the log has the traceback …"),
    ),
    Scenario(
        says="an unknown endpoint",
        endpoint="nonsense",
        error=errors.EndpointNotFound('Endpoint "nonsense" not found for service "sample"…'),
    ),
    Scenario(
        says="an unknown service",
        service="nobody",
        endpoint="hello",
        error=errors.ServiceNotFound('Service "nobody" not found…'),
    ),
    Scenario(says="a stream comes in order", endpoint="count", request={"to": 3}, values=[1, 2, 3]),
    Scenario(says="a stream may be empty", endpoint="count", request={"to": 0}),
    Scenario(
        says="a stream may fail on the way",
        endpoint="count",
        request={"to": 5, "fail_at": 3},
        values=[1, 2],
        error=errors.Conflict("no 3"),
    ),
    Scenario(
        says="a stream may fail at once",
        endpoint="count",
        request={"to": 5, "fail_at": 1},
        error=errors.Conflict("no 1"),
    ),
    Scenario(
        says="a stream is refused as a reply is",
        endpoint="count",
        request={"to": "three"},
        error=errors.BadRequest("to: expected int, got str"),
    ),
    Scenario(says="a long stream comes whole", endpoint="count", request={"to": 300}, values=list(range(1, 301))),
    Scenario(
        says="the time that a stream may take is the caller's",
        endpoint="drip",
        request={"drops": 2},
        values=[0, 1],
        timeout=0.3,
        error=errors.Timeout("sample.drip did not …"),
    ),
    Scenario(says="a caller who leaves cancels the call", endpoint="endless", values=[0, 1, 2], leave=3),
    Scenario(says="a caller's stream is read", endpoint="add", request={"start": 1}, items=[1, 2, 3], values=[7]),
    Scenario(says="a caller's stream may be empty", endpoint="add", items=[], values=[0]),
    Scenario(
        says="an item that does not fit is refused",
        endpoint="add",
        items=[1, "two"],
        error=errors.BadRequest("…expected int, got str"),
    ),
    Scenario(
        says="a service may refuse an item",
        endpoint="add",
        items=[1, -1, 2],
        error=errors.Unprocessable("numbers: none may be negative"),
    ),
    Scenario(
        says="both may stream",
        endpoint="prices",
        request={"factor": 2.0},
        items=[ANN, {**ANN, "name": "cup"}],
        values=[{**ANN, "price": 5.0}, {**ANN, "name": "cup", "price": 5.0}],
    ),
    Scenario(
        says="metadata goes along", endpoint="meta", request={"key": "x-one"}, metadata={"X-One": "1"}, values=["1"]
    ),
    Scenario(
        says="the time that a call may take is the caller's",
        endpoint="never",
        timeout=0.2,
        error=errors.Timeout("sample.never did not …"),
    ),
]
