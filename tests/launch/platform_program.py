"""A platform in miniature, to be killed: starts one node of each kind, and prints what is to be gone after it.

    python platform_program.py LAUNCHER FOLDER KIND…

prints `{"servers": […], "nodes": {kind: [pid, …]}}` as one line and then waits for ever. A node's first pid is its own;
the others are below it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from microlite.core.clock import SystemClock
from microlite.core.runtime.launch.api import Kind, LaunchSpec, Stream
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.launch.spawn import SpawnLauncher

DEAF = "for s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)\n"
FOREVER = "while True: signal.pause()\n"
SAY = "def say(*pids): os.write(1, (' '.join(map(str, (os.getppid(), os.getpid(), *pids))) + '\\n').encode())\n"
HEAD = "import os, signal, sys\n" + SAY

SCRIPTS = {
    "plain": "say()\n" + FOREVER,
    "deaf": DEAF + "say()\n" + FOREVER,
    "spinning": "import itertools\nsay()\nsum(itertools.repeat(0))\n",
    "regex": "import re\nsay()\nre.match('(a*)*(a*)*(a*)*(a*)*b', 'a' * 200)\n",
    "stopped": "say()\nos.kill(os.getpid(), signal.SIGSTOP)\n",
    "threads": "import threading\nfor _ in range(3): threading.Thread(target=threading.Event().wait).start()\nsay()\n",
    "uvloop": "import asyncio, uvloop\nasync def main():\n    say()\n    await asyncio.Event().wait()\nuvloop.run(main())\n",
    "subprocess": "import subprocess\nsay(subprocess.Popen(['sh', '-c', 'trap \"\" TERM HUP; sleep 600; :']).pid)\n"
    + FOREVER,
    "multiprocessing": (
        "import multiprocessing, time\n"
        "if __name__ == '__main__':\n"
        "    p = multiprocessing.get_context('fork').Process(target=signal.pause)\n"
        "    q = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(600,))\n"
        "    p.start(); q.start(); say(p.pid, q.pid)\n" + "    " + FOREVER
    ),
    "forked-twice": (
        DEAF + "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, str(os.getpid()).encode())\n"
        "        " + FOREVER + "    os._exit(0)\n"
        "os.wait(); say(int(os.read(r, 20)))\n" + FOREVER
    ),
    "own-session": (
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); os.write(w, str(os.getpid()).encode())\n"
        "    " + FOREVER + "say(int(os.read(r, 20)))\n" + FOREVER
    ),
    "daemon": (
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, str(os.getpid()).encode())\n"
        "        " + FOREVER + "    os._exit(0)\n"
        "os.wait(); say(int(os.read(r, 20)))\n" + FOREVER
    ),
}


async def main(launcher_name: str, folder: Path, kinds: list[str]) -> None:
    launcher: ForkLauncher | SpawnLauncher
    if launcher_name == "fork":
        launcher = ForkLauncher(SystemClock(), os.environ, marker=str(folder))
    else:
        launcher = SpawnLauncher(SystemClock(), marker=str(folder), guarded=launcher_name == "guard")
    env = {"PATH": os.environ["PATH"]}
    nodes: dict[str, list[int]] = {}
    parents: set[int] = set()
    for kind in kinds:
        printed: asyncio.Queue[bytes] = asyncio.Queue()

        def take(stream: Stream, content: bytes, printed: asyncio.Queue[bytes] = printed) -> None:
            if stream is Stream.STDOUT:
                printed.put_nowait(content)
            else:
                sys.stderr.write(content.decode())

        if kind == "command":
            spec = LaunchSpec(
                name=kind,
                kind=Kind.COMMAND,
                argv="sh -c 'trap \"\" TERM; sleep 600 & echo 0 $$ $!; wait'",
                cwd="/",
                env=env,
            )
        else:
            script = folder / f"node_{kind.replace('-', '_')}.py"
            script.write_text(HEAD + SCRIPTS[kind])
            library = str(Path(__file__).parents[2])
            spec = LaunchSpec(name=kind, script=str(script), cwd="/", env=env, library=library)
        process = await launcher.start(spec, take)
        early = asyncio.ensure_future(process.wait())
        early.add_done_callback(lambda _, printed=printed: printed.put_nowait(b""))  # type: ignore[misc]
        line = b""
        while not line.endswith(b"\n"):
            line += await printed.get()
            if early.done() and not line:
                raise SystemExit(f"{kind}: {early.result()}")
        parent, *nodes[kind] = map(int, line.split())
        if launcher_name == "fork" and kind != "command":
            parents.add(parent)
    print(json.dumps({"servers": sorted(parents - {os.getpid()}), "nodes": nodes}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
