"""The tutorial does what it says, from the first line to the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.tutorial_parts import Reader, blocks, compare, steps

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "first-service.md"


@pytest.mark.timeout(180)
def test_everything_happens_as_the_tutorial_says(reader: Reader) -> None:
    reader.follow(TUTORIAL.read_text(encoding="utf-8"))


def test_a_page_is_read_as_its_reader_does() -> None:
    page = 'a\n```python title="main.py"\nx = 1\n```\n```console terminal=2\n$ run it\nup …\n^C\n```\n'
    file, terminal = blocks(page)
    assert (file.attributes, file.text) == ({"title": "main.py"}, "x = 1\n")
    assert list(steps(terminal.lines)) == [("run it", ["up …"]), ("^C", [])]


@pytest.mark.parametrize(
    ("expected", "printed", "holds"),
    [
        (["one"], ["one"], True),
        (["one"], ["one", "two"], False),
        (["one", "two"], ["one"], False),
        (["took … ms"], ["took 12 ms"], True),
        (["one", "…"], ["one", "two", "three"], True),
        (["…", "three"], ["one", "two", "three"], True),
        (["…", "four"], ["one", "two", "three"], False),
    ],
)
def test_dots_stand_for_what_a_reader_cannot_know(expected: list[str], printed: list[str], holds: bool) -> None:
    try:
        compare(expected, printed)
    except AssertionError:
        assert not holds
    else:
        assert holds
