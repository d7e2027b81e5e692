"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

MISSING = "not installed: "
"""How the reason of a skip begins where a program is missing that `.ci/run` installs."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that lacks such a program fails: nobody reads there what was left out."""
    report: pytest.TestReport = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") and MISSING in reason:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid}: {reason.removeprefix('Skipped: ')}, and CI=true lets no test be left out for that"
        )
    return report
