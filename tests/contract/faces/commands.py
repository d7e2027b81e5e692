"""The program as people type it: `call` and `stream`, dynamic commands, and the shell."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import msgspec

from microlite.core import errors
from tests.contract.faces.face import Answer, Face, Need
from tests.contract.sample import sample

if TYPE_CHECKING:
    from tests.contract.scenarios import Scenario


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: str


class Terminal:
    """Runs command lines, each in a process of its own; see `command_program`."""

    def __init__(self, control: socket.socket, home: Path) -> None:
        self._control = control
        self._home = home

    async def run(self, *words: str, stdin: bytes = b"", leave: int = 0) -> Said:
        """Run `microlite WORDS`; with `leave`, stop listening after so many lines, as `| head -n LEAVE` does."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            words_file, stdin_file, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            words_file.write(json.dumps(["--home", str(self._home), *words]).encode())
            stdin_file.write(stdin)
            for file in (words_file, stdin_file):
                file.seek(0)
            read, write = os.pipe()
            out = stack.enter_context(os.fdopen(read, "rb"))
            socket.send_fds(self._control, [b"1"], [words_file.fileno(), stdin_file.fileno(), write, err.fileno()])
            os.close(write)
            text = await asyncio.to_thread(_read, out, leave)
            out.close()
            (code,) = await loop.sock_recv(self._control, 1)
            err.seek(0)
            return Said(code, text, err.read().decode().strip())


def _read(out: Any, leave: int) -> bytes:
    return b"".join(out.readline() for _ in range(leave)) if leave else bytes(out.read())


@contextlib.asynccontextmanager
async def terminal(home: Path) -> AsyncIterator[Terminal]:
    """A terminal of the platform on this home."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.contract.faces.command_program", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        theirs.close()
        yield Terminal(ours, home)
        ours.close()
        await process.wait()


class CommandLine(Face):
    """`microlite call` and `microlite stream`."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def ask(self, scenario: Scenario) -> Answer:
        said = await self._terminal.run(*self._words(scenario), stdin=lines_of(scenario), leave=scenario.leave)
        values = self._values(said, scenario)
        return Answer(values, (said.code, said.err) if said.code and not scenario.leave else None)

    def _words(self, scenario: Scenario) -> Sequence[str]:
        return [
            *("stream" if scenario.streams else "call", "-o", "raw"),
            *(f"--metadata={key}={value}" for key, value in scenario.metadata.items()),
            *(("--timeout", f"{scenario.timeout}s") if scenario.timeout else ()),
            *(scenario.service, scenario.endpoint, msgspec.json.encode(scenario.request).decode()),
        ]

    def _values(self, said: Said, scenario: Scenario) -> list[Any]:
        return documents_of(said.out)

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        begins_with_a_word = error.detail.partition(" ")[0].isalpha()
        sentence = error.detail[:1].upper() + error.detail[1:] if begins_with_a_word else error.detail
        return (errors.exit_code(error), sentence)


class DynamicCommand(CommandLine):
    """`microlite sample hello --name Ann`: each field is a flag. What no flag can say goes along as `--json`."""

    lacks: ClassVar = frozenset({Need.METADATA, Need.TIMEOUT})

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        super().__init__(terminal)
        self._folder = folder

    def _words(self, scenario: Scenario) -> Sequence[str]:
        words = [scenario.service, *scenario.endpoint.split(".")]  # `microlite sample` lists what there is
        if Need.MISFIT in scenario.needs:
            return [*words, f"--json={msgspec.json.encode(scenario.request).decode()}"]
        return [
            *words,
            *(f"--{name}={text}" for name, value in scenario.request.items() for text in self._texts(value)),
        ]

    def _texts(self, value: Any) -> list[str]:
        """A value as words after its flag: lists by repeating it, files by their names, all else as JSON has it."""
        if isinstance(value, str):
            return [value]
        if isinstance(value, bytes):
            return [self._save("content", value)]
        if isinstance(value, dict) and "content" in value:
            return [self._save(value["name"], value["content"])]
        if isinstance(value, list) and value:
            return [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in value]
        return [msgspec.json.encode(value).decode()]

    def _save(self, name: str, content: bytes) -> str:
        (self._folder / name).write_bytes(content)
        return f"@{self._folder / name}"

    def _values(self, said: Said, scenario: Scenario) -> list[Any]:
        if not said.out and not said.code and not scenario.streams:
            return [None]  # where there is no answer, none is printed
        endpoint = sample.endpoints.get(scenario.endpoint)
        produces = endpoint.description.produces if endpoint is not None else ""
        if produces:
            return [said.out.decode() if produces.startswith("text/") else base64.b64encode(said.out).decode()]
        return documents_of(said.out)


_WRITE: Final = "import msgspec\nwrite = lambda value: msgspec.json.encode(value).decode()\n"


class Shell(CommandLine):
    """`microlite shell -c 'await sample.hello(name="Ann")'`."""

    lacks: ClassVar = frozenset({Need.METADATA, Need.TIMEOUT, Need.UNKNOWN, Need.MISFIT})

    def _words(self, scenario: Scenario) -> Sequence[str]:
        path = f"sample.{scenario.endpoint.replace('-', '_')}" if scenario.endpoint != "call" else "sample"
        fields = ", ".join(f"{name}={value!r}" for name, value in scenario.request.items())
        items = f"items={scenario.items!r}, " if scenario.items is not None else ""
        call = f"{path}({items}{fields})"
        if scenario.streams:
            return ["shell", "-c", f"{_WRITE}async for item in {call}: print(write(item), flush=True)"]
        return ["shell", "-c", f"{_WRITE}print(write(await {call}))"]


def lines_of(scenario: Scenario) -> bytes:
    """The caller's stream, one document a line."""
    return b"".join(msgspec.json.encode(item) + b"\n" for item in scenario.items or ())


def documents_of(out: bytes) -> list[Any]:
    """JSON documents one behind the other."""
    found, decoder = [], json.JSONDecoder()
    text = out.decode().strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found
