"""Runs pip so that it can start no program: it unpacks wheels, and builds nothing, whatever a package or its needs ask for.

Run as `python no_build.py PIP ARGUMENTS…` with the interpreter of the environment, where PIP is the folder of pip.
`--only-binary` alone is not enough: it says nothing of folders, archives and repositories that a requirement, or a
requirement of a package, names by their places.
"""

from __future__ import annotations

import runpy
import sys

_PROGRAMS = (
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
)


def refuse(event: str, _: object) -> None:
    """Let no program be started; an audit hook cannot be taken out again."""
    if event in _PROGRAMS:
        print("ERROR: it names a package that has to be built, or fetched by a program", file=sys.stderr)  # noqa: T201
        raise PermissionError("no program is started here")


if __name__ == "__main__":
    pip = sys.argv.pop(1)
    runner = f"{pip}/__pip-runner__.py"  # which makes pip known to this interpreter, and nothing that lies beside it
    sys.argv[0] = runner
    sys.addaudithook(refuse)
    runpy.run_path(runner, run_name="__main__")
