"""Runs a page of documentation as a reader would: writes its files, types its commands, compares what they print.

A fenced block is one of three things:

- a language and `title="main.py"`: a file, written into the working folder;
- `console`: lines that begin with `$ ` are typed, in turn; what follows each is what it prints;
- `console terminal=2`: the same in a terminal of its own, where a command may go on: of what it prints so far, the lines
  of the block must come, in this order. A later block of the same terminal goes on from there; the line `^C` there
  presses Ctrl-C and waits for the end, and a line that begins with `(Pdb) ` is typed at the prompt of that name.

In what is expected, `…` stands for any text, and alone on a line for any number of lines.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

WAIT = 50.0
"""Seconds until an expected line has to be there: no promise of the product, which a busy machine would break, but short of
what a test may take, so that the lines that did come are told."""

PROMPT = "(Pdb) "
"""Where a program waits for somebody to type."""

_FENCE = re.compile(r"^```(\S*)[ ]*(.*)$")
_ATTRIBUTE = re.compile(r'(\w+)="?([^"\s]+)"?')
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Block(NamedTuple):
    """A fenced block."""

    line: int
    language: str
    attributes: Mapping[str, str]
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines, each with its end."""
        return "".join(f"{line}\n" for line in self.lines)


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is not None:
            inside = []
            for _, inner in lines:
                if inner == "```":
                    break
                inside.append(inner)
            yield Block(number, opening[1], dict(_ATTRIBUTE.findall(opening[2])), inside)


def steps(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """What is typed, and what is expected after it; the first part may have nothing typed."""
    typed, expected = "", list[str]()
    for line in lines:
        if line.startswith("$ ") or line == "^C":
            if typed or expected:
                yield typed, expected
            typed, expected = line.removeprefix("$ "), []
        else:
            expected.append(line)
    yield typed, expected


def matches(expected: str, line: str) -> bool:
    """Whether a line is what was expected."""
    pattern = ".*".join(re.escape(part) for part in expected.rstrip().split("…"))
    return re.fullmatch(pattern, line.rstrip()) is not None


def compare(expected: list[str], printed: list[str]) -> None:
    """Check all that a command printed, from first to last line.

    Raises:
        AssertionError: it is not what was expected.
    """
    rest = list(printed)
    anything = False
    for line in expected:
        if line.strip() == "…":
            anything = True
            continue
        while anything and rest and not matches(line, rest[0]):
            rest.pop(0)
        found = rest.pop(0) if rest else None
        assert found is not None, f"expected {line!r}, and it printed:\n" + "\n".join(printed)
        assert matches(line, found), f"expected {line!r}, and it printed:\n" + "\n".join(printed)
        anything = False
    assert anything or not rest, "it printed more than expected:\n" + "\n".join(printed)


class Terminal:
    """One terminal, for real: a command that goes on, and what it has printed, without its colours."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._leader = -1
        self._lines: list[str] = []
        self._begun = ""
        self._seen = 0
        self._changed = threading.Condition()

    def start(self, command: str) -> None:
        """Type a command."""
        if self._process is not None:
            assert self._process.poll() is not None, "the terminal is taken"
            self._close()
        self._leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read, name=f"terminal of {command}")
        self._reader.start()

    def _read(self) -> None:
        came = b""
        while True:
            try:
                more = os.read(self._leader, 65_536)
            except OSError:  # Linux tells the end of a terminal so
                return
            *whole, came = (came + more).replace(b"\r\n", b"\n").split(b"\n")
            with self._changed:
                self._lines += [_plain(line) for line in whole]
                self._begun = _plain(came)
                self._changed.notify_all()

    def expect(self, line: str) -> None:
        """Wait until the command prints this line.

        Raises:
            AssertionError: it does not.
        """
        deadline = time.monotonic() + WAIT
        with self._changed:
            while True:
                while self._seen < len(self._lines):
                    self._seen += 1
                    if matches(line, self._lines[self._seen - 1]):
                        return
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise AssertionError(f"expected {line!r}; so far:\n" + "\n".join(self._lines))

    def answer(self, line: str) -> None:
        """Type the rest of this line when its prompt is there.

        Raises:
            AssertionError: no prompt comes.
        """
        with self._changed:
            asked = self._changed.wait_for(lambda: self._begun == PROMPT, WAIT)
            assert asked, f"no prompt for {line!r}; so far:\n" + "\n".join(self._lines)
            self._begun = ""
        os.write(self._leader, f"{line.removeprefix(PROMPT)}\n".encode())
        self.expect(line)

    def interrupt(self) -> None:
        """Press Ctrl-C, and wait for the end."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(WAIT)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError("Ctrl-C did not end it; it printed:\n" + "\n".join(self._lines)) from None
        finally:
            self._close()

    def _close(self) -> None:
        assert self._reader is not None
        self._reader.join()
        os.close(self._leader)
        self._process = None

    @property
    def is_taken(self) -> bool:
        """Whether a command is there."""
        return self._process is not None


def _plain(line: bytes) -> str:
    return _STYLE.sub("", line.decode(errors="replace"))


class Reader:
    """Somebody who does what a page says.

    Args:
        folder: where.
        environment: of all commands.
        port: the port that is used in place of the page's 8080.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], port: int) -> None:
        self._folder = folder
        self._environment = environment
        self._port = str(port)
        self._terminals: dict[str, Terminal] = {}

    def follow(self, page: str) -> None:
        """Do all that the page says, and end what it has started.

        Raises:
            AssertionError: something does not happen as the page says.
        """
        try:
            for block in blocks(page):
                try:
                    self._do(block)
                except AssertionError as error:
                    raise AssertionError(f"line {block.line}: {error}") from None
        finally:
            for terminal in self._terminals.values():
                if terminal.is_taken:
                    terminal.interrupt()

    def _do(self, block: Block) -> None:
        if "title" in block.attributes:
            path = self._folder / block.attributes["title"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text), encoding="utf-8")
        elif block.language == "console" and "terminal" in block.attributes:
            name = block.attributes["terminal"]
            terminal = self._terminals.setdefault(name, Terminal(self._folder, self._environment))
            for typed, expected in steps([self._here(line) for line in block.lines]):
                if typed == "^C":
                    terminal.interrupt()
                elif typed:
                    terminal.start(typed)
                for line in expected:
                    if line.startswith(PROMPT):
                        terminal.answer(line)
                    elif typed != "^C" and line.strip() not in ("", "…"):
                        terminal.expect(line)
        elif block.language == "console":
            for typed, expected in steps(block.lines):
                compare(expected, self._run(self._here(typed)))

    def _here(self, text: str) -> str:
        return text.replace("8080", self._port)

    def _run(self, command: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT,
            check=False,
        )
        return done.stdout.replace(self._port, "8080").splitlines()
