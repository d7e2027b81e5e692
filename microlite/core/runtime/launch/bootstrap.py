"""The first lines of a spawned node: puts it under the kernel's care, then becomes the script or the command.

Run as `python bootstrap.py CARE PARENT CWD LOCALE command WORDS…`, or with `script NAME ROOT LIBRARY FOLDERS LAST PATH
ARGUMENTS…` from the fifth argument on, where FOLDERS and LAST are joined like PYTHONPATH. Any Python from 3.8 on takes
it, with the standard library alone.
"""

# ruff: noqa: PTH120 - pathlib is not worth its import in a process that is to be small and quick

from __future__ import annotations

import os
import sys

_FOLDER = os.path.dirname(os.path.realpath(__file__))
if sys.path and os.path.realpath(sys.path[0]) == _FOLDER:
    del sys.path[0]  # else a node's `import life` would find our files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microlite.core.runtime.launch import child, debugger, life, script, title
else:
    # The neighbours, under a name of their own: the interpreter's `microlite` may be another version, or not there.
    _package = type(sys)("_microlite_launch")
    _package.__path__ = [_FOLDER]
    sys.modules["_microlite_launch"] = _package
    from _microlite_launch import child, life


def take_care(care: str, parent: int) -> None:
    """Have this process group killed with the platform: `life:FD`, a life pipe, or `guard:FD`, the guard's input.

    `life-alone` gives up for good, besides, what setuid programs could give; with `life-around` the process is that which
    goes around the program. `held` is one that is under care already, and `become:UID` takes the id on top of that.
    """
    kind, _, number = care.partition(":")
    if kind == "held":
        return
    descriptor = int(number)
    kind, _, walls = kind.partition("-")
    if kind == "become":
        life.become(descriptor)
        return
    if walls == "alone":
        life.gain_nothing()
    if kind == "life":
        life.die_with(parent)
        life.arm(descriptor)
    else:  # registered by itself, so that there is no moment at which it runs and nobody knows of it
        os.write(descriptor, b"+%d\n" % os.getpid())
        os.close(descriptor)


def restore_locale(original: str) -> None:
    """Undo what this interpreter did to LC_CTYPE when it found the C locale (PEP 538): `=VALUE`, or "" for unset."""
    os.environ.pop("LC_CTYPE", None)
    if original:
        os.environ["LC_CTYPE"] = original[1:]


if __name__ == "__main__":
    _care, _parent, _cwd, _locale, _kind, *_rest = sys.argv[1:]
    take_care(_care, int(_parent))
    child.reset_signals(python=_kind == "script")
    if "-around:" in _care:
        child.ignore_requests()
    child.enter(_cwd)
    if _kind == "command":
        restore_locale(_locale)
        child.execute(_rest)
    if not TYPE_CHECKING:
        from _microlite_launch import debugger, script, title
    _name, _root, _library, _folders, _last, _path, *_argv = _rest
    child.buffer_lines()
    title.Title().show(_name, [f"{_name}:", sys.executable, _path, *_argv])
    _split = (_folders.split(os.pathsep) if _folders else [], _last.split(os.pathsep) if _last else [])
    _script = script.Script(_path, _argv, _root, _library, *_split)
    debugger.listen_if_asked()
    _script.run()
