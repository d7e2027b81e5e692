"""`call`, `stream`, and how errors end a command."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("platform")


@pytest.mark.parametrize(
    "words",
    [
        ("greeter", "hello", '{"name":"Ann"}'),
        ("greeter.hello", '{"name":"Ann"}'),
        ("Greeter", "Greeter.Hello", '{"name":"Ann"}'),
        ("greeter/hello", '{"name":"Ann"}'),
    ],
)
def test_a_target_may_be_written_in_each_form(microlite: Microlite, words: tuple[str, ...]) -> None:
    assert microlite("call", *words) == (0, '"hello Ann"\n', "")


def test_without_a_document_the_request_is_empty(microlite: Microlite) -> None:
    assert microlite("call", "greeter", "hello") == (0, '"hello world"\n', "")


def test_a_document_can_come_from_stdin(microlite: Microlite) -> None:
    assert microlite("call", "greeter.hello", "-", stdin='{"name": "Bo"}').out == '"hello Bo"\n'


def test_an_answer_is_indented_or_left_as_it_came(microlite: Microlite) -> None:
    assert microlite("call", "greeter.whoami", "--metadata", "a=b=c").out == (
        '{\n  "a": "b=c",\n  "namespace": "default"\n}\n'
    )
    assert microlite("call", "greeter.whoami", "--output", "raw").out == '{"namespace":"default"}\n'


def test_the_namespace_travels_with_the_call(microlite: Microlite) -> None:
    said = microlite("--namespace", "shop", "call", "greeter", "whoami")
    assert json.loads(said.out) == {"namespace": "shop"}


@pytest.mark.parametrize("command", ["call", "stream"])
def test_a_stream_is_printed_one_document_after_the_other(microlite: Microlite, command: str) -> None:
    assert microlite(command, "greeter", "count", '{"to":3}') == (0, "0\n1\n2\n", "")


def test_a_unary_endpoint_can_be_called_as_a_stream(microlite: Microlite) -> None:
    assert microlite("stream", "greeter", "hello") == (0, '"hello world"\n', "")


def test_the_messages_of_a_client_stream_are_the_lines_of_stdin(microlite: Microlite) -> None:
    assert microlite("call", "greeter", "total", stdin="1\n2\n\n39") == (0, "42\n", "")


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (("call", "nobody", "x"), 4, 'Service "nobody" not found\n'),
        (("call", "greeter", "x"), 5, 'Endpoint "x" not found for service "greeter"; it has '),
        (("call", "a..b"), 3, "'a..b' names no endpoint"),
        (("call", "greeter", "hello", '{"name":'), 1, "Error creating request: "),
        (("call", "greeter", "hello", '{"name":1}'), 127, "name: expected str"),
        (("call", "greeter", "fail", '{"code":409}'), 127, "That went wrong\n"),
        (("call", "greeter", "fail", '{"code":403}'), 2, "That went wrong\n"),
        (("call", "greeter", "fail", '{"code":408}'), 1, "That went wrong\n"),
        (("call", "greeter", "wait", "--timeout", "50ms"), 1, "greeter.wait did not answer in time\n"),
        (("call", "greeter", "hello", "--timeout", "soon"), 2, "Invalid value for --timeout: "),
        (("call", "greeter", "hello", "--metadata", "x"), 2, "Invalid value for --metadata: "),
        (("call", "greeter", "hello", "{}", "{}"), 2, "Too many words: "),
        (("call",), 2, "Missing argument "),
    ],
)
def test_an_error_is_its_detail_on_stderr_and_an_exit_code(
    microlite: Microlite, words: tuple[str, ...], code: int, err: str
) -> None:
    said = microlite(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(err)
    assert said.err.count("\n") == 1


def test_an_http_program_is_no_service_to_call_here(microlite: Microlite, platform: StandIn) -> None:
    platform.programs.append("pages")
    said = microlite("call", "pages", "x")
    assert (said.code, said.err) == (
        5,
        "Pages is a program that speaks HTTP: call it at http://127.0.0.1:8080/pages/\n",
    )
