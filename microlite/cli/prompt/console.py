"""Reads statements, runs them and shows what they give: `code.InteractiveConsole` with `await`, services and few words.

A statement that awaits runs on a loop in a thread of its own, which goes on while the next one is typed; so does one that
uses asyncio. Every other one runs in the main thread, where Ctrl-C reaches it.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import code
import dis
import inspect
import linecache
import pprint
import shutil
import sys
import traceback
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from microlite.cli.arrival import wait_for
from microlite.cli.described import read_record
from microlite.cli.failure import INTERRUPTED, CommandError, sentence
from microlite.cli.link import connect
from microlite.cli.prompt.objects import Endpoint, Misuse, ServiceObject, explain, identifier
from microlite.core import errors
from microlite.core.description.naming import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.cli.link import Link
    from microlite.cli.prompt.line import Line
    from microlite.core.library.loop_thread import LoopThread

_PATIENCE: Final = 2.0
"""Seconds that the list of services may take, which is asked for with each statement and each Tab."""

_HELP: Final = """\
Each service is an object here, and each of its endpoints a method:

  await greeter.hello(name="Ann")                        a call
  async for item in orders.watch(): print(item)          a stream
  await notes.comments.create(text="x")                  a nested endpoint

  services()                   names of all services; those that start later are found too
  service("my-service")        one by its name, where Python has another use for the word (here: my_service)
  help(greeter), describe(greeter.hello)                 doc, fields and types

