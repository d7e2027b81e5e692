"""What others wrote is printed, and not obeyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite import Service
from microlite.cli.output import plain, table_lines
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn

EVIL = "Hello\x1b[2J\x1b]0;title\x07 \x1b[31mred\x9b31m\r\u202eover"


@given(st.text())
def test_no_text_commands_a_terminal(text: str) -> None:
    found = plain(text)
    assert not set(found) & {chr(code) for code in range(0x20) if chr(code) not in "\n\t"}
    assert "\x1b" not in found
    assert plain(found) == found


def test_lines_and_words_stay() -> None:
    assert plain("Größe\n\tin ₤ 👩‍🚒") == "Größe\n\tin ₤ 👩‍🚒"
    assert plain("\x1b[1mbold\x1b[0m") == "bold"
    assert "a b" in table_lines(("X",), [("a\nb",)])[1]


@pytest.mark.parametrize(
    "words", [("describe", "evil"), ("evil", "--help"), ("evil",), ("evil", "call", "--help"), ("services",)]
)
def test_docstrings_cannot_take_the_terminal(microlite: Microlite, platform: StandIn, words: tuple[str, ...]) -> None:
    service = Service("evil", doc=EVIL, metadata={"team": EVIL})

    async def call(name: str = EVIL) -> str:
        return name

    call.__doc__ = f"{EVIL}\n\nArgs:\n    name: {EVIL}"
    service.endpoint(metadata={"team": EVIL})(call)
    platform.services.append(service)
    said = microlite(*words)
    assert said.code == 0
    assert not set(said.out) & set("\x1b\x9b\x07\r\u202e")
    if words != ("services",):
        assert "Hello" in said.out
