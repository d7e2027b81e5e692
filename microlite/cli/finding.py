"""What `microlite doctor` finds: a thing, how it is, and the command that mends it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may soon not."""
    BROKEN = "broken"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        check: what was looked at.
        verdict: how it is.
        detail: what was found, as one sentence.
        mend: the command that mends it; empty where there is nothing to mend.
    """

    check: str
    verdict: Verdict
    detail: str
    mend: str = ""


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, detail=detail)


def warning(check: str, detail: str, mend: str) -> Finding:
    """It works, and may soon not."""
    return Finding(check=check, verdict=Verdict.WARNING, detail=detail, mend=mend)


def broken(check: str, detail: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check=check, verdict=Verdict.BROKEN, detail=detail, mend=mend)
