"""A campaign is worth what its checker notices: each kind of loss, and nothing where all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.checker import Checker
from tests.crash.journal import Journal, Violation
from tests.crash.notes import Notes

TWO = {"record/l/a": 2, "record/l/b": 2}


def begin(journal: Journal, facts: dict[str, Any], number: int = 1, **fields: Any) -> None:
    op = {"kind": "write-many", "facts": facts, "lane": "l", "number": number, **fields}
    journal.note({"t": "begin", "at": 0.0, "op": op})


def end(journal: Journal, outcome: str, number: int = 1, **result: Any) -> None:
    line = {"t": "end", "lane": "l", "number": number, "outcome": outcome, "at": 1.0}
    journal.note({**line, "result": {"revision": 7, **result}})


def settle(journal: Journal, actual: dict[str, Any], revision: int = 7) -> dict[str, Any]:
    """What the lane relies on after a crash that has left this."""
    checker = Checker(journal, Path("none"))
    checker._settle("l", journal.lanes["l"], actual, dict.fromkeys(actual, revision))
    return journal.lanes["l"].facts


def test_what_was_acknowledged_has_to_be_there_with_its_revision() -> None:
    journal = Journal()
    begin(journal, TWO)
    end(journal, "done")
    assert settle(journal, TWO) == TWO
    with pytest.raises(Violation, match=r"missing.*record/l/b"):
        settle(journal, {"record/l/a": 2})
    begin(journal, {"record/l/a": 3}, number=2)
    end(journal, "done", number=2)
    with pytest.raises(Violation, match="revision 6, and 7 was acknowledged"):
        settle(journal, {"record/l/a": 3, "record/l/b": 2}, revision=6)


@pytest.mark.parametrize(
    ("outcome", "actual", "fits"),
    [
        ("unknown", {}, True),
        ("unknown", TWO, True),
        ("unknown", {"record/l/a": 2}, False),
        ("refused", {}, True),
        ("refused", TWO, False),
    ],
)
def test_what_was_not_acknowledged_is_there_wholly_or_not_and_never_if_it_was_refused(
    outcome: str, actual: dict[str, Any], *, fits: bool
) -> None:
    journal = Journal()
    begin(journal, TWO)
    end(journal, outcome)
    if fits:
        assert settle(journal, actual) == actual
        assert journal.lanes["l"].doubt is None
    else:
        with pytest.raises(Violation):
            settle(journal, actual)


def test_two_increments_cannot_have_the_same_sum() -> None:
    journal = Journal()
    begin(journal, {}, kind="increment", counter="c")
    end(journal, "done", value=1)
    begin(journal, {}, number=2, kind="increment", counter="c")
    with pytest.raises(Violation, match="the same sum"):
        end(journal, "done", number=2, value=1)


def test_an_event_that_comes_after_its_ack_is_noticed() -> None:
    journal = Journal()
    journal.acknowledged["pull", 5] = 1.0
    journal.note({"t": "got", "group": "pull", "at": 0.9, "got": [[5, "l", 1]]})
    Checker(journal, Path("none"))._check_deliveries()
    journal.note({"t": "got", "group": "pull", "at": 1.1, "got": [[5, "l", 1]]})
    with pytest.raises(Violation, match="event 5 came to pull again"):
        Checker(journal, Path("none"))._check_deliveries()


@pytest.mark.parametrize(
    ("lines", "kills", "problems"),
    [
        (["plain 1 k 0.1", "plain 1 k 0.2", "plain 2 k 0.3"], [], 0),
        (["plain 2 k 0.1", "plain 1 k 0.2"], [], 1),
        (["plain 1 k 0.1", "plain 2 k 0.2", "plain 1 k 5.0", "plain 2 k 5.1"], [0.3], 0),
        (["plain 1 k 0.1", "plain 2 k 0.2", "plain 1 k 9.0"], [3.0], 1),
        (["effects 1 k 0.1", "effects 2 k 0.2", "effects 1 k 5.0"], [0.3], 1),
        (["effects 1 - 0.1", "effected 1", "effects 1 - 5.0"], [0.3], 1),
        (["effects 1 - 0.1", "effects 1 - 5.0", "effected 1"], [0.3], 0),
    ],
)
def test_a_key_keeps_its_order_but_for_an_ack_that_a_kill_overtook(
    tmp_path: Path, lines: list[str], kills: list[float], problems: int
) -> None:
    notes = Notes(tmp_path / "notes")
    notes.kills = kills
    (tmp_path / "notes").write_text("\n".join(lines) + "\nplain 7")  # a line that is being written
    notes.read()
    assert len(notes.problems) == problems
