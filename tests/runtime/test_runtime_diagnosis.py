"""What the last words of a process mean."""

from __future__ import annotations

import pytest

from microlite.core.runtime.diagnosis import Diagnosis, diagnose
from microlite.core.runtime.sources import Source

SOURCE = Source(name="shop", folder="/code/shop", entry="main.py")

FRAMES = (
    "Traceback (most recent call last):",
    '  File "/code/shop/main.py", line 3, in <module>',
    "    import prices",
    '  File "/code/shop/prices.py", line 7, in <module>',
    "    1 / 0",
    "    ~~^~~",
)


@pytest.mark.parametrize(
    ("lines", "reason", "hopeless"),
    [
        ((*FRAMES, "ZeroDivisionError: division by zero"), "prices.py:7: ZeroDivisionError: division by zero", False),
        ((*FRAMES, "shop.errors.NoPrice"), "prices.py:7: NoPrice", False),
        ((*FRAMES, "ValueError: two", "lines"), "prices.py:7: ValueError: two", False),
        ((*FRAMES, "NameError: name 'x' is not defined"), "prices.py:7: NameError: name 'x' is not defined", True),
        ((*FRAMES, "KeyError: 'a'", "a last word"), "prices.py:7: KeyError: 'a'", False),
        ((*FRAMES, "KeyError: 'a'", "", "shop: on_start failed: no"), "on_start failed: no", False),
    ],
)
def test_the_reason_has_file_and_line_of_the_authors_last_frame(
    lines: tuple[str, ...], reason: str, hopeless: bool
) -> None:
    assert diagnose(lines, SOURCE, "shop") == Diagnosis(reason, hopeless)


def test_a_missing_module_is_told_with_the_file_that_would_bring_it() -> None:
    lines = (*FRAMES, "ModuleNotFoundError: No module named 'numpy'")
    found = diagnose(lines, Source(name="s", folder="/code/shop", entry="m.py", requirements="pyproject.toml"), "s")
    assert found is not None
    assert "name its package in pyproject.toml" in found.reason
    found = diagnose(lines, SOURCE, "shop", "/venv/bin/python")
    assert found is not None
    assert "a requirements.txt beside it" in found.reason
    assert "`/venv/bin/python -m pip`" in found.reason


@pytest.mark.parametrize("lines", [(), ("Segmentation fault",), ("  File of thoughts",), FRAMES])
def test_what_is_no_traceback_means_nothing(lines: tuple[str, ...]) -> None:
    assert diagnose(lines, SOURCE, "shop") is None
