"""Typed clients: a class whose methods call the endpoints of their names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from microlite import Context, Service, endpoint, errors

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@dataclass
class Note:
    id: int
    text: str = ""


class NotesAPI(Protocol):
    async def create(self, ctx: Context, text: str, *, loud: bool = False) -> Note: ...
    async def list_all(self) -> list[Note]: ...
    def watch(self, last: int = 0) -> AsyncIterator[Note]: ...
    async def upload(self, notes: AsyncIterator[Note], prefix: str = "") -> int: ...
    def echo(self, notes: AsyncIterator[Note]) -> AsyncIterator[Note]: ...

    @endpoint(name="drop", idempotent=True)
    async def remove(self, id: int) -> None: ...


@pytest.fixture
def notes() -> Service:
    service = Service("notes")

    @service.endpoint
    async def create(text: str, loud: bool = False) -> Note:
        return Note(1, text.upper() if loud else text)

    @service.endpoint
    async def list_all() -> list[Note]:
        return [Note(1, "a"), Note(2, "b")]

    @service.endpoint
    async def watch(last: int = 0) -> AsyncIterator[Note]:
        for number in range(last, last + 3):
            yield Note(number)

    @service.endpoint
    async def upload(notes: AsyncIterator[Note], prefix: str = "") -> int:
        async for note in notes:
            if note.text == "enough":
                return -1
            if note.text == "bad":
                raise errors.Unprocessable("bad note")
        return len(prefix)

    @service.endpoint
    async def echo(notes: AsyncIterator[Note]) -> AsyncIterator[Note]:
        async for note in notes:
            if note.text == "enough":
                return
            yield note

    @service.endpoint
    async def drop(id: int) -> None:
        if id > 9:
            raise errors.NotFound(f"no note {id}")

    return service


@pytest.fixture
async def client(platform: RunningPlatform, notes: Service) -> NotesAPI:
    await platform.serve(notes)
    return platform.client(NotesAPI)


async def test_answers_have_the_declared_types(client: NotesAPI) -> None:
    assert await client.create("hi", loud=True) == Note(1, "HI")  # type: ignore[arg-type, call-arg]  # no context
    assert await client.list_all() == [Note(1, "a"), Note(2, "b")]
    assert await client.remove(3) is None  # type: ignore[func-returns-value]  # that is what is asked
    with pytest.raises(errors.NotFound, match="no note 10"):
        await client.remove(10)


async def test_streams_in_all_directions_are_typed(client: NotesAPI) -> None:
    async def some() -> AsyncIterator[Note]:
        for number in range(3):
            yield Note(number)

    assert [note async for note in client.watch(last=4)] == [Note(4), Note(5), Note(6)]
    assert await client.upload(some(), prefix="abc") == 3
    assert [note async for note in client.echo(some())] == [Note(0), Note(1), Note(2)]


@pytest.mark.parametrize("kind", [list, tuple, iter])
async def test_items_may_come_from_any_iterable(client: NotesAPI, kind: type) -> None:
    assert [note async for note in client.echo(kind([Note(1), Note(2)]))] == [Note(1), Note(2)]


async def test_a_service_may_answer_before_it_has_read_everything(client: NotesAPI) -> None:
    def endless(text: str) -> Iterator[Note]:
        yield Note(0)
        while True:
            yield Note(1, text)

    assert await client.upload(endless("enough")) == -1  # type: ignore[arg-type]  # any iterable will do
    with pytest.raises(errors.Unprocessable, match="bad note"):
        await client.upload(endless("bad"))  # type: ignore[arg-type]
    assert [note async for note in client.echo(endless("enough"))] == [Note(0)]  # type: ignore[arg-type]


async def test_items_that_fail_fail_the_call(client: NotesAPI) -> None:
    async def failing() -> AsyncIterator[Note]:
        yield Note(1)
        raise ValueError("the source ran dry")

    with pytest.raises(ValueError, match="ran dry"):
        await client.upload(failing())
    with pytest.raises(ValueError, match="ran dry"):
        async with asyncio.timeout(20):
            assert [note async for note in client.echo(failing())] == [Note(1)]


async def test_an_answer_of_another_type_is_named(platform: RunningPlatform) -> None:
    other = Service("notes")

    @other.endpoint
    async def list_all() -> list[str]:
        return ["no note"]

    await platform.serve(other)
    client = platform.client(NotesAPI)
    with pytest.raises(errors.BadGateway, match="list-all"):
        await client.list_all()


async def test_a_method_that_is_not_there_is_named(client: NotesAPI) -> None:
    with pytest.raises(AttributeError, match="no method 'creat'"):
        client.creat  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


async def test_the_service_may_have_another_name_than_the_class(platform: RunningPlatform) -> None:
    diary = Service("my-diary")

    @diary.endpoint
    async def list_all() -> list[Note]:
        return [Note(9)]

    await platform.serve(diary)
    assert await platform.client(NotesAPI, "my-diary").list_all() == [Note(9)]

    class MyDiaryService(Protocol):
        async def list_all(self) -> list[Note]: ...

    assert await platform.client(MyDiaryService).list_all() == [Note(9)]
