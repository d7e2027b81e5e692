"""What is detached is kept with its variables encrypted, and found again."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from microlite.core import errors
from microlite.core.runtime.api import Desired, RunRequest
from microlite.core.runtime.kept import KEY_FILE, Keeper
from microlite.core.runtime.sources import find_sources

SECRET = "hush-hush-hush"


@pytest.fixture
def desired(tmp_path: Path) -> Desired:
    folder = tmp_path / "echo"
    folder.mkdir()
    (folder / "main.py").write_text('from microlite import Service\n\necho = Service("echo")\n')
    (source,) = find_sources(str(folder), cwd=folder)
    asked = RunRequest(sources=(str(folder),), environment={"PATH": "/bin", "TOKEN": SECRET}, env={"KEY": SECRET})
    return Desired(asked=asked, source=source, detached=True)


def test_it_is_found_as_it_was_kept(tmp_path: Path, desired: Desired) -> None:
    """By another platform on the same home too; and the record tells nobody else what the variables are."""
    record = Keeper(tmp_path).pack("default/echo", desired)
    assert SECRET.encode() not in record
    assert Keeper(tmp_path).unpack("default/echo", record) == desired


def test_what_earlier_versions_kept_is_read(tmp_path: Path, desired: Desired) -> None:
    assert Keeper(tmp_path).unpack("default/echo", msgspec.msgpack.encode(desired)) == desired


@pytest.mark.parametrize("change", ["no key", "another key", "another record", "damaged"])
def test_without_its_key_it_starts_without_its_variables(
    change: str, tmp_path: Path, desired: Desired, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says what to do. A record that was moved to another place is worth nothing there."""
    record = Keeper(tmp_path).pack("default/echo", desired)
    key = "default/echo"
    if change == "no key":
        (tmp_path / KEY_FILE).unlink()
    elif change == "another key":
        (tmp_path / KEY_FILE).write_bytes(b"x" * 32)
    elif change == "another record":
        key = "default/other"
    else:
        record = record[:-1] + bytes((record[-1] ^ 1,))
    with caplog.at_level(logging.WARNING):
        found = Keeper(tmp_path).unpack(key, record)
    assert (found.asked.environment, found.asked.env) == ({}, {})
    assert found.source == desired.source
    assert "run it again with --detach" in caplog.text
    assert SECRET not in caplog.text


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, desired: Desired) -> None:
    Keeper(tmp_path).pack("default/echo", desired)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        Keeper(tmp_path).pack("default/echo", desired)
