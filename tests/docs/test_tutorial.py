"""The tutorial, and the how-to pages that can be run, do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.tutorial_parts import Reader, blocks, compare, steps

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/tutorial/first-service.md",
    "docs/tutorial/two-services.md",
    "docs/tutorial/the-dashboard.md",
    "docs/tutorial/hand-it-on.md",
    "docs/tutorial/job-queue.md",
    "docs/tutorial/order-flow.md",
    "docs/tutorial/who-may-do-what.md",
    "docs/howto/back-up-and-restore.md",
    "docs/howto/broker.md",
    "docs/howto/call-from-scripts.md",
    "docs/howto/configure-services.md",
    "docs/howto/events.md",
    "docs/howto/explore-in-a-shell.md",
    "docs/howto/keep-blobs.md",
    "docs/howto/keep-records.md",
    "docs/howto/log-in-and-accounts.md",
    "docs/howto/look-after-events.md",
    "docs/howto/openapi.md",
    "docs/howto/run-any-http-program.md",
    "docs/howto/run-at-times.md",
    "docs/howto/run-from-git.md",
    "docs/howto/run-several-services.md",
    "docs/howto/separate-tenants.md",
    "docs/howto/start-a-new-service.md",
    "docs/howto/stream.md",
    "docs/howto/test-a-service.md",
    "docs/howto/transactions.md",
    "docs/howto/upload-files.md",
)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES)
def test_everything_happens_as_the_page_says(reader: Reader, page: str) -> None:
    reader.follow((ROOT / page).read_text(encoding="utf-8"))


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
