"""The gateway speaks TLS with a certificate that can be renewed under it, and says in plain words what is wrong with one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.asyncio.client import connect

from microlite.core import errors
from microlite.core.clock import ManualClock, SystemClock
from microlite.core.exposure import check_exposure, check_secret, describe_exposure, is_loopback
from microlite.core.settings import ServerOptions
from microlite.web.gateway.certificate import LOOK, Certificate
from tests.gateway.authority import Authority
from tests.gateway.gateway_bench import Bench, Start, Wire


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def open_tls(bench: Bench, authority: Authority, name: str = "localhost") -> Wire:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", bench.gateway.port, ssl=authority.client(), server_hostname=name
    )
    return Wire(reader, writer)


async def test_both_ways_of_answering_speak_tls(start: Start, way: str, authority: Authority) -> None:
    certificate = Certificate(*authority.issue("localhost", "127.0.0.1"), SystemClock())
    bench = await start(fast=way == "fast", certificate=certificate)
    assert bench.gateway.url == f"https://127.0.0.1:{bench.gateway.port}"
    wire = await open_tls(bench, authority)
    for number in range(3):
        answer = await wire.request("POST", "/echo", b'{"n":%d}' % number)
        assert answer.json() == {"n": number}
    assert (await wire.request("GET", "/nothing/here")).status == 404
    large = b'"' + b"x" * 3_000_000 + b'"'
    assert (await wire.request("POST", "/echo", large)).body == large
    version = wire.writer.get_extra_info("ssl_object").version()
    await wire.close()
    assert version == "TLSv1.3"


async def test_a_websocket_comes_by_tls_too(start: Start, authority: Authority) -> None:
    bench = await start(certificate=Certificate(*authority.issue("localhost"), SystemClock()))
    url = f"wss://localhost:{bench.gateway.port}/echo"
    async with connect(url, host="127.0.0.1", proxy=None, ssl=authority.client()) as socket:
        await socket.send('{"n":1}')
        assert await socket.recv() == '{"n":1}'


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "asgi"])
@pytest.mark.parametrize("path", ["/echo", "/nothing", "/healthz"])
async def test_browsers_are_told_to_come_by_tls_only(path: str, fast: bool, start: Start, authority: Authority) -> None:
    """Whatever the answer. Not at the name `localhost`, where that would hold for all that is developed there."""
    certificate = Certificate(*authority.issue("shop.example.org"), SystemClock())
    bench = await start(fast=fast, certificate=certificate, hsts=100, allowed_hosts=("shop.example.org",))
    wire = await open_tls(bench, authority, "shop.example.org")
    answer = await wire.request("GET", path, headers={"Host": "shop.example.org"})
    assert answer.headers["strict-transport-security"] == "max-age=100"
    await wire.close()


async def test_what_is_no_tls_is_ended(start: Start, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word in the log, which anybody could fill."""
    bench = await start(certificate=Certificate(*authority.issue("localhost"), SystemClock()))
    wire = await bench.connect()
    wire.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await wire.reader.read() in (b"", b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x02\x46")
    assert not caplog.records


async def test_a_handshake_that_never_ends_is_ended(start: Start, authority: Authority) -> None:
    bench = await start(certificate=Certificate(*authority.issue("localhost"), SystemClock()), head_timeout=0.1)
    wire = await bench.connect()
    wire.send(b"\x16\x03\x01")
    try:
        assert await wire.reader.read() == b""
    except ConnectionError:
        pass


async def test_old_versions_of_tls_are_not_spoken(start: Start, authority: Authority) -> None:
    bench = await start(certificate=Certificate(*authority.issue("localhost"), SystemClock()))
    client = authority.client()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", bench.gateway.port, ssl=client, server_hostname="localhost")


def serial(wire: Wire) -> str:
    return str(wire.writer.get_extra_info("peercert")["serialNumber"])


async def test_a_renewed_certificate_is_taken_up(start: Start, authority: Authority) -> None:
    """Also one with a key of another kind, and while connections are open, which notice nothing."""
    clock = ManualClock()
    certificate = Certificate(*authority.issue("localhost"), SystemClock())
    certificate._clock = clock  # the files' times are real, the looks are the test's
    clock.advance(SystemClock().now() - clock.now())
    certificate.watch()
    bench = await start(certificate=certificate)
    early = await open_tls(bench, authority)
    authority.issue("localhost", key=rsa.generate_private_key(65537, 2048))
    clock.advance(LOOK)
    late = await open_tls(bench, authority)
    assert serial(late) != serial(early)
    assert (await early.request("POST", "/echo", b"{}")).status == 200
    await early.close()
    await late.close()
    certificate.close()


async def test_a_bad_new_certificate_leaves_the_old_one(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """It is complained of once; when the other file is there as well, both are taken."""
    files = authority.issue("one.example")
    certificate = Certificate(*files, SystemClock())
    other = authority.issue("two.example", stem="other")
    other[0].replace(files[0])
    certificate.reload()
    certificate.reload()
    assert certificate.names == ("one.example",)
    assert [record.message for record in caplog.records] == [
        f"the certificate that was in use stays: the key {files[1]} is not that of the certificate {files[0]}"
    ]
    other[1].replace(files[1])
    certificate.reload()
    assert certificate.names == ("two.example",)


def gone(authority: Authority) -> tuple[Path, Path]:
    return authority.folder / "gone.pem", authority.issue("a.example")[1]


def no_key(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("a.example")[0], authority.folder / "gone.key"


def folder(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("a.example")[0], authority.folder


def swapped(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("a.example")[::-1]


def twice(authority: Authority) -> tuple[Path, Path]:
    certificate = authority.issue("a.example")[0]
    copy = authority.folder / "copy.key"
    copy.touch(0o600)
    copy.write_bytes(certificate.read_bytes())
    return certificate, copy


def foreign(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("a.example")[0], authority.issue("a.example", stem="b")[1]


def readable(authority: Authority) -> tuple[Path, Path]:
    files = authority.issue("a.example")
    files[1].chmod(0o644)
    return files


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (gone, "gone.pem (--tls-cert) cannot be read: No such file"),
        (no_key, "gone.key (--tls-key) cannot be read: No such file"),
        (folder, "(--tls-key) is no file"),
        (swapped, "server.key (--tls-cert) holds no certificate in PEM form"),
        (twice, "copy.key (--tls-key) holds no private key in PEM form"),
        (foreign, "b.key is not that of the certificate"),
        (readable, "can be read by others; mend it with: chmod 600"),
        (lambda authority: authority.issue("a.example", days=(-9, -1)), "has expired, at"),
        (lambda authority: authority.issue("a.example", days=(1, 9)), "is valid only from"),
        (lambda authority: authority.issue("a.example", password=b"secret"), "openssl pkey -in"),
        (
            lambda authority: authority.issue("a.example", key=rsa.generate_private_key(65537, 1024)),
            "cannot be used: EE_KEY_TOO_SMALL",
        ),
    ],
)
def test_what_is_wrong_is_said(make: Callable[[Authority], tuple[Path, Path]], says: str, authority: Authority) -> None:
    with pytest.raises(errors.Error) as caught:
        Certificate(*make(authority), SystemClock())
    assert says in caught.value.detail


@pytest.mark.parametrize(
    ("names", "host", "allowed", "public", "told"),
    [
        (("localhost",), "127.0.0.1", (), "localhost", False),
        (("127.0.0.1", "localhost"), "127.0.0.1", (), "127.0.0.1", False),
        (("shop.example",), "127.0.0.1", (), "shop.example", True),
        (("shop.example",), "0.0.0.0", (), "shop.example", True),
        (("localhost", "shop.example"), "0.0.0.0", (), "shop.example", False),
        (("*.example.org",), "::", ("*.example.org", "shop.example.org"), "shop.example.org", True),
        (("*.example.org",), "::", (), "localhost", False),
        (("10.0.0.7",), "10.0.0.7", (), "10.0.0.7", False),
        ((), "10.0.0.7", ("shop.example",), "10.0.0.7", False),
    ],
)
def test_the_name_in_urls_is_one_of_the_certificate(
    names: tuple[str, ...], host: str, allowed: tuple[str, ...], public: str, told: bool, authority: Authority
) -> None:
    certificate = Certificate(*authority.issue(*names), SystemClock())
    assert certificate.public_name(host, allowed) == public
    assert bool(certificate.hsts(public)) is told


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False), ("2001:db8::1", False)),
    ],
)
def test_what_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "nothing would be encrypted"),
        ({"host": ""}, "every address can be reached"),
        ({"host": "192.0.2.1", "tls_cert": Path("a")}, "--tls-key is missing"),
        ({"tls_key": Path("a")}, "--tls-cert is missing"),
        ({"tls_cert": Path("a"), "tls_key": Path("b"), "insecure_http": True}, "leave one of them out"),
    ],
)
def test_nothing_listens_for_others_unencrypted_by_oversight(options: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.BadRequest, match=says):
        check_exposure(ServerOptions(home=Path("/nowhere"), **options))


def test_a_platform_that_others_reach_says_what_is_open() -> None:
    home = Path("/nowhere")
    check_exposure(ServerOptions(home=home))
    assert describe_exposure(ServerOptions(home=home), ["greeter"]) == []
    open_to_all = ServerOptions(home=home, host="0.0.0.0", insecure_http=True)
    check_exposure(open_to_all)
    told = "\n".join(describe_exposure(open_to_all, ["orders", "greeter"]))
    assert "greeter, orders" in told
    assert "nothing is encrypted" in told


@pytest.mark.parametrize("secret", ["x" * 40, "password" * 5, "0123456789" * 4, "changemechangemechangemechangeme"])
def test_a_secret_that_could_be_guessed_is_none(secret: str) -> None:
    with pytest.raises(errors.Forbidden, match="could be guessed"):
        check_secret(secret, "the token")


def test_what_is_no_secret_to_openssl_asks_nobody(authority: Authority, capfd: pytest.CaptureFixture[str]) -> None:
    """A key that needs a password must not make OpenSSL wait for one at the terminal."""
    with pytest.raises(errors.BadRequest):
        Certificate(*authority.issue("a.example", password=b"secret"), SystemClock())
    assert capfd.readouterr().out == ""
