"""Files on the command line: given by name, and written as what they are."""

from __future__ import annotations

import os
import pty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from microlite import File, Service
from tests.cli.conftest import Microlite
from tests.cli.stand_in import StandIn


def pictures() -> Service:
    service = Service("pictures")

    @service.endpoint
    async def keep(album: str, photo: File, more: list[File] | None = None, thumb: bytes = b"") -> list[str]:
        """Keep photos.

        Args:
            album: where they go.
            photo: the first.
        """
        return [
            album,
            *(f"{one.name} {one.content_type} {one.content!r}" for one in (photo, *(more or []))),
            repr(thumb),
        ]

    @service.endpoint(produces="image/png")
    async def draw(size: int = 3) -> bytes | None:
        return b"PNG" * size if size else None

    @service.endpoint(produces="text/csv")
    async def table() -> AsyncIterator[str]:
        yield "a,ä\n"
        yield "1,2\n"

    return service


@pytest.fixture(autouse=True)
def platform(home: Path) -> Iterator[StandIn]:
    stand_in = StandIn(home)
    stand_in.services.append(pictures())
    with stand_in:
        yield stand_in


def test_a_flag_reads_a_file(microlite: Microlite, tmp_path: Path) -> None:
    photo, text = tmp_path / "a b.png", tmp_path / "b.txt"
    photo.write_bytes(b"\x01")
    text.write_bytes(b"2")
    said = microlite(
        *("pictures", "keep", "--album", "@home", f"--photo=@{photo}", "--more", f"@{text}", "--more", f"@{text}"),
        *("--thumb", f"@{text}"),
    )
    assert said.err == ""
    for line in ('"@home"', "a b.png image/png b'\\\\x01'", "b.txt text/plain b'2'", "\"b'2'\""):
        assert line in said.out


def test_a_file_that_is_not_there_is_named(microlite: Microlite) -> None:
    said = microlite("pictures", "keep", "--album", "x", "--photo", "@nowhere.png")
    assert (said.code, said.out) == (2, "")
    assert "--photo: the file 'nowhere.png' cannot be read: No such file or directory" in said.err


def test_help_says_how_a_file_is_given(microlite: Microlite) -> None:
    said = microlite("pictures", "keep", "--help")
    assert "the first. (@NAME reads a file) (required)" in said.out
    assert "answers with image/png" in microlite("describe", "pictures").out


@pytest.mark.parametrize("words", [("pictures", "draw"), ("call", "pictures.draw"), ("stream", "pictures.draw")])
def test_bytes_are_written_as_they_are(microlite: Microlite, words: tuple[str, ...]) -> None:
    assert microlite(*words) == (0, "PNGPNGPNG", "")


def test_nothing_is_written_for_nothing(microlite: Microlite) -> None:
    assert microlite("pictures", "draw", "--size", "0") == (0, "", "")


def test_text_is_written_as_it_is(microlite: Microlite) -> None:
    assert microlite("pictures", "table") == (0, "a,ä\n1,2\n", "")


def test_raw_output_is_what_the_service_answered(microlite: Microlite) -> None:
    assert microlite("call", "pictures.draw", '{"size":1}', "--output", "raw").out == '"UE5H"\n'


def test_a_terminal_is_spared(microlite: Microlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes could upset it, so it is told what there would be."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0), os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        said = microlite("pictures", "draw")
    assert said.code == 0
    assert "image/png, 9 bytes: write it to a file" in said.err
