"""The client without a loop, against a real listener in another thread."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.blocking import BlockingClient
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.frames import encode
from microlite.core.rpc.sockets import Listener
from tests.rpc.rpc_parts import Hearing, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path


class Platform:
    """A listener that runs in a thread; `do` runs something on its loop and waits for the result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.service: Service
        self.listener: Listener
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        up: Future[None] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(up),))
        self._thread.start()
        up.result()

    async def _run(self, up: Future[None]) -> None:
        self.service = Service()
        self.listener = Listener(self.path, self.service, role="platform", properties={"version": "9"})
        await self.listener.start()
        up.set_result(None)
        await self._stop.wait()
        await self.listener.close()
        await self.service.finished()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def soon(self, function: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def arrival(self) -> Hearing:
        found: Hearing = self.do(self.service.arrived.get())
        return found

    @property
    def connection(self) -> Connection:
        (connection,) = self.listener.connections
        return connection

    def close(self) -> None:
        self.soon(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    found = Platform(tmp_path / "platform.s")
    yield found
    found.close()


@pytest.fixture
def client(platform: Platform) -> Iterator[BlockingClient]:
    with BlockingClient(platform.path, {"pid": "1"}) as found:
        yield found


def test_a_unary_call_is_answered_with_all_that_travels_along(client: BlockingClient) -> None:
    assert client.peer.properties == {"version": "9"}
    assert client.call("s", "echo", b"x" * 1_000_000) == b"x" * 1_000_000
    told = client.call("orders", "tell", encoding=1, namespace="shop", metadata={"a": "b"})
    assert json.loads(told) == ["orders", 1, "shop", {"a": "b"}, 0]
    assert list(client.stream("s", "echo", b"one answer")) == [b"one answer"]


def test_errors_are_raised_as_their_class_and_the_client_goes_on(client: BlockingClient) -> None:
    with pytest.raises(errors.Conflict, match="taken") as raised:
        client.call("s", "fail", b'[409, "Conflict", "taken", "s.fail"]')
    assert raised.value.id == "s.fail"
    with pytest.raises(errors.ServiceUnavailable, match="not now"):
        client.call("s", "refuse")
    with pytest.raises(errors.PayloadTooLarge):
        client.call("s", "echo", bytes(frames.MAX_FRAME))
    with pytest.raises(errors.BadRequest, match="valid Unicode"):
        client.call("s", "echo", metadata={"x": "\ud800"})
    with pytest.raises(errors.BadGateway, match="answered with a stream"):
        client.call("s", "chat", items=[])
    assert client.call("s", "echo", b"on") == b"on"


def test_streams_in_all_directions_keep_to_the_credit(client: BlockingClient) -> None:
    assert len(list(client.stream("s", "count", b"3000 1000"))) == 3_000
    assert client.call("s", "total", items=(bytes(10_000) for _ in range(200))) == b"2000000"
    said = [b"%d" % number + bytes(5_000) for number in range(300)]
    assert list(client.stream("s", "chat", items=said)) == [b"> " + item for item in said]
    assert [len(item) for item in client.stream("s", "count", b"2 1000000")] == [1_000_000] * 2


def test_a_slow_reader_makes_the_callee_wait(platform: Platform, client: BlockingClient) -> None:
    items = client.stream("s", "count", b"100000 1000")
    for read in range(1, 600):
        next(items)
        assert platform.service.sent - read <= frames.INITIAL_CREDIT // 1_064 + 1
    items.close()
    platform.do(asyncio.wait_for(platform.arrival().canceled, 5))
    assert client.call("s", "echo", b"on") == b"on"


def test_a_deadline_raises_cancels_and_leaves_the_client_of_use(platform: Platform, client: BlockingClient) -> None:
    started = time.monotonic()
    with pytest.raises(errors.Timeout):
        client.call("s", "hold", timeout=0.05)
    assert time.monotonic() - started >= 0.04
    hearing = platform.arrival()
    platform.do(asyncio.wait_for(hearing.canceled, 5))
    assert client.call("s", "echo", b"on") == b"on"
    with pytest.raises(errors.Timeout):
        list(client.stream("s", "hold", timeout=0.05))


def test_a_connection_that_breaks_leaves_the_outcome_unknown(platform: Platform, client: BlockingClient) -> None:
    items = client.stream("s", "hold", timeout=10)
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            next(items)
        except errors.Error as error:
            outcome.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    platform.arrival()
    platform.soon(platform.connection.abort)
    reading.join()
    assert isinstance(outcome[0], errors.OutcomeUnknown)
    with pytest.raises(errors.ServiceUnavailable, match="connection"):
        client.call("s", "echo")


def test_go_away_ends_what_was_not_started_at_once(platform: Platform, client: BlockingClient) -> None:
    assert client.call("s", "echo") == b""
    platform.soon(platform.connection.go_away, "the platform stops")
    for _ in range(2):
        with pytest.raises(errors.ServiceUnavailable, match="the platform stops") as raised:
            client.call("s", "echo", timeout=10)
        assert type(raised.value) is errors.ServiceUnavailable


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(errors.ServiceUnavailable, match="nobody listens at"):
        BlockingClient(tmp_path / "none.s")


class Script:
    """A listener that answers the first bytes with what the test says, and closes."""

    def __init__(self, path: Path, *answers: bytes, wait: int = 1) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._answers = b"".join(answers)
        self.heard = b""
        self._wait = wait
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        accepted, _ = self._socket.accept()
        with accepted:
            decoder = frames.FrameDecoder()
            found = 0
            while found < self._wait:
                found += len(decoder.feed(accepted.recv(65_536)))
            accepted.sendall(self._answers)
            accepted.shutdown(socket.SHUT_WR)
            while data := accepted.recv(65_536):
                self.heard += data

    def close(self) -> None:
        self._thread.join()
        self._socket.close()


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ([encode(frames.Hello(2, "platform"))], errors.BadGateway, "version 2 of the wire"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], errors.BadGateway, "does not speak the protocol"),
        ([encode(frames.Hello(1, "platform")), encode(frames.GoAway(0, "full"))], errors.ServiceUnavailable, "full"),
        ([encode(frames.Hello(1, "platform"))], errors.OutcomeUnknown, "closed the connection"),
    ],
)
def test_what_is_no_platform_of_this_version_is_named(
    tmp_path: Path, answers: list[bytes], error: type[errors.Error], words: str
) -> None:
    script = Script(tmp_path / "x.s", *answers, wait=2)
    with BlockingClient(tmp_path / "x.s") as client, pytest.raises(error, match=words):
        client.call("s", "echo", timeout=10)
    script.close()