_ is the last result. Tab completes. Ctrl-C cancels what runs, Ctrl-D leaves."""


class Console(code.InteractiveConsole):
    """Python for the people of one platform.

    Args:
        line: makes calls.
        thread: its loop runs what awaits.

    Attributes:
        exit_code: of the last statement: 0, or what its error stands for on the command line.
    """

    def __init__(self, line: Line, thread: LoopThread) -> None:
        self._line = line
        self._thread = thread
        self._found: dict[str, ServiceObject] = {}
        self._count = 0
        self.exit_code = 0
        # Services stand where Python's own functions do: a variable hides one, and `del` brings it back.
        self._words: dict[str, Any] = {
            **vars(builtins),
            "services": self._services,
            "service": self._service,
            "describe": self._describe,
            "help": self._help,
        }
        self._own = frozenset(self._words)
        super().__init__({"__name__": "__console__", "__builtins__": self._words}, "<shell>")
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    # -- what is there ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Find out which services there are now. Where no platform answers, it stays as it was."""
        try:
            with connect(self._line.options) as link:
                self._found = _services(link, self._line)
        except (CommandError, errors.Error):
            return  # the call itself says so
        for name in [name for name, value in self._words.items() if isinstance(value, ServiceObject)]:
            del self._words[name]
        for name, found in self._found.items():
            word = identifier(name)
            if word not in self._own:
                self._words[word] = found

    @property
    def words(self) -> Mapping[str, Any]:
        """Every name that can begin an expression."""
        return {**self._words, **self.locals}

    def _services(self) -> list[str]:
        """Names of all services, those of the platform last."""
        self.refresh()
        return list(self._found)

    def _service(self, name: str) -> ServiceObject:
        """A service by its name."""
        found = self._found.get(normalise(name))
        if found is None and self._await(normalise(name)):
            found = self._found.get(normalise(name))
        if found is None:
            raise Misuse(f"there is no service {name}; there are {', '.join(self._found)}")
        return found

    def _await(self, name: str) -> bool:
        """Wait for a service whose first node is on its way. False where there is none of this name."""
        try:
            with connect(self._line.options) as link:
                there = wait_for(link, name)
        except CommandError:
            return False  # no platform: the call itself says so
        if there:
            self.refresh()
        return there

    def _await_names(self, code: CodeType) -> None:
        """Wait for the services that a statement names and that are on their way: as its calls would."""
        names = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
        for name in sorted(names - self.locals.keys() - self._words.keys()):
            self._await(normalise(name))

    def _describe(self, what: Any = None) -> None:
        if isinstance(what, str):
            service, *parts = what.split(".")
            what = self._service(service)
            for part in parts:
                what = getattr(what, part)
        text = explain(what)
        if not text:
            raise Misuse('describe a service or an endpoint: describe(greeter), describe("greeter.hello")')
        print(text)  # noqa: T201 - the prompt speaks to the terminal, as Python's own does

    def _help(self, *what: Any) -> None:
        text = explain(what[0]) if what else _HELP
        if text:
            print(text)  # noqa: T201 - as above
        else:
            import pydoc

            pydoc.help(what[0])

    # -- running -------------------------------------------------------------------------------------------------------

    def execute(self, source: str) -> None:
        """Run a whole program; of each expression that stands alone, the value is shown, as at the prompt."""
        name = self._name(source)
        try:
            tree = ast.parse(source, name)
            compiled = compile(ast.Interactive(tree.body), name, "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError, OverflowError):
            self.exit_code = 1
            self.showsyntaxerror(name)
            return
        self.runcode(compiled)

    def runsource(self, source: str, filename: str = "", symbol: str = "single") -> bool:
        """See `code.InteractiveInterpreter`; each statement is a file of its own, so that tracebacks show its lines."""
        return super().runsource(source, self._name(source), symbol)

    def runcode(self, code: CodeType) -> None:
        """Run a compiled statement, and show what goes wrong. `SystemExit` passes."""
        self.exit_code = 0
        self.refresh()
        function = FunctionType(code, self.locals)
        try:
            self._await_names(code)
            if code.co_flags & inspect.CO_COROUTINE or "asyncio" in code.co_names:
                self._run_on_loop(function)
            else:
                function()
        except SystemExit:
            raise
        except KeyboardInterrupt:
            self._say("\nKeyboardInterrupt", INTERRUPTED)  # as the base class says it where a line is typed
        except BaseException as error:  # noqa: BLE001 - the prompt goes on, whatever was typed
            self._show(error)

    def _run_on_loop(self, function: Callable[[], Any]) -> None:
        """Run it in the loop's thread, and raise here what it raises: an exit there would end the loop."""

        async def run() -> BaseException | None:
            try:
                begun = function()
                if inspect.iscoroutine(begun):
                    await begun
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
                return error
            return None

        try:
            error = self._thread.run(run())
        except KeyboardInterrupt:
            self._thread.run(asyncio.sleep(0.01))  # its `finally` blocks speak before the prompt does
            raise
        if error is not None:
            raise error

    def _show(self, error: BaseException) -> None:
        if isinstance(error, errors.Error):
            self._say(sentence(str(error)), errors.exit_code(error))
        elif isinstance(error, Misuse):
            self._say(str(error), 1)
        else:
            at = error.__traceback__
            while at is not None and not at.tb_frame.f_code.co_filename.startswith("<shell"):
                at = at.tb_next
            self._say("".join(traceback.format_exception(type(error), error, at)).rstrip(), 1)

    def _say(self, text: str, code: int) -> None:
        self.exit_code = code
        self.write(f"{text}\n")

    def _name(self, source: str) -> str:
        self._count += 1
        name = f"<shell {self._count}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return name

    def write(self, data: str) -> None:
        """Write to stderr, after everything that was printed."""
        sys.stdout.flush()
        sys.stderr.write(data)
        sys.stderr.flush()

    # -- showing -------------------------------------------------------------------------------------------------------

    def display(self, value: object) -> None:
        """Show the value of an expression, and keep it as `_`; the hook of Python for that."""
        if value is None:
            return
        self._words["_"] = value
        if isinstance(value, ServiceObject | Endpoint):
            print(explain(value))  # noqa: T201 - as above
            return
        width = shutil.get_terminal_size().columns - 1
        print(pprint.pformat(value, width=width, sort_dicts=False))  # noqa: T201 - as above


def _services(link: Link, line: Line) -> dict[str, ServiceObject]:
    records = link.ask("registry", "list", timeout=_PATIENCE, built_in=True)
    records.sort(key=lambda record: (record.get("built_in", False), record["name"]))
    versions: dict[str, list[Any]] = {}
    for record in records:
        versions.setdefault(record["name"], []).append(read_record(record))
    return {name: ServiceObject(line, found) for name, found in versions.items()}
