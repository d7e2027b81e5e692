"""`microlite shell`: with a program, with one that is piped in, and at a terminal."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli_e2e.conftest import PROGRAM, Live
from tests.cli_e2e.terminal import Terminal

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def shop(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(Path(__file__).with_name("shop.py"), folder / "main.py")
    live.run(folder)
    yield live
    live.kill(["shop-2"])


Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(shop: Live) -> Run:
    """Runs a program by `-c`; gives the exit code and what is printed."""

    def call(program: str) -> tuple[int, str, str]:
        done = shop.microlite("shell", "-c", program)
        return done.returncode, done.stdout, done.stderr

    return call


def test_calls_are_awaited_and_their_answers_shown(run: Run) -> None:
    program = """
await shop_2.order(item="tea", gift=True)
answer = await shop_2.order("milk", "extra large")
answer["size"]
await shop_2.comments.list()
print(await shop_2.comments.create(text="hm"))
await shop_2.wait.line.caller() is None
"""
    assert run(program) == (
        0,
        "{'item': 'tea', 'size': 'small', 'gift': True}\n'extra large'\n['well done']\nhm\nFalse\n",
        "",
    )


def test_streams_go_in_every_direction(run: Run) -> None:
    program = """
async for number in shop_2.watch(to=2):
    number
[number async for number in shop_2.double([4, 5])]
await shop_2.total([1, 2.5], start=10)
await shop_2.total(items=iter([1]), start=1)
import asyncio
await asyncio.gather(*(shop_2.order(item) for item in "ab"))
"""
    code, out, err = run(program)
    assert (code, err) == (0, "")
    assert out.startswith("1\n2\n[8, 10]\n13.5\n2.0\n[{'item': 'a', 'size': 'small', 'gift': False},")


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        ("await shop_2.order(item=7)", 127, "item: expected str, got int\n"),
        ("await shop_2.order(item='gold')", 127, "item: there is no gold\n"),
        ("await shop_2.order()", 127, "item: "),
        ("await shop_2.order(itm=7)", 1, "shop_2.order has no field itm; did you mean item?\n"),
        ("await shop_2.order(1, 2, 3, 4, 5)", 1, "shop_2.order takes 4 fields, not 5: shop_2.order(item: string, "),
        ("await shop_2.odrer()", 1, "shop_2 has no endpoint odrer; did you mean order?\n"),
        (
            "await shop_2.watch()",
            1,
            "shop_2.watch answers with a stream: async for item in shop_2.watch(…): print(item)\n",
        ),
        ("async for item in shop_2.order(item='x'): pass", 1, "shop_2.order answers once: await shop_2.order(…)\n"),
        ("list(shop_2.watch())", 1, "a stream comes bit by bit: async for item in shop_2.watch(…): print(item)\n"),
        ("service('nobody')", 1, "there is no service nobody; there are shop-2, "),
        ("describe(3)", 1, "describe a service or an endpoint: "),
    ],
)
def test_a_mistake_is_told_in_a_line(run: Run, program: str, code: int, says: str) -> None:
    ended, out, err = run(program)
    assert (ended, out) == (code, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_the_users_own_mistakes_have_their_traceback(run: Run) -> None:
    code, _, err = run("def f():\n    return 1 / 0\n\nawait shop_2.order('a')\nf()\n")
    assert code == 1
    assert err.splitlines()[0] == "Traceback (most recent call last):"
    assert "    return 1 / 0" in err
    assert "ZeroDivisionError: division by zero" in err
    assert "microlite/" not in err
    assert run("x =")[0] == 1
    assert "SyntaxError" in run("x =")[2]


def test_a_call_that_is_not_awaited_says_so(run: Run) -> None:
    assert run("shop_2.order(item='x')")[1] == "<a call that is not made yet: await shop_2.order(…)>\n"
    assert "async for item in shop_2.watch(…)" in run("shop_2.watch()")[1]


def test_what_there_is_can_be_asked(run: Run) -> None:
    code, out, err = run("services()\nshop_2\nhelp(shop_2.order)\ndescribe('shop-2.comments')\nhelp()")
    assert (code, err) == (0, "")
    for text in (
        "['shop-2',",
        "Sells things.\n",
        "  <shop_2.comments: create, list>\n",
        "shop_2.order(item: string, size: extra large|small = 'small', colour: green|red = 'red', gift: bool = False) ",
        "  item: string  what is wanted.\n",
        "  shop_2.watch(to: int = 3) -> stream of int\n",
        "  shop_2.comments.create(text: string) -> string\n      Write a comment.\n",
        "Ctrl-D leaves.\n",
    ):
        assert text in out


def test_a_service_that_is_called_as_a_function_of_python_leaves_it_alone(run: Run, shop: Live, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        'from microlite import Service\nservice = Service("list")\n\n@service.endpoint\ndef call() -> int:\n    return 7\n\n'
        "service.run()\n"
    )
    shop.run(tmp_path)
    try:
        assert run("list('ab')\nawait service('list')()\nawait service('list').call()") == (0, "['a', 'b']\n7\n7\n", "")
    finally:
        shop.kill(["list"])


def test_what_is_piped_in_is_run(shop: Live) -> None:
    done = shop.microlite("shell", stdin="for item in 'ab':\n    print(item)\nawait shop_2.comments.list()\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nb\n['well done']\n", "")
    assert shop.microlite("shell", stdin="await shop_2.order()").returncode == 127
    assert shop.microlite("shell", stdin="await shop_2.comments.list()\nraise SystemExit(3)").returncode == 3
    assert shop.microlite("shell", stdin="").returncode == 0


def test_without_a_platform_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--home", tmp_path, "shell", "-c", "1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"Failed to connect to the microlite server at {tmp_path}; start one with: microlite server\n"


@pytest.fixture
def prompt(shop: Live, tmp_path: Path) -> Iterator[Terminal]:
    with Terminal([*PROGRAM, "shell"], shop.environment, tmp_path) as terminal:
        terminal.expect("Ctrl-D leaves\n>>> $")
        yield terminal


def test_the_prompt_shows_what_to_try_and_ctrl_d_leaves(prompt: Terminal, shop: Live) -> None:
    assert "Try: await shop_2.order(item=…)    Tab completes, help() says more, Ctrl-D leaves" in prompt.text
    prompt.press("await shop_2.order(item='tea')\n")
    prompt.expect("{'item': 'tea', 'size': 'small', 'gift': False}\n>>> $")
    prompt.press("_['item']\n")
    prompt.expect("\n'tea'\n>>> $")
    prompt.press("1 / 0\n")
    prompt.expect("ZeroDivisionError: division by zero\n>>> $")
    prompt.press("\x04")
    assert prompt.wait() == 0
    file = shop.home / "shell-history"
    assert "await shop_2.order(item='tea')" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_statements_of_several_lines_are_read_to_their_end(prompt: Terminal) -> None:
    for line in ("async for number in shop_2.watch(to=2):", "    print('number', number)"):
        prompt.press(f"{line}\n")
        prompt.expect(r"\.\.\. $")
    prompt.press("\n")
    prompt.expect("number 1\nnumber 2\n>>> $")


def test_ctrl_c_cancels_what_runs_and_the_line_that_is_typed(prompt: Terminal) -> None:
    for endless in ("await shop_2.wait()", "[0 for _ in iter(int, 1)]"):
        prompt.press(f"if print('begun') is None: {endless}\n\n")
        prompt.expect("\nbegun\n")
        prompt.press("\x03")
        prompt.expect("KeyboardInterrupt\n>>> $")
    prompt.press("half a line")
    prompt.expect("half a line")
    prompt.press("\x03")
    prompt.expect("KeyboardInterrupt\n>>> $")
    prompt.press("await shop_2.comments.list()\n")
    prompt.expect("\\['well done'\\]\n>>> $")


@pytest.mark.parametrize(
    ("typed", "seen"),
    [("half a line", "half a line"), ("if print('begun') is None: await shop_2.wait()\n\n", "\nbegun\n")],
)
def test_ctrl_c_is_acted_on_though_another_thread_gets_it(
    prompt: Terminal, tmp_path: Path, typed: str, seen: str
) -> None:
    """A wait in C ends only for a signal that comes to its thread, and not before the wait; only Python's handler comes."""
    os.mkfifo(tmp_path / "ctrl-c")
    for line in (
        "import signal, threading; key = open('ctrl-c', 'r+b', buffering=0)",
        "def get(): key.read(1); signal.pthread_kill(threading.get_ident(), signal.SIGINT)",
        "",
        "threading.Thread(target=get, daemon=True).start()",
    ):
        prompt.press(f"{line}\n")
        prompt.expect(r"(>>>|\.\.\.) $")
    prompt.press(typed)
    prompt.expect(seen)
    (tmp_path / "ctrl-c").write_bytes(b"c")
    prompt.expect("KeyboardInterrupt\n>>> $")


