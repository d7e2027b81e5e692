"""A launched script runs as if the interpreter had been started with it, forked or spawned."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from microlite.core.runtime.launch.api import MARKER

Bench = Any  # the fixture's type lives in conftest.py, which cannot be imported from here


async def test_it_is_main_with_its_own_arguments_path_folder_and_environment(bench: Bench) -> None:
    bench.env = {"PATH": os.environ["PATH"], "GREETING": "hallo wörld", "ODD": os.fsdecode(b"\xff\xfe")}
    other = bench.folder / "elsewhere"
    other.mkdir()
    code, node = await bench.run(
        """
        import json, os, sys
        import __main__
        print(json.dumps({
            "name": __name__, "file": __file__, "argv": sys.argv, "path0": sys.path[0], "cwd": os.getcwd(),
            "spec": __spec__ is None and __package__ is None, "same": __main__.__dict__ is globals(),
            "env": {**os.environ}, "raw": os.environb[b"ODD"] == b"\\xff\\xfe", "python": sys.executable,
            "ours": [name for name in sys.modules if name in ("life", "child", "frames", "script")],
            "here": [path for path in sys.path if "launch" in path.split(os.sep)],
        }))
        """,
        "--flag",
        "ein wort",
        cwd=str(other),
    )
    seen = json.loads(node.out)
    assert code == 0
    script = str(bench.folder / "main.py")
    assert (seen["name"], seen["file"], seen["argv"]) == ("__main__", script, [script, "--flag", "ein wort"])
    assert (seen["path0"], seen["cwd"]) == (str(bench.folder), str(other))
    assert seen["python"] == sys.executable
    assert [seen["spec"], seen["same"], seen["raw"]] == [True, True, True]
    assert not seen["ours"]
    assert not [path for path in seen["here"] if not path.startswith(str(bench.folder))]
    assert seen["env"].pop(MARKER)
    seen["env"].pop("LC_CTYPE", None)  # what Python itself does in the C locale
    assert seen["env"] == bench.env


async def test_a_symbolic_link_gives_the_folder_of_its_target(bench: Bench) -> None:
    bench.write("real/main.py", "import sys, neighbour; print(sys.path[0])")
    bench.write("real/neighbour.py", "")
    link = bench.folder / "link.py"
    link.symlink_to(bench.folder / "real" / "main.py")
    code, node = await bench.run(script=str(link))
    assert (code, node.out.strip()) == (0, str(bench.folder / "real"))


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit()", 0, ""),
        ("raise SystemExit('no luck')", 1, "no luck\n"),
        ("import os; os._exit(9)", 9, ""),
        ("raise ValueError('x')", 1, "ValueError: x\n"),
    ],
)
async def test_the_exit_code_is_the_interpreters(bench: Bench, source: str, code: int, said: str) -> None:
    exit_code, node = await bench.run(source)
    assert exit_code == code
    assert node.err.endswith(said)
    assert bool(node.err) == bool(said)


async def test_a_signal_is_told_as_a_signal(bench: Bench) -> None:
    node = await bench.start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    end = await node.exit()
    assert (end.code, end.signal, end.pid) == (None, signal.SIGKILL, node.process.pid)
    assert end.lived > 0
    assert node.process.exit == end


async def test_keyboard_interrupt_ends_by_sigint_as_in_any_python(bench: Bench) -> None:
    node = await bench.start("import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()")
    assert (await node.exit()).signal == signal.SIGINT
    assert node.err.startswith("Traceback")
    assert node.err.endswith("KeyboardInterrupt\n")


async def test_atexit_threads_and_buffered_output_are_finished(bench: Bench) -> None:
    code, node = await bench.run(
        """
        import atexit, sys, threading
        go = threading.Event()
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (go.wait(), print("thread"))).start()
        sys.stdout.write("unfinished ")
        go.set()
        """
    )
    assert code == 0
    assert node.out == "unfinished thread\nat exit\n"


async def test_a_printed_line_arrives_while_the_process_runs(bench: Bench) -> None:
    node = await bench.start("import signal; print('one'); signal.pause()")
    assert await node.line() == "one"
    assert node.process.exit is None
    node.process.kill()
    assert (await node.exit()).signal == signal.SIGKILL


async def test_what_was_printed_last_is_there_before_the_end_is_told(bench: Bench) -> None:
    code, node = await bench.run("import os; os.write(1, b'x' * 60_000); os.write(2, b'y' * 60_000); os._exit(0)")
    assert code == 0
    assert (len(node.out), len(node.err)) == (60_000, 60_000)


async def test_a_flood_of_output_does_not_hold_the_process_up(bench: Bench) -> None:
    code, node = await bench.run("import os\nfor _ in range(200): os.write(1, b'z' * 20_000)")
    assert code == 0
    assert len(node.out) == 4_000_000


async def test_an_end_does_not_wait_for_a_grandchild_that_keeps_stdout(bench: Bench) -> None:
    """A daemon in a session of its own holds the pipe open; only the process's own end counts."""
    code, node = await bench.run(
        """
        import subprocess
        print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
        """
    )
    assert code == 0
    os.kill(int(node.out), signal.SIGKILL)


