"""Hashes of secrets, and what making them leaves behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from microlite.core.auth.passwords import Passwords


@pytest.mark.skipif(sys.platform != "linux", reason="how large a process is comes from /proc")
async def test_a_log_in_leaves_the_process_no_larger_than_before() -> None:
    passwords = Passwords()
    try:
        before = _resident()
        made = await passwords.hash("a secret that is long enough")
        for _ in range(2):
            assert await passwords.verify(made, "a secret that is long enough")
        assert _resident() - before < 8 * 1024 * 1024
    finally:
        passwords.close()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
