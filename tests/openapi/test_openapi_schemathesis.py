"""Schemathesis reads the document of a running platform, and calls what it says in ways that it allows and in others.

In CI few requests are made, the same ones each time. `make fuzz` (or `FUZZ=50 pytest tests/openapi`) makes many more, and
others each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from microlite.core.clock import SystemClock
from microlite.core.description import naming
from microlite.testing.threaded import blocking_platform
from tests.openapi.described import everything, example
from tests.openapi.fuzzing import examples, is_long_run

pytestmark = pytest.mark.slow

STRICT = (
    *("GET /every-thing", "POST /every-thing", "GET /every-thing/mine", "POST /every-thing/mine"),
    *("GET /every-thing/items/{id}", "DELETE /every-thing/items/{id}", "POST /every-thing/touch/{colour}/{level}"),
    *("GET /every-thing/list-all/by-name2", "POST /every-thing/list-all/by-name2"),
    *("GET /every-thing/ticks", "POST /every-thing/ticks", "POST /every-thing/echo"),
    *("GET /network/routes", "POST /network/routes", "GET /registry/list", "POST /registry/list"),
    *("GET /runtime/status", "POST /runtime/status", "GET /registry/get", "POST /registry/get"),
)
"""What takes all that the document allows, and nothing else."""

LENIENT = (
    *("GET /greeter/hello", "POST /greeter/hello", "GET /orders/create", "POST /orders/create", "GET /orders/{id}"),
    *("GET /orders/list", "POST /orders/list", "GET /orders/receipt", "POST /orders/receipt", "POST /orders/import"),
    *("POST /orders/notes/add", "GET /orders/notes/read", "GET /runtime/logs", "POST /runtime/logs"),
    *("GET /every-thing/scalars", "POST /every-thing/scalars", "POST /every-thing/containers"),
    *("GET /every-thing/containers", "POST /every-thing/bounds", "POST /every-thing/models"),
    *("GET /every-thing/anything", "POST /every-thing/anything", "PUT /every-thing/items/{id}"),
)
"""What has rules of its own that a schema does not say (an order needs a product that there is), or reads more than is
documented (a number where a decimal is written as text)."""

ANSWERS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Running(NamedTuple):
    """A platform, and what it says that can be called there."""

    url: str
    token: str
    schema: Any


@schemathesis.serializer("application/x-ndjson")
def write_line(context: Any, value: Any) -> bytes:
    """A body of one item; schemathesis makes one for the schema of an item."""
    return json.dumps(value).encode() + b"\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with blocking_platform(clock=SystemClock()) as platform:
        for service in (everything(), example("greeter"), example("orders")):
            platform.serve(service)
        headers = {"Authorization": f"Bearer {platform.token}"}
        document = requests.get(f"{platform.http}/openapi.json", headers=headers, timeout=10).json()
        yield Running(platform.http, platform.token, schemathesis.openapi.from_dict(document))


NOT_FUZZED = ("/runtime/run", "/runtime/session", "/runtime/update", "/backup/", "/auth/keys/rotate")
"""What would fetch from anywhere, write files, or end what the test needs."""


UNTRIED = frozenset({"backup", "debug", "namespaces"})
"""Services of which there may be nothing to try: all that they do is write files, or they are to come."""

OPEN = frozenset({"/auth/token"})
"""What a built-in service answers to whoever asks."""


def send(running: Running, operation: str, mode: GenerationMode, wanted: list[Any], *, few: int = 3) -> None:
    method, _, path = operation.partition(" ")

    @settings(
        max_examples=examples(few),
        deadline=None,
        derandomize=not is_long_run(),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=running.schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.headers["Authorization"] = f"Bearer {running.token}"
        if "/ticks" in operation or "/logs" in operation:
            case.headers["Timeout"] = "200ms"  # a stream may be longer than a test has time
        elif mode is GenerationMode.POSITIVE:
            case.headers["Timeout"] = "20s"  # a shorter one may be over before the answer
        answer = case.call(base_url=running.url, timeout=10)
        case.validate_response(answer, checks=wanted)
        if "application/x-ndjson" in answer.headers.get("content-type", [""])[0]:
            assert all(json.loads(line) is not None for line in answer.content.splitlines())

    check()


@pytest.mark.parametrize("operation", STRICT)
def test_what_the_document_allows_is_taken_and_answered_as_documented(running: Running, operation: str) -> None:
    send(running, operation, GenerationMode.POSITIVE, [*ANSWERS, checks.positive_data_acceptance])


@pytest.mark.parametrize("operation", STRICT)
def test_what_the_document_does_not_allow_is_refused(running: Running, operation: str) -> None:
    send(running, operation, GenerationMode.NEGATIVE, [*ANSWERS, checks.negative_data_rejection])


@pytest.mark.parametrize("operation", LENIENT)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_whatever_is_sent_the_answer_is_as_documented(running: Running, operation: str, mode: GenerationMode) -> None:
    send(running, operation, mode, ANSWERS, few=2)


@pytest.mark.parametrize("who", ["an admin", "nobody"])
@pytest.mark.parametrize("service", sorted(naming.BUILT_IN_SERVICES))
def test_nothing_that_is_sent_makes_the_platform_fail(running: Running, service: str, who: str) -> None:
    """To every endpoint of every built-in service, with an admin's token and without one, sense and nonsense alike.

    Without one, nothing is told of what would have been wrong: who may not call gets 401 before anybody reads his body.
    """
    tried = 0
    for result in running.schema.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith(f"/{service}/") or operation.path.startswith(NOT_FUZZED):
            continue
        tried += 1
        for mode in GenerationMode:
            _fuzz(running, operation, mode, running.token if who == "an admin" else "")
    assert tried or service in UNTRIED


def _fuzz(running: Running, operation: Any, mode: GenerationMode, token: str) -> None:
    open_to_all = operation.path in OPEN

    @settings(
        max_examples=examples(2),
        deadline=None,
        derandomize=not is_long_run(),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.headers.pop("Authorization", None)
        if token:
            case.headers["Authorization"] = f"Bearer {token}"
        case.headers["Timeout"] = "200ms"  # a stream may be longer than a test has time
        answer = case.call(base_url=running.url, timeout=10)
        assert answer.status_code < 500, (answer.request.method, answer.request.url, answer.content[:500])
        if not token and not open_to_all:
            assert answer.status_code >= 400, (answer.request.method, answer.request.url)

    check()


def test_the_document_itself_is_read_without_a_warning(running: Running) -> None:
    """All operations are found, and schemathesis can make sense of each of them."""
    found = [result.ok() for result in running.schema.get_all_operations()]
    assert len(found) > 50
    assert {f"{one.method.upper()} {one.path}" for one in found} > {*STRICT, *LENIENT}
