"""Ids: unique in any thread and any process, and sorted by the millisecond of their making."""

import asyncio
import os
import threading
import time
import warnings

from microlite.core.clock import ManualClock, SystemClock


def test_ids_are_unique_in_all_threads() -> None:
    clock, made = SystemClock(), list[str]()

    def make() -> None:
        made.extend([clock.new_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 20_000
    assert {len(one) for one in made} == {26}


def test_ids_sort_by_the_time_of_their_making() -> None:
    clock, made = SystemClock(), list[str]()
    while len({one[:10] for one in made}) < 5:
        made.append(clock.new_id())
    assert [one[:10] for one in made] == sorted(one[:10] for one in made)
    assert abs(_milliseconds(made[-1]) - time.time() * 1000) < 60_000


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    clock = SystemClock()
    clock.new_id()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # whoever runs the tests may have threads
        child = os.fork()
    if not child:
        os.write(writer, "".join(clock.new_id()[10:] for _ in range(20)).encode())
        os._exit(0)
    ours = {clock.new_id()[10:] for _ in range(20)}
    os.waitpid(child, 0)
    theirs = os.read(reader, 4096).decode()
    os.close(reader)
    os.close(writer)
    assert len(theirs) == 320
    assert not ours & {theirs[place : place + 16] for place in range(0, 320, 16)}


async def test_what_is_due_already_happens_although_time_stands_still() -> None:
    clock, happened = ManualClock(), asyncio.Event()
    clock.call_later(0, happened.set)
    await happened.wait()
    times: list[float] = []
    clock.call_later(-1, lambda: times.append(clock.now()))
    clock.advance(5)
    await asyncio.sleep(0)
    assert times == [1_000_000_000.0]


def _milliseconds(id: str) -> int:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = 0
    for character in id[:10]:
        number = number * 32 + alphabet.index(character)
    return number
