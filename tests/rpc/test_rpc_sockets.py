"""Unix sockets: where they lie, who may come in, and what a caller hears when nobody is there."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.blocking import BlockingClient
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.frames import encode
from microlite.core.rpc.paths import PATH_LIMIT, socket_path
from microlite.core.rpc.sockets import Listener, dial, peer_uid, private_folder
from tests.rpc.rpc_parts import HELLO, Service

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_socket_path_is_short_whatever_the_folder_and_the_name(tmp_path: Path) -> None:
    short = socket_path(Path("/run/x"), "default greeter-1 " + "long" * 100)
    assert short.parent == Path("/run/x")
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    far = socket_path(deep, "greeter")
    assert far == socket_path(deep, "greeter")
    assert len({far, socket_path(deep, "orders"), socket_path(deep / "f", "greeter")}) == 3
    assert far.parent.name.startswith(f"microlite-{os.getuid()}-")
    for path in (short, far):
        assert len(os.fsencode(path)) <= PATH_LIMIT


@pytest.mark.parametrize("length", [PATH_LIMIT - 1, PATH_LIMIT, PATH_LIMIT + 1])
async def test_around_the_limit_every_path_can_be_listened_at(length: int, tmp_path: Path) -> None:
    name = len(os.fsencode(socket_path(Path("/x"), "n").name))
    folder = tmp_path / ("d" * (length - len(os.fsencode(tmp_path)) - name - 2))
    path = socket_path(folder, "n")
    assert (path.parent == folder) == (length <= PATH_LIMIT)
    listener = Listener(path, Service(), role="platform")
    await listener.start()
    try:
        connection = await dial(str(path), Service(), role="client")
        assert await UnaryCall("s", "echo", b"x").run(connection.start) == b"x"
        connection.close()
        await connection.closed
    finally:
        await listener.close()
        if path.parent != folder:
            path.parent.rmdir()


def test_a_private_folder_is_made_with_its_parents_and_mended(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_a_file_and_somebody_elses_folder_are_not_private(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file", "file/below"):
        with pytest.raises(errors.Forbidden, match="choose another home with --home"):
            private_folder(tmp_path / name)
    if os.getuid() == 0:
        os.chown(tmp_path / "real", 65_534, 65_534)
        with pytest.raises(errors.Forbidden):
            private_folder(tmp_path / "real")


async def test_a_listener_replaces_a_stale_socket_and_leaves_that_of_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "x.s"
    first, second = Listener(path, Service(), role="node"), Listener(path, Service(), role="node")
    await first.start()
    assert path.stat().st_mode & 0o777 == 0o600
    await second.start()
    await first.leave("the node is stopping")
    await first.leave("the node is stopping")
    connection = await dial(str(path), Service(), role="peer")
    await connection.ping()
    await first.close()
    await second.close()
    await connection.closed
    assert not path.exists()


async def test_a_listener_knows_its_connections_and_ends_them(tmp_path: Path) -> None:
    hello: asyncio.Queue[Connection] = asyncio.Queue()
    lost: asyncio.Queue[Connection] = asyncio.Queue()
    service = Service()
    listener = Listener(
        tmp_path / "x.s",
        service,
        role="platform",
        properties={"version": "1"},
        on_hello=hello.put_nowait,
        on_lost=lost.put_nowait,
    )
    await listener.start()
    gone: list[Connection] = []
    one = await dial(str(listener.path), Service(), role="node", properties={"node": "n1"}, on_lost=gone.append)
    two = await dial(str(listener.path), Service(), role="client")
    accepted = {found.peer.role: found for found in (await hello.get(), await hello.get()) if found.peer is not None}
    assert set(accepted) == {"node", "client"}
    assert accepted["node"].peer is not None
    assert accepted["node"].peer.properties == {"node": "n1"}
    assert listener.connections == set(accepted.values())
    two.close()
    assert await lost.get() is accepted["client"]
    held = asyncio.ensure_future(UnaryCall("s", "hold").run(one.start))
    hearing = await service.arrived.get()
    await listener.leave("the node is stopping")
    with pytest.raises(errors.ServiceUnavailable):
        await dial(str(listener.path), Service(), role="client")
    hearing.inbound.reply(b"goes on")
    assert await held == b"goes on"
    with pytest.raises(errors.ServiceUnavailable, match="the connection is closed"):
        await UnaryCall("s", "echo").run(one.start)
    await listener.close()
    await one.closed
    assert gone == [one]
    assert one.peer is not None
    assert one.peer.properties == {"version": "1"}
    assert listener.connections == set()


async def test_who_has_connected_but_is_not_let_in_yet_is_told_to_go_away(tmp_path: Path) -> None:
    """A call that was sent on such a connection provably did not start."""
    service = Service()
    listener = Listener(tmp_path / "x.s", service, role="node")
    await listener.start()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(listener.path))  # and the loop has no turn to accept it
        caller.sendall(encode(frames.Hello(frames.VERSION, "peer", {})) + encode(frames.Call(1, "s", "echo", b"x")))
        await listener.leave("the node is stopping")
        await listener.close()
        decoder = frames.FrameDecoder()
        heard: list[object] = []
        while data := caller.recv(65536):
            heard += decoder.feed(data)
    assert isinstance(heard[0], frames.Hello)
    assert heard[1:] == [frames.GoAway(0, "the node is stopping")]
    assert service.seen == []


async def test_an_answer_that_waits_is_read_although_its_sender_reads_no_more(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "x.s"))
        server.listen()
        connection = await dial(str(tmp_path / "x.s"), Service(), role="peer")
        answered = asyncio.ensure_future(UnaryCall("s", "echo", b"x").run(connection.start))
        await asyncio.sleep(0)
        with server.accept()[0] as accepted:
            accepted.recv(65536)
            accepted.sendall(encode(frames.Hello(frames.VERSION, "node", {})) + encode(frames.Reply(1, b"x")))
        late = asyncio.ensure_future(UnaryCall("s", "echo", b"y").run(connection.start))
        assert await answered == b"x"
        with pytest.raises(errors.ServiceUnavailable, match="the connection broke") as failed:
            await late
        assert type(failed.value) is errors.ServiceUnavailable, "it never left, so its outcome is known"


async def test_dialling_nobody_says_so(tmp_path: Path) -> None:
    stale = tmp_path / "stale.s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(stale))
    for path in (tmp_path / "none.s", stale, tmp_path / ("x" * 200)):
        with pytest.raises(errors.ServiceUnavailable, match="nobody listens at"):
            await dial(str(path), Service(), role="client")


async def test_a_queue_that_is_full_counts_as_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "x.s"))
        listening.listen(0)
        waiting = await dial(str(tmp_path / "x.s"), Service(), role="client")
        with pytest.raises(errors.ServiceUnavailable, match="nobody listens at"):
            await dial(str(tmp_path / "x.s"), Service(), role="client")
        waiting.abort()
        await waiting.closed


async def test_a_full_listener_is_closed_within_its_second(tmp_path: Path) -> None:
    arrived: asyncio.Queue[Connection] = asyncio.Queue()
    listener = Listener(tmp_path / "x.s", Service(), role="platform", on_hello=arrived.put_nowait)
    await listener.start()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(listener.path))
        silent.sendall(frames.encode(HELLO))
        connection = await arrived.get()
        connection.write(bytes(10_000_000))
        await listener.close()
        assert connection.closed.done()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can be let into, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


ATTEMPT = """
import socket, sys, os
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as attempt:
    attempt.connect(sys.argv[1])
    try:
        attempt.sendall(bytes.fromhex(sys.argv[2]))
        print(attempt.recv(100))
    except OSError:
        print(b"")
