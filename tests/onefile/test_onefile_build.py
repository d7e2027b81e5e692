"""The build: the same inputs give the same bytes, and nothing superfluous goes in."""

import os
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.onefile.built import build, stand_in, write_stand_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first build fetches packages


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[zipfile.ZipInfo]:
    """What is in the payload."""
    with zipfile.ZipFile(stand_in(tmp_path_factory.mktemp("stand-in"))) as outer:
        packed = outer.read("payload.zip")
    with zipfile.ZipFile(BytesIO(packed)) as payload:
        return payload.infolist()


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the folder, the umask, the time zone and the files' times are."""
    first, second = tmp_path / "a.pyz", tmp_path / "other/b.pyz"
    one, two = write_stand_in(tmp_path / "one"), write_stand_in(tmp_path / "two/deeper")
    build(one, first, tmp_path / "work", TZ="Asia/Tokyo")
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o777)
    mask = os.umask(0)
    try:
        build(two, second, tmp_path / "other/work", TZ="America/Lima", LC_ALL="C")
    finally:
        os.umask(mask)
    assert first.read_bytes() == second.read_bytes()
    build(one, second, tmp_path / "work", SOURCE_DATE_EPOCH="1000000000")
    assert first.read_bytes() != second.read_bytes()


def test_nothing_superfluous_goes_in(names: list[zipfile.ZipInfo]) -> None:
    paths = [Path(entry.filename) for entry in names]
    assert not {path.suffix for path in paths} & {".pyi", ".pyx", ".pyc", ".exe"}
    assert not {part for path in paths for part in path.parts} & {"tests", "__pycache__", "faker", "polyfactory"}
    assert any(path.match("site-packages/pip/__main__.py") for path in paths)


def test_native_code_is_for_this_python_and_stripped(names: list[zipfile.ZipInfo]) -> None:
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    native = [Path(entry.filename).name for entry in names if entry.filename.endswith(".so")]
    assert [name for name in native if "cpython-" in name and tag not in name] == []
    assert sum(entry.file_size for entry in names) < 75_000_000


def test_licences_of_all_bundled_packages_are_in_the_file(tmp_path: Path, names: list[zipfile.ZipInfo]) -> None:
    with zipfile.ZipFile(stand_in(tmp_path)) as outer:
        notices = outer.read("THIRD-PARTY.txt").decode()
        assert b"Apache License" in outer.read("LICENSE.txt")
    folders = {entry.filename.split("/")[1] for entry in names if ".dist-info/" in entry.filename}
    for folder in folders - {name for name in folders if name.startswith("microlite-")}:
        name, version = folder.removesuffix(".dist-info").rsplit("-", 1)
        assert f"\n{name} {version}: " in notices
