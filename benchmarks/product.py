"""The product's side of every row, and the one place that knows its command line, its files and its library."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from benchmarks.harness import Options, Sample
from benchmarks.load import Post, measure
from benchmarks.peers.caller import CONCURRENCY
from benchmarks.processes import ROOT, ProgramFailedError, cpu_seconds, end, family

READY = "/readyz"
SECRET = "a secret for the bench"
CLIENT_COMMAND = ("call", "echo", "echo", '{"message":"x"}')
"""What a user types most: it resolves the service, calls it and prints the answer."""

ECHO = """\
import os

import msgspec

from microlite import Context, Service


class Echo(msgspec.Struct):
    message: str


service = Service("{name}")


@service.endpoint
async def echo(ctx: Context, message: str) -> Echo:
    return Echo(message)


@service.endpoint
async def pid(ctx: Context) -> int:
    return os.getpid()


if __name__ == "__main__":
    service.run()
"""

CALLER = """\
import asyncio
import time

from microlite import Context, Service

caller = Service("caller")


@caller.endpoint
async def measure(ctx: Context, count: int, concurrency: int) -> float:
    async def share(calls: int) -> None:
        for _ in range(calls):
            await ctx.call("echo.echo", message="x")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(concurrency):
            tasks.create_task(share(count // concurrency + (number < count % concurrency)))
    return time.perf_counter() - began


if __name__ == "__main__":
    caller.run()
"""

VERSIONED = """\
from microlite import Context, Service

versioned = Service("versioned")


@versioned.endpoint
async def version(ctx: Context) -> int:
    return {number}


if __name__ == "__main__":
    versioned.run()
"""

HARNESS = """\
import asyncio, json, sys, time

from microlite.testing import platform


async def main():
    taken = []
    for _ in range(int(sys.argv[1])):
        began = time.perf_counter()
        async with platform():
            taken.append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken))


asyncio.run(main())
"""


DECISIONS = """\
import asyncio, json, sys, tempfile, timeit
from pathlib import Path

from microlite.core.app import Platform
from microlite.core.context import Account
from microlite.core.policy.rules import Access, Resource, Rule, RuleSet
from microlite.core.settings import ServerOptions

RULES = [
    Rule(
        id=f"rule-{number}",
        scope=f"scope-{number % 10}",
        resource=Resource(name=f"service-{number}"),
        access=Access.DENIED if number % 2 else Access.GRANTED,
        priority=number,
    )
    for number in range(1_000)
]


async def main():
    account = Account(id="ann", scopes=("scope-8",))
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Platform(ServerOptions(home=Path(home) / "home", port=0)) as platform:
            check = platform.authority.check
            cached = [
                min(timeit.repeat(lambda: check(account, "default", "echo", "echo"), number=10_000, repeat=3)) * 100
                for _ in range(int(sys.argv[1]))
            ]
    rules = RuleSet("default", RULES)
    names = iter(range(10**9))
    first = [
        timeit.timeit(
            lambda: rules.decide(account, "service", "other", f"{next(names)}", otherwise=False), number=100
        )
        * 10_000
        for _ in range(int(sys.argv[1]))
    ]
    print(json.dumps([cached, first]))


