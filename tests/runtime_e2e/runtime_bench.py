"""A real platform in the test's own loop, real services in processes of their own, and happenings to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from microlite import connect
from microlite.core.app import Platform
from microlite.core.library.caller import Caller
from microlite.core.runtime.api import Happening, ServiceStatus, Topic
from microlite.core.runtime.backoff import Policy
from microlite.core.runtime.machinery import Patience
from microlite.core.runtime.states import State
from microlite.core.settings import ServerOptions

QUICK = Patience(
    start=2.0, notice=0.5, check=0.2, silence=0.3, retry=Policy(first=0.02, factor=1.5, attempts=3, jitter=0.0)
)
"""For tests of what fails: nothing is waited for longer than needs be."""

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MICROLITE_"))}

VERSIONED = """
    from microlite import Service

    service = Service("{name}", version="{number}")

    @service.endpoint
    async def version() -> int:
        return {number}

    if __name__ == "__main__":
        service.run()
"""


def versioned(number: int, name: str = "echo") -> str:
    """A service that answers a number."""
    return textwrap.dedent(VERSIONED.format(number=number, name=name))


class Session:
    """`microlite run` without its terminal: services that live as long as this is open, and what happens to them."""

    def __init__(self, caller: Caller, request: dict[str, Any]) -> None:
        self.seen: list[Happening] = []
        self.error: BaseException | None = None
        self._stream = caller.stream("runtime.session", request=request)
        self._changed = asyncio.Event()
        self._read = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stream.aclose()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        try:
            async for item in self._stream:
                self.seen.append(msgspec.convert(item, Happening))
                self._changed.set()
        except Exception as error:
            self.error = error
        finally:
            self._changed.set()

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def end(self) -> None:
        """Return when the stream has ended."""
        await asyncio.wait({self._task})

    async def until(self, wanted: Callable[[Happening], object]) -> Happening:
        """The next happening, after the one that was returned last, that is as wanted."""
        while True:
            while self._read < len(self.seen):
                happening = self.seen[self._read]
                self._read += 1
                if wanted(happening):
                    return happening
            if self.ended:
                raise AssertionError(f"the session ended first: {self.error!r}; it told {self.seen}")
            self._changed.clear()
            await self._changed.wait()

    async def topic(self, topic: Topic) -> Happening:
        return await self.until(lambda happening: happening.topic is topic)

    async def state(self, state: State) -> Happening:
        return await self.until(lambda happening: happening.state is state)

    async def running(self, *services: str) -> None:
        """Return when all of these (or the one that there is) run for the first time."""
        left = set(services)
        while True:
            happening = await self.until(
                lambda seen: seen.state in (State.RUNNING, State.ERROR) and (not services or seen.service in services)
            )
            assert happening.state is State.RUNNING, happening.text
            left.discard(happening.service)
            if not left:
                return

    async def line(self, text: str) -> Happening:
        """The next line of a log that holds the text."""
        return await self.until(lambda happening: happening.line is not None and text in happening.line.text)


class Bench:
    """A platform and the folders of services."""

    def __init__(self, platform: Platform, folder: Path, caller: Caller) -> None:
        self.platform = platform
        self.home = platform.options.home
        self.folder = folder
        self.caller = caller
        self.call = caller.call

    def write(self, path: str, source: str) -> Path:
        """Save a file below the folder of all services."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def request(self, *sources: str, **options: Any) -> dict[str, Any]:
        options.setdefault("environment", ENVIRONMENT)
        places = [source if "://" in source else str(self.folder / source) for source in sources]
        return {"sources": places, **options}

    def session(self, *sources: str, **options: Any) -> Session:
        return Session(self.caller, self.request(*sources, **options))

    async def run(self, *sources: str, **options: Any) -> list[ServiceStatus]:
        """Run services detached."""
        return await self.statuses("runtime.run", request=self.request(*sources, **options))

    async def statuses(self, target: str, **fields: Any) -> list[ServiceStatus]:
        return msgspec.convert(await self.caller.options(timeout=60).call(target, **fields), list[ServiceStatus])

    async def status(self, service: str) -> ServiceStatus:
        (found,) = await self.statuses("runtime.status", service=service)
        return found


@contextlib.asynccontextmanager
async def bench_on(home: Path, folder: Path, patience: Patience | None = None, **options: Any) -> AsyncIterator[Bench]:
    """A platform on this home; leaving stops it."""
    folder.mkdir(exist_ok=True)
    platform = Platform(ServerOptions(home=home, port=0, **{"dashboard": False, **options}), patience=patience)
    async with platform, connect(home) as caller:
        yield Bench(platform, folder, caller)