async def test_a_traceback_shows_the_source_and_none_of_our_frames(bench: Bench) -> None:
    code, node = await bench.run(
        """
        def broken():
            return 1 / 0  # here

        try:
            {}["key"]
        except KeyError:
            broken()
        """
    )
    assert code == 1
    assert "return 1 / 0  # here" in node.err
    assert "During handling of the above exception" in node.err
    assert node.err.count('File "') == 3
    assert node.err.count(str(bench.folder / "main.py")) == 3
    assert node.err.endswith("ZeroDivisionError: division by zero\n")


async def test_a_syntax_error_is_shown_as_python_shows_it(bench: Bench) -> None:
    code, node = await bench.run("x = (1,\n")
    assert code == 1
    assert node.err.startswith(f'  File "{bench.folder / "main.py"}", line 1\n    x = (1,\n')
    assert "SyntaxError" in node.err


async def test_a_hook_of_the_users_gets_the_exception(bench: Bench) -> None:
    code, node = await bench.run(
        """
        import sys, traceback
        sys.excepthook = lambda kind, value, trace: print(kind.__name__, len(traceback.extract_tb(trace)))
        raise LookupError
        """
    )
    assert (code, node.out, node.err) == (1, "LookupError 1\n", "")


async def test_a_traceback_stays_right_after_the_next_edit(bench: Bench) -> None:
    bench.write("library.py", "def fail():\n    raise ValueError('old source')\n")
    node = await bench.start(
        """
        import library, signal
        signal.signal(signal.SIGUSR1, lambda *_: library.fail())
        print("ready")
        while True: signal.pause()
        """
    )
    await node.line()
    bench.write("library.py", "\n\n\ndef fail():\n    pass  # new source\n")
    os.kill(node.process.pid, signal.SIGUSR1)
    await node.exit()
    assert "raise ValueError('old source')" in node.err
    assert "new source" not in node.err


async def test_two_saves_within_a_second_never_serve_stale_bytecode(bench: Bench) -> None:
    """Same size, same time: what makes a `.pyc` pass for current. Packages below the folder count too."""
    main = "import module, package.part; print(module.value, package.part.value)"
    bench.write("package/__init__.py", "")
    for value in (1, 2, 3):
        for name in ("module.py", "package/part.py"):
            path = bench.write(name, f"value = {value}\n")
            os.utime(path, (1_000_000_000, 1_000_000_000))
        _, node = await bench.run(main)
        assert node.out == f"{value} {value}\n"
    assert not list(bench.folder.rglob("*.pyc"))


async def test_bytecode_that_lies_there_already_is_not_believed(bench: Bench) -> None:
    module = bench.write("module.py", "value = 1\n")
    os.utime(module, (1_000_000_000, 1_000_000_000))
    await bench.run("import py_compile; py_compile.compile('module.py')")
    assert list(bench.folder.rglob("*.pyc"))
    bench.write("module.py", "value = 2\n")
    os.utime(module, (1_000_000_000, 1_000_000_000))
    _, node = await bench.run("import module; print(module.value)")
    assert node.out == "2\n"


async def test_a_root_above_the_script_is_the_project(bench: Bench) -> None:
    bench.write("shared/tool.py", "")
    bench.write(
        "app/main.py", "import sys; sys.path.append('shared'); import tool; print(type(tool.__loader__).__name__)"
    )
    _, node = await bench.run(script=str(bench.folder / "app/main.py"), root=str(bench.folder))
    assert node.out == "FreshLoader\n"


async def test_installed_packages_below_the_project_keep_their_bytecode(bench: Bench) -> None:
    bench.write(".venv/lib/python3/site-packages/installed.py", "")
    _, node = await bench.run(
        "import sys; sys.path.append('.venv/lib/python3/site-packages'); import installed; "
        "print(type(installed.__loader__).__name__)"
    )
    assert node.out == "SourceFileLoader\n"


async def test_the_library_is_last_on_the_path_so_that_own_pins_win(bench: Bench) -> None:
    _, node = await bench.run("import sys; print(sys.path[-1]); import microlite; print(microlite.__file__)")
    library = str(Path(__file__).parents[2])
    assert node.out.split("\n")[0] == library
    assert node.out.split("\n")[1].startswith(library)


async def test_signals_are_as_in_a_new_process(bench: Bench) -> None:
    _, node = await bench.run(
        """
        import signal
        default = {"SIG_DFL"}
        odd = [s.name for s in signal.Signals
               if s not in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(s) != signal.SIG_DFL]
        print(odd, signal.getsignal(signal.SIGPIPE).name, signal.getsignal(signal.SIGXFSZ).name,
              signal.getsignal(signal.SIGINT) is signal.default_int_handler, len(signal.pthread_sigmask(0, [])))
        """
    )
    assert node.out == "[] SIG_IGN SIG_IGN True 0\n"