asyncio.run(main())
"""


class _ServerFile(msgspec.Struct):
    pid: int
    gateway: str


class _Answer(msgspec.Struct):
    """What a unary endpoint answers over HTTP when it returns a number."""

    result: float


class Platform:
    """A platform on a home of its own, removed when it stops. It can be started again on the same home with `restart`.

    Args:
        options: Which interpreter and which file to run.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.folder = Path(self._folder.name)
        self.home = self.folder / "home"
        self._process: subprocess.Popen[bytes] | None = None
        self.gateway = ""
        self.pid = 0

    def start(self) -> float:
        """Start the server and return the ms from there to its first answered request.

        Raises:
            ProgramFailedError: When it ends, or does not answer within 20 s.
        """
        log = self.folder / "server.log"
        command = [*program(self._options), "--home", str(self.home), "server", "--port", "0"]
        with log.open("wb") as output:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, env=environment()
            )
        while time.perf_counter() - began < 20 and self._process.poll() is None:
            if self._find_gateway(log) and self._ready():
                return (time.perf_counter() - began) * 1000
            time.sleep(0.0005)
        raise ProgramFailedError(f"the platform does not answer: {_tail(log.read_text(errors='replace'))}")

    def stop_server(self) -> None:
        """End the server; the home stays."""
        process, self._process = self._process, None
        if process is not None:
            end(process)

    def stop(self) -> None:
        """End the server and remove its home."""
        self.stop_server()
        self._folder.cleanup()

    def deploy(self, name: str, source: str, *flags: str) -> Path:
        """Write a service to a folder of its name, run it detached, and return its ``main.py``."""
        main = self.folder / name / "main.py"
        main.parent.mkdir()
        main.write_text(source)
        self.command("run", str(main.parent), "--detach", *flags)
        return main

    def command(self, *arguments: str) -> str:
        """Run a client command and return what it prints.

        Raises:
            ProgramFailedError: When it fails, with its words.
        """
        answer = subprocess.run(
            self.client(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=ROOT,
            env=environment(),
        )
        if answer.returncode:
            words = _tail(answer.stderr or answer.stdout)
            raise ProgramFailedError(f"microlite {' '.join(arguments)} → {answer.returncode}: {words}")
        return answer.stdout

    def client(self, *arguments: str) -> list[str]:
        """Return the whole command line of a client command on this home."""
        return [*program(self._options), "--home", str(self.home), *arguments]

    def post(self, path: str, body: Mapping[str, object], token: str = "") -> Post:
        """Return a request to the gateway, of whoever the token stands for."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Post(self.gateway + path, json.dumps(body, separators=(",", ":")), headers)

    def close_service(self, name: str) -> str:
        """Close a service to everybody but one account, by rules, and return a token of that account."""
        admin = (self.home / "admin.token").read_text().strip()
        rule = {"resource": {"type": "service", "name": name, "endpoint": "*"}}
        for path, body in (
            ("/auth/accounts/create", {"id": "bench", "scopes": ["bench"], "secret": SECRET}),
            ("/auth/rules/create", {**rule, "id": "closed", "access": "denied", "priority": 1}),
            ("/auth/rules/create", {**rule, "id": "open", "access": "granted", "priority": 2, "scope": "bench"}),
        ):
            self.post(path, body, admin).once()
        answer = self.post("/auth/token", {"id": "bench", "secret": SECRET}).once()
        return str(json.loads(answer)["access_token"])

    def number(self, path: str, body: Mapping[str, object], seconds: float = 10.0) -> float:
        """Call an endpoint that returns a number. Raises `OSError` when it does not answer 200."""
        post = self.post(path, body)
        deadline = {**post.headers, "Timeout": f"{seconds:g}"}
        answer = msgspec.structs.replace(post, headers=deadline).once(seconds)
        try:
            return msgspec.json.decode(answer, type=float)
        except msgspec.ValidationError:
            return msgspec.json.decode(answer, type=_Answer).result

    def wait(self, what: str, done: Callable[[], bool], seconds: float = 20.0) -> None:
        """Ask every 5 ms until ``done``; a request that fails meanwhile counts as not yet.

        Raises:
            ProgramFailedError: When it does not happen in time.
        """
        deadline = time.monotonic() + seconds
        problem = ""
        while time.monotonic() < deadline:
            try:
                if done():
                    return
            except OSError as error:
                problem = f" ({error})"
            time.sleep(0.005)
        raise ProgramFailedError(f"{what} did not happen within {seconds:g} s{problem}")

    def deploy_echo(self, name: str = "echo", *flags: str) -> None:
        """Run the echo service and wait until it answers through the gateway."""
        self.deploy(name, ECHO.replace("{name}", name), *flags)
        self.wait(f"{name} answering", lambda: bool(self.post(f"/{name}/echo", {"message": "x"}).once()))

    def pids(self) -> list[int]:
        """Return the platform's process and all below it: fork server and nodes."""
        return family(self.pid)

    def _find_gateway(self, log: Path) -> bool:
        """Take the address from the file that this very server wrote, else from the line that it prints."""
        assert self._process is not None
        try:
            server = msgspec.json.decode((self.home / "server.json").read_bytes(), type=_ServerFile)
        except (OSError, msgspec.DecodeError):
            found = re.search(rb"http://127\.0\.0\.1:\d+", log.read_bytes())
            self.gateway, self.pid = found[0].decode() if found else "", self._process.pid
        else:
            if server.pid != self._process.pid:
                return False  # left by the server before this one
            self.gateway, self.pid = server.gateway.rstrip("/"), server.pid
        return bool(self.gateway)

    def _ready(self) -> bool:
        host, _, port = self.gateway.removeprefix("http://").partition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(f"GET {READY} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


class Gateway:
    """The echo service behind the gateway, closed by rules to all but the account that asks."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self._options = options
        self.platform = Platform(options)
        self._token = ""

    def start(self) -> None:
        """Start the platform and one node, and log in."""
        self.platform.start()
        self.platform.deploy_echo()
        self._token = self.platform.close_service("echo")
        answer = self.platform.post("/echo/echo", {"message": "x"}, self._token).once()
        if json.loads(answer) != {"message": "x"}:
            raise ProgramFailedError(f"the gateway answers {answer!r}, the bare app {{'message': 'x'}}")

    def measure(self, seconds: float) -> Sample:
        """Return requests per second at 32 connections; processor time is that of platform and node."""
        post = self.platform.post("/echo/echo", {"message": "x"}, self._token)
        return measure(post, self.platform.pids(), seconds, self._options.python)

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()


class ServiceCall:
    """Two nodes, one of which calls the other as fast as it can."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self.platform = Platform(options)
        self._rate = 0.0

    def start(self) -> None:
        """Start the platform and both nodes."""
        self.platform.start()
        self.platform.deploy_echo()
        self.platform.deploy("caller", CALLER)
        self.platform.wait("caller answering", lambda: self._ask(CONCURRENCY) > 0)

    def measure(self, seconds: float) -> Sample:
        """Return calls per second as the calling node counts them; processor time is that of platform and nodes."""
        pids = self.platform.pids()
        before = cpu_seconds(pids)
        count = max(640, int(self._rate * seconds))
        rate = self._ask(count)
        return Sample(rate, (cpu_seconds(pids) - before) / count * 1e6)

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()

    def _ask(self, count: int) -> float:
        taken = self.platform.number("/caller/measure", {"count": count, "concurrency": CONCURRENCY}, 60)
        self._rate = count / taken
        return self._rate


class LogIns:
    """Whoever logs in with the same account and secret, again and again."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self._options = options
        self.platform = Platform(options)

    def start(self) -> None:
        """Start the platform, make the account, and log in once, for which some libraries are imported."""
        self.platform.start()
        admin = (self.platform.home / "admin.token").read_text().strip()
        self.platform.post("/auth/accounts/create", {"id": "bench", "secret": SECRET}, admin).once()
        self.platform.post("/auth/token", {"id": "bench", "secret": SECRET}).once()

    def measure(self, seconds: float) -> Sample:
        """Return log-ins per second, four at a time; processor time is that of the platform.

        Ten at a time would be taken for somebody who guesses the secret, and so would those that are given up half-way.
        """
        post = self.platform.post("/auth/token", {"id": "bench", "secret": SECRET})
        pids = self.platform.pids()
        before, began, count = cpu_seconds(pids), time.perf_counter(), 0
        with ThreadPoolExecutor(4) as threads:
            while (taken := time.perf_counter() - began) < seconds:
                count += len(list(threads.map(lambda _: post.once(), range(8))))
        return Sample(count / taken, (cpu_seconds(pids) - before) / count * 1e6)

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()


def harness_times(options: Options, boots: int) -> list[float]:
    """Boot the test harness so many times in one fresh process; return the ms that each took."""
    answer = _script(options, HARNESS, boots, "the test harness does not boot")
    return msgspec.json.decode(answer, type=list[float])


def decision_times(options: Options, rounds: int) -> tuple[list[float], list[float]]:
    """Return the µs of a decision that was made before, and of one that is made anew by a thousand rules."""
    answer = _script(options, DECISIONS, rounds, "no decision is made")
    return msgspec.json.decode(answer, type=tuple[list[float], list[float]])


def _script(options: Options, script: str, count: int, problem: str) -> str:
    answer = subprocess.run(
        [options.python, "-c", script, str(count)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env=environment(),
    )
    if answer.returncode:
        raise ProgramFailedError(f"{problem}: {_tail(answer.stderr)}")
    return answer.stdout.splitlines()[-1]


def program(options: Options) -> list[str]:
    """Return how to run ``microlite``: the one file, or the module from the source tree."""
    return [options.python, *([options.pyz] if options.pyz else ["-m", "microlite"])]


def environment() -> dict[str, str]:
    """Return our environment without what would make the platform spawn nodes instead of forking them."""
    strange = ("PYTHON", "LD_", "MICROLITE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)}


def _tail(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-3:]) or "no word from it"
