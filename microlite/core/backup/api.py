"""The contract of the built-in service `backup`."""

from __future__ import annotations

import enum

import msgspec


class Stage(enum.StrEnum):
    """What is being done."""

    COPYING = "copying"
    """Pages of the database go into a copy, all of one moment."""
    CHECKING = "checking"
    """The copy is read from beginning to end."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far it is.

    Attributes:
        stage: what is being done.
        done: bytes.
        total: bytes altogether.
    """

    stage: Stage
    done: int
    total: int


class Chunk(msgspec.Struct, frozen=True, kw_only=True, tag="chunk"):
    """The next bytes of the backup.

    Attributes:
        data: they follow those of the chunk before.
    """

    data: bytes


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The backup is whole: its last chunk has been sent.

    Attributes:
        size: its bytes.
        digest: SHA-256 of them, in hexadecimal.
        version: of the database, which only this microlite or a newer one can open.
        revision: of the last commit that is in it.
        log_growth: bytes by which the write-ahead log grew while the copy was made.
        seconds: that it took to copy and check.
    """

    size: int
    digest: str
    version: int
    revision: int
    log_growth: int
    seconds: float


Part = Progress | Chunk | Finished


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a look through the database found.

    Attributes:
        sound: whether nothing is wrong.
        problems: what is wrong; the first twenty.
        size: bytes of the database.
        free: bytes of it that are unused.
        version: of the database.
        revision: of the last commit.
    """

    sound: bool
    problems: tuple[str, ...]
    size: int
    free: int
    version: int
    revision: int