def test_what_was_begun_goes_on_while_the_next_line_is_typed(prompt: Terminal) -> None:
    prompt.press("import asyncio; done = []\n")
    prompt.expect(">>> $")
    prompt.press("async def work(): done.append(await shop_2.total([1], start=1))\n\n")
    prompt.expect(r"\.\.\. \n?>>> $")
    prompt.press("task = asyncio.create_task(work())\n")
    prompt.expect(">>> $")
    prompt.press("await task; print(done)\n")
    prompt.expect(r"\[2.0\]\n>>> $")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("await sho\t", "await shop_2"),
        ("await shop_2.or\t", "await shop_2.order\\("),
        ("await shop_2.comm\t", "await shop_2.comments."),
        ("await shop_2.comments.cr\t", "comments.create\\("),
        ("await shop_2.order(it\t", "order\\(item="),
        ("await shop_2.order(item='x', gi\t", "gift="),
        ("await shop_2.order(item='x', gift=T\t", "gift=True"),
        ('await shop_2.order(size="s\t', 'size="small"'),
        ("serv\t", "service"),
        ("describe(shop_2.com\t", "describe\\(shop_2.comments."),
        ("'x'.upp\t", "'x'.upp"),
    ],
)
def test_tab_completes(prompt: Terminal, typed: str, completed: str) -> None:
    prompt.press(typed)
    prompt.expect(completed)


