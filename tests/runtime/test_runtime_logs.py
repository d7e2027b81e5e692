"""Bytes of nodes become lines that are kept, found again after a restart, followed, and never grow without bound."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.clock import ManualClock, SystemClock
from microlite.core.runtime.lines import Line, LineSplitter, Stream, for_terminal, strip_ansi
from microlite.core.runtime.log_files import LogFile
from microlite.core.runtime.log_followers import Follower
from microlite.core.runtime.logs import Limits, Logs


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    async with Logs(tmp_path / "logs", SystemClock()) as running:
        yield running


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


async def take(follower: Follower, count: int) -> list[Line]:
    async with asyncio.timeout(10):
        return [await anext(follower) for _ in range(count)]


# lines


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20)), st.data())
def test_lines_are_the_same_however_the_bytes_are_cut(lines: list[str], data: st.DataObject) -> None:
    rest = "".join(f"{line}\n" for line in lines).encode()
    splitter, found = LineSplitter(), list[str]()
    while rest:
        cut = data.draw(st.integers(min_value=1, max_value=len(rest)))
        found += splitter.feed(rest[:cut])
        rest = rest[cut:]
    assert found + splitter.flush() == lines


@given(st.binary(max_size=200), st.integers(min_value=1, max_value=40))
def test_no_line_is_longer_than_the_limit_and_nothing_is_lost(data: bytes, limit: int) -> None:
    splitter = LineSplitter(limit)
    found = splitter.feed(data) + splitter.flush()
    # A byte that is no UTF-8 becomes one character of three bytes, so characters are what can be compared.
    assert all(len(line) <= limit for line in found)
    expected = data.replace(b"\r\n", b"\n").replace(b"\n", b"")
    if expected.isascii() and b"\r" not in expected:
        assert "".join(found) == expected.decode()


def test_line_ends_bad_text_and_a_last_line_without_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\r\ntwo\n\nbad \xff\nlast") == ["one", "two", "", "bad \ufffd"]
    assert splitter.flush() == ["last"]
    assert splitter.flush() == []


def test_an_overlong_line_is_cut_between_characters() -> None:
    splitter = LineSplitter(8)
    assert splitter.feed("ééééé\n".encode()) == ["éééé", "é"]
    assert LineSplitter(9).feed("ééééé\n".encode()) == ["éééé", "é"]


def test_colours_are_kept_for_terminals_only() -> None:
    line = Line(
        1_000_000_000.25, "orders", "n1", Stream.STDOUT, "\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07"
    )
    assert line.as_text(colour=True) == "\x1b[1;31mred\x1b[0m link"
    assert line.as_text() == line.plain().text == "red link"
    assert line.as_text(stamp=True) == "2001-09-09T01:46:40.250Z n1 red link"
    assert strip_ansi("plain") == "plain"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[1;38:5:9mred\x1b[m\tä", "\x1b[1;38:5:9mred\x1b[m\tä"),
        ("\x1b]52;c;cHduZWQ=\x07clipboard", "clipboard"),
        ("\x1b]0;title\x1b\\title", "title"),
        ("\x1b[2J\x1b[Hcleared\x1b[1A\x1b[?1049h", "cleared"),
        ("\x1bcreset\x1b(0", "reset"),
        ("\x1bP1$r\x1b\\device\x1b_apc\x1b\\", "device"),
        ("\x9b2Jeight bits\x85", "2Jeight bits"),
        ("hidden\rother |", "hidden other |"),
        ("bell\x07\x08\x7f", "bell"),
        ("cut \x1b", "cut "),
        ("cut \x1b[", "cut "),
        ("cut \x1b]0;t", "cut "),
    ],
)
def test_a_terminal_is_told_of_colours_and_nothing_else(written: str, shown: str) -> None:
    """What a service writes may be what a stranger has sent it."""
    assert for_terminal(written) == shown
    assert Line(0.0, "orders", "n1", Stream.STDOUT, written).as_text(colour=True) == shown


# memory and files


async def test_what_nodes_write_is_kept_with_time_node_and_stream(logs: Logs) -> None:
    log = logs.of("default", "orders")
    one, two = log.writer("n1", Stream.STDOUT), log.writer("n2", Stream.STDERR)
    one.feed(b"hello ")
    two.feed(b"warning\n")
    one.feed(b"world\nno end")
    one.close()
    one.close()
    log.say("restarting n1")
    lines = await log.tail(10)
    assert [(line.node, line.stream, line.text) for line in lines] == [
        ("n2", Stream.STDERR, "warning"),
        ("n1", Stream.STDOUT, "hello world"),
        ("n1", Stream.STDOUT, "no end"),
        ("", Stream.PLATFORM, "restarting n1"),
    ]
    assert texts(await log.tail(1, node="n1")) == ["no end"]
    assert texts(log.recent(2)) == ["no end", "restarting n1"]
    assert texts(log.recent(5, node="n2")) == ["warning"]
    assert await log.tail(0) == []


async def test_a_log_is_found_again_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Logs(tmp_path, clock) as logs:
        for number in range(5):
            clock.advance(1)
            logs.of("default", "orders").add(f"n{number % 2}", Stream.STDOUT, [f"old {number}"])
        middle = clock.now() - 1
    async with Logs(tmp_path, clock) as logs:
        log = logs.of("default", "orders")
        log.add("n3", Stream.STDOUT, ["new \x1b[1mx"])
        assert texts(await log.tail(3)) == ["old 3", "old 4", "new \x1b[1mx"]
        assert texts(await log.since(middle)) == ["old 3", "old 4", "new \x1b[1mx"]
        assert texts(await log.since(middle, last=1, node="n0")) == ["old 4"]
        assert len(await log.tail(100)) == 6
        assert logs.known("default") == ["orders"]
    path = tmp_path / "default" / "orders.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert msgspec.json.decode(path.read_bytes().splitlines()[0]) == {
        "at": 1_000_000_001.0,
        "service": "orders",
        "node": "n0",
        "stream": "stdout",
        "text": "old 0",
    }


async def test_memory_is_bounded_and_older_lines_come_from_the_file(tmp_path: Path) -> None:
    async with Logs(tmp_path, SystemClock(), Limits(lines=10, size=10_000)) as logs:
        log = logs.of("default", "orders")
        for number in range(100):
            log.add("n", Stream.STDOUT, [f"{number}"])
        assert len(log.recent(1000)) == 10
        assert texts(await log.tail(50)) == [f"{number}" for number in range(50, 100)]
        log.add("n", Stream.STDOUT, ["x" * 9_000, "y" * 9_000])
        assert len(log.recent(1000)) == 1


async def test_files_rotate_and_reading_goes_across_them(tmp_path: Path) -> None:
    limits = Limits(lines=1, file=1000, files=2)
    async with Logs(tmp_path, SystemClock(), limits) as logs:
        log = logs.of("default", "orders")
        for number in range(100):
            log.add("n", Stream.STDOUT, [f"{number}"])
            if number % 7 == 0:
                await log.flush()
        found = [int(text) for text in texts(await log.tail(1000))]
        assert found == list(range(found[0], 100))
        assert 20 <= len(found) < 50
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "default").iterdir()}
    assert set(sizes) == {"orders.log", "orders.log.1", "orders.log.2"}
    assert all(size <= 1000 for size in sizes.values())


def test_a_torn_line_is_skipped_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log")
    file.append([Line(1, "x", "n", Stream.STDOUT, "whole")])
    with (tmp_path / "x.log").open("ab") as raw:
        raw.write(b'{"at":2,"service":"x","no')
    file.append([Line(3, "x", "n", Stream.STDOUT, "after")])
    assert texts(file.read()) == ["whole", "after"]


def test_reading_backwards_joins_what_blocks_cut(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log", limit=10_000_000)
    lines = [Line(number, "x", "n", Stream.STDOUT, f"{number} " * (number % 3000)) for number in range(400)]
    lines.append(Line(500, "x", "n", Stream.STDOUT, "z" * 600_000))
    file.append(lines)
    assert file.read() == lines
    assert file.read(last=3) == lines[-3:]


async def test_lines_reach_the_disk_by_themselves(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Logs(tmp_path, clock) as logs:
        log = logs.of("default", "orders")
        written = asyncio.Event()
        loop = asyncio.get_running_loop()
        tell(log._file, lambda: loop.call_soon_threadsafe(written.set))
        log.add("n", Stream.STDOUT, ["soon"])
        await asyncio.sleep(0)
        assert not (tmp_path / "default").exists()
        await asyncio.sleep(0)
        clock.advance(0.3)
        async with asyncio.timeout(10):
            await written.wait()
        assert "soon" in (tmp_path / "default" / "orders.log").read_text()


def tell(file: LogFile, callback: Callable[[], object]) -> None:
    append = file.append

    def and_tell(lines: list[Line]) -> None:
        append(lines)
        callback()

    file.append = and_tell  # type: ignore[method-assign, assignment]  # the test's window into the thread


async def test_a_disk_that_refuses_loses_lines_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Logs(tmp_path, SystemClock()) as logs:
        log = logs.of("default", "orders")
        (tmp_path / "default").write_text("no folder")
        log.add("n", Stream.STDOUT, ["one", "two"])
        await log.flush()
        log.add("n", Stream.STDOUT, ["three"])
        await log.flush()
        assert caplog.text.count("cannot be written") == 1
        assert texts(await log.tail(10)) == ["one", "two", "three"]
        (tmp_path / "default").unlink()
        log.add("n", Stream.STDOUT, ["four"])
        await log.flush()
    stored = texts(LogFile(tmp_path / "default" / "orders.log").read())
    assert stored[0] == "four"
    assert "lines are not in this file" in stored[1]


async def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path) -> None:
    async with Logs(tmp_path, ManualClock(), Limits(waiting=10_000)) as logs:
        log = logs.of("default", "orders")
        log.add("n", Stream.STDOUT, ("x" * 800 for _ in range(100)))
        assert log._waiting_size <= 10_000
    stored = texts(LogFile(tmp_path / "default" / "orders.log").read())
    assert len(stored) == 11
    assert stored[-1].startswith("… 90 lines are not in this file")


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "x\n"])
async def test_a_name_cannot_lead_out_of_the_folder(logs: Logs, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        logs.of("default", name)
    with pytest.raises(ValueError, match="is no name"):
        logs.of(name, "orders")


async def test_deleting_removes_files_and_ends_followers(tmp_path: Path, logs: Logs) -> None:
    log = logs.of("default", "orders")
    log.add("n", Stream.STDOUT, ["x"])
    await log.flush()
    async with log.follow() as follower:
        await logs.delete("default", "orders")
        assert [line async for line in follower] == []
    assert logs.known("default") == []
    assert await logs.of("default", "orders").tail(5) == []


# following


async def test_a_follower_gets_the_past_and_then_each_line_once(tmp_path: Path) -> None:
    async with Logs(tmp_path, SystemClock(), Limits(lines=5)) as logs:
        log = logs.of("default", "orders")
        log.add("n", Stream.STDOUT, (f"{number}" for number in range(20)))
        opened = threading.Event()
        tell(log._file, opened.set)

        async def write_meanwhile() -> None:
            await asyncio.to_thread(opened.wait)
            log.add("n", Stream.STDOUT, ["20"])

        async with asyncio.TaskGroup() as group:
            group.create_task(write_meanwhile())
            follower = await log.follow(last=10).__aenter__()
        log.add("n", Stream.STDOUT, ["21"])
        assert texts(await take(follower, 12)) == [f"{number}" for number in range(10, 22)]
        log.unsubscribe(follower)


async def test_a_follower_waits_for_lines_of_its_node(logs: Logs) -> None:
    log = logs.of("default", "orders")
    async with log.follow(node="n2") as follower:
        waiting = asyncio.ensure_future(take(follower, 1))
        await asyncio.sleep(0)
        log.add("n1", Stream.STDOUT, ["not this"])
        log.add("n2", Stream.STDOUT, ["this"])
        assert texts(await waiting) == ["this"]


async def test_a_slow_follower_is_told_what_it_missed(tmp_path: Path) -> None:
    async with Logs(tmp_path, SystemClock(), Limits(follow=5)) as logs:
        log = logs.of("default", "orders")
        async with log.follow() as follower:
            log.add("n", Stream.STDOUT, (f"{number}" for number in range(100)))
            assert len(follower._waiting) == 5
            first, *rest = await take(follower, 6)
            assert first.stream is Stream.PLATFORM
            assert "95 lines dropped" in first.text
            assert texts(rest) == ["95", "96", "97", "98", "99"]
        assert "dropped" not in " ".join(texts(await log.tail(200)))


async def test_followers_end_with_the_platform(tmp_path: Path) -> None:
    async with Logs(tmp_path, SystemClock()) as logs:
        log = logs.of("default", "orders")
        follower = await log.follow().__aenter__()
        log.add("n", Stream.STDOUT, ["last words"])
    assert texts([line async for line in follower]) == ["last words"]
    async with log.follow(last=5) as late:
        assert texts([line async for line in late]) == ["last words"]


async def test_a_reader_that_is_cancelled_leaves_the_file_in_order(tmp_path: Path) -> None:
    async with Logs(tmp_path, SystemClock(), Limits(lines=1)) as logs:
        log = logs.of("default", "orders")
        expected = [f"{number}" for number in range(200)]
        for text in expected:
            log.add("n", Stream.STDOUT, [text])
            reading = asyncio.create_task(log.tail(5))
            await asyncio.sleep(0)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
    assert texts(LogFile(tmp_path / "default" / "orders.log").read()) == expected