"""

LISTENING = """
import socket, sys, os
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_turned_away_unheard(open_folder: Path) -> None:
    seen: list[Connection] = []
    service = Service()
    listener = Listener(
        open_folder / "run" / "x.s", service, role="platform", on_hello=seen.append, on_lost=seen.append
    )
    await listener.start()
    for place in (open_folder, listener.path.parent, listener.path):
        place.chmod(0o777)
    said = (frames.encode(HELLO) + frames.encode(frames.Call(1, "s", "echo"))).hex()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ATTEMPT, str(listener.path), said, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.strip() == b"b''"
    assert service.seen == []
    assert seen == []
    await listener.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_a_socket_that_somebody_else_serves_is_told_nothing(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder.chmod(0o777)
    path = open_folder / "x.s"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LISTENING, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    try:
        connection = await dial(str(path), Service(), role="client")  # root may talk to whom it likes
        connection.abort()
        await connection.closed
        monkeypatch.setattr(os, "getuid", lambda: 1_000)
        with pytest.raises(errors.Forbidden, match="65534, not by you"):
            await dial(str(path), Service(), role="client")
        with pytest.raises(errors.Forbidden, match="65534, not by you"):
            BlockingClient(path)
    finally:
        await process.communicate(b"")


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_uid(one) == os.getuid()