async def test_it_leads_a_session_and_group_of_its_own_and_holds_no_descriptor_of_others(bench: Bench) -> None:
    first = await bench.start("import signal; print(); signal.pause()")
    second = await bench.start(
        """
        import os, signal
        fds = [(int(fd), os.readlink(f"/proc/self/fd/{fd}")) for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}")]
        low = sorted(fd for fd, target in fds if fd < 200)
        print(os.getpid() == os.getpgrp() == os.getsid(0), low[:3], len([fd for fd, _ in fds if fd >= 200]))
        print([target for fd, target in fds if fd < 200 and fd > 2 and not target.startswith("/proc")])
        """
    )
    await second.exit()
    pipes = 2 if second.out.split("\n")[0].endswith("2") else 1
    assert second.out == f"True [0, 1, 2] {pipes}\n[]\n"
    await bench.launcher.stop(first.process, 5)


async def test_ps_and_top_show_the_services_name(bench: Bench) -> None:
    node = await bench.start("import signal; print(); signal.pause()", "--flag", name="a-service-with-a-long-name")
    await node.line()
    proc = Path(f"/proc/{node.process.pid}")
    words = proc.joinpath("cmdline").read_bytes().rstrip(b"\0").decode().split("\0")
    assert words == ["a-service-with-a-long-name:", sys.executable, str(bench.folder / "main.py"), "--flag"]
    assert proc.joinpath("comm").read_text() == "a-service-with-\n"
    await bench.launcher.stop(node.process, 5)


async def test_subprocess_and_multiprocessing_work_inside(bench: Bench) -> None:
    code, node = await bench.run(
        """
        import concurrent.futures, multiprocessing, os, subprocess, sys

        def double(n):
            return n * 2

        if __name__ == "__main__":
            print(subprocess.run([sys.executable, "-c", "print(1 + 1)"], capture_output=True, text=True).stdout.strip())
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    print(method, pool.map(double, [21]))
            with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                print("executor", pool.submit(double, 4).result())
        """
    )
    assert code == 0, node.err
    assert node.out == "2\nfork [42]\nspawn [42]\nexecutor 8\n"


async def test_random_numbers_and_secrets_differ_between_nodes(bench: Bench) -> None:
    source = "import random, secrets, uuid; print(random.random(), secrets.token_hex(), uuid.uuid4())"
    outputs = [(await bench.run(source))[1].out.split() for _ in range(2)]
    assert all(one != two for one, two in zip(*outputs, strict=True))


async def test_the_time_zone_of_the_environment_counts(bench: Bench) -> None:
    bench.env = {**bench.env, "TZ": "XYZ-5"}
    _, node = await bench.run("import time; print(time.timezone, time.localtime(0).tm_hour)")
    assert node.out == "-18000 5\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cwd": "/nowhere/at/all"}, "cannot enter the folder '/nowhere/at/all'"),
        ({"script": "/nowhere/main.py"}, "can't open file '/nowhere/main.py': [Errno 2]"),
    ],
)
async def test_what_is_missing_is_said_by_the_process(bench: Bench, changes: dict[str, str], said: str) -> None:
    code, node = await bench.run("", **changes)
    assert code == 2
    assert said in node.err
    assert "Traceback" not in node.err


async def test_stop_asks_and_then_kills(bench: Bench) -> None:
    polite = await bench.start("import signal, sys; signal.signal(15, lambda *_: sys.exit(4)); print(); signal.pause()")
    await polite.line()
    assert (await bench.launcher.stop(polite.process, 10)).code == 4
    deaf = await bench.start("import signal; signal.signal(15, signal.SIG_IGN); print()\nwhile True: signal.pause()")
    await deaf.line()
    assert (await bench.launcher.stop(deaf.process, 0.05)).signal == signal.SIGKILL
    assert (await bench.launcher.stop(deaf.process, 0.05)).signal == signal.SIGKILL


async def test_terminate_leaves_the_children_of_a_script_to_the_script(bench: Bench) -> None:
    node = await bench.start(
        """
        import os, signal, subprocess
        child = subprocess.Popen(["sleep", "600"])
        def end(*_):
            os.write(1, f"child still {child.poll()}\\n".encode())
            os._exit(0)
        signal.signal(15, end)
        print("ready")
        while True: signal.pause()
        """
    )
    await node.line()
    node.process.terminate()
    assert (await node.exit()).code == 0
    assert node.out == "ready\nchild still None\n"


async def test_the_rest_of_the_group_goes_with_its_leader(bench: Bench, ended: Any) -> None:
    node = await bench.start("import subprocess; print(subprocess.Popen(['sleep', '600']).pid)")
    await node.exit()
    await ended(int(node.out))


async def test_closing_kills_what_runs(bench: Bench, ended: Any) -> None:
    node = await bench.start("import signal; signal.signal(15, signal.SIG_IGN); print()\nwhile True: signal.pause()")
    await node.line()
    await bench.launcher.close()
    assert node.process.exit is not None
    assert node.process.exit.signal == signal.SIGKILL
    await ended(node.process.pid)