def test_what_is_left_of_other_calls_is_passed_over_and_questions_are_answered(tmp_path: Path) -> None:
    script = Script(
        tmp_path / "x.s",
        *map(
            encode,
            [
                frames.Hello(1, "platform"),
                frames.Reply(99, b"not mine"),
                frames.Item(99, b"not mine"),
                frames.Ping(7),
                frames.Call(2, "s", "e"),
                frames.Reply(1, b"mine"),
            ],
        ),
        wait=2,
    )
    with BlockingClient(tmp_path / "x.s") as client:
        assert client.call("s", "echo", timeout=10) == b"mine"
    script.close()
    assert frames.FrameDecoder().feed(script.heard) == [frames.Pong(7), frames.Refused(2, "a client takes no calls")]


def test_a_platform_that_does_not_read_ends_in_a_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "x.s"))
        deaf.listen()
        with BlockingClient(tmp_path / "x.s") as client, pytest.raises(errors.Timeout):
            client.call("s", "echo", bytes(10_000_000), timeout=0.1)


def test_it_imports_neither_asyncio_nor_any_loop() -> None:
    code = "import sys, microlite.core.rpc.blocking; print(sorted({'asyncio', 'uvloop', 'ssl'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


def test_a_signal_that_another_thread_gets_ends_the_wait_too(platform: Platform) -> None:
    """The system may hand Ctrl-C to any thread, and only the one that waits can act on it."""

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)

    def send() -> None:
        platform.arrival()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with BlockingClient(platform.path) as client, pytest.raises(Interrupted):
            client.call("s", "hold", b"")
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