def test_variables_complete_and_hide_services(prompt: Terminal) -> None:
    prompt.press("my_long_name = shop_2\n")
    prompt.expect(">>> $")
    prompt.press("await my_lo\t")
    prompt.expect("my_long_name")
    prompt.press(".comments.li\t")
    prompt.expect("comments.list\\(")
    prompt.press(")\n")
    prompt.expect("\\['well done'\\]\n>>> $")
    prompt.press("shop_2 = 1; shop_2\n")
    prompt.expect("\n1\n>>> $")
    prompt.press("del shop_2; await shop_2.comments.list()\n")
    prompt.expect("\\['well done'\\]\n>>> $")


def test_a_service_that_starts_later_is_there(prompt: Terminal, shop: Live, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "main.py").write_text(
        'from microlite import Service\nservice = Service("late")\n\n@service.endpoint\ndef ask() -> int:\n    return 42\n\n'
        "service.run()\n"
    )
    shop.run(folder)
    try:
        prompt.press("await lat\t.ask()\n")
        prompt.expect("\n42\n>>> $")
    finally:
        shop.kill(["late"])
    prompt.press("await late.ask()\n")
    prompt.expect("NameError: name 'late' is not defined\n>>> $")


def test_nothing_but_this_command_loads_an_event_loop() -> None:
    script = (
        "import sys\nfrom microlite.cli.entry import run\nrun(['shell', '--help'])\nprint('asyncio' in sys.modules)"
    )
    done = subprocess.run([PROGRAM[0], "-c", script], env=dict(os.environ), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
