"""The first code of microlite.pyz that runs, copied into it as ``__main__.py``.

It says in one line why this Python or machine will not do, prints what was prepared at build time (help, version,
completion scripts) without unpacking anything, and hands everything else to ``_microlite_onefile.start``.

The syntax stays that of Python 2.7, so that an old interpreter reads the file and prints the line instead of a
SyntaxError; imports stay at ``os`` and ``sys``, which every interpreter has loaded by now.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import os
import sys

# The build writes this file's facts here: see `scripts/build_zipapp.py`, `facts`.
BUILD = {}  # type: ignore[var-annotated]  # the build's literal


def _dotted(version):
    return ".".join(str(part) for part in version)


def _span(versions):
    if len(versions) == 1:
        return _dotted(versions[0]) + " only (this file was built for it)"
    return _dotted(versions[0]) + " to " + _dotted(versions[-1])


def _fitting_python(versions, path):
    """Name a command on PATH that would do, newest first, or None."""
    for version in reversed(versions):
        name = "python" + _dotted(version)
        for folder in path.split(os.pathsep):
            if folder and os.access(os.path.join(folder, name), os.X_OK):
                return name
    return None


def wrong_python(build, version, implementation, abiflags):
    """Return why the running interpreter will not do, or None.

    ``version`` is (major, minor, micro), ``implementation`` the name Python gives itself, ``abiflags`` of `sys`.
    """
    versions = build["pythons"]
    if implementation == "cpython" and list(version[:2]) in versions and "t" not in abiflags:
        return None
    kind = implementation.replace("cpython", "Python").replace("pypy", "PyPy")
    if "t" in abiflags:
        kind = "free-threaded " + kind
    line = "microlite needs CPython " + _span(versions) + "; this is " + kind + " " + _dotted(version[:3])
    better = _fitting_python(versions, os.environ.get("PATH", ""))
    if better:
        line += ". Try: " + better + " " + (sys.argv[0] or "microlite.pyz")
    return line


def wrong_machine(build, system, machine, libc):
    """Return why the machine will not do, or None.

    ``system`` and ``machine`` are as `os.uname` says, ``libc`` as the C library says ("glibc 2.36"), empty where it
    says nothing (musl).
    """
    if (system, machine) != (build["system"], build["machine"]):
        return "microlite: this file is for %s on %s; this machine is %s on %s" % (
            build["system"],
            build["machine"],
            system,
            machine,
        )
    if build["libc"] == "musl" and libc.startswith("glibc "):
        return "microlite: this file is for machines with musl; this machine has glibc"
    if build["libc"] != "glibc":
        return None
    wanted = _dotted(build["glibc"])
    if not libc.startswith("glibc "):
        return "microlite: this file needs glibc %s or newer; this machine has another C library" % wanted
    found = [int(part) for part in libc[6:].split(".")[:2]]
    if found < list(build["glibc"]):
        return "microlite: this file needs glibc %s or newer; this machine has %s" % (wanted, _dotted(found))
    return None


def _libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""


def _refusal():
    """Return why microlite cannot run here, or None."""
    implementation = getattr(getattr(sys, "implementation", None), "name", "cpython")
    line = wrong_python(BUILD, tuple(sys.version_info), implementation, getattr(sys, "abiflags", ""))
    if line:
        return line
    if not hasattr(os, "uname"):
        return "microlite: this file is for %s; this machine runs %s" % (BUILD["system"], sys.platform)
    return wrong_machine(BUILD, os.uname()[0], os.uname()[4], _libc())


def prepared(build, arguments, completion):
    """Return the name of the prepared text that answers, or None.

    ``arguments`` are those after the program's name, ``completion`` is the value of ``_MICROLITE_COMPLETE``.
    """
    if completion:
        return build["texts"].get(completion)
    if len(arguments) > 1:
        return None
    return build["texts"].get("".join(arguments))


def main():
    """Refuse, answer from a prepared text, or start; ends the process."""
    refusal = _refusal()
    if refusal:
        sys.stderr.write(refusal + "\n")
        sys.exit(1)
    name = prepared(BUILD, sys.argv[1:], os.environ.get("_MICROLITE_COMPLETE"))
    if name:
        archive = os.path.dirname(__file__)
        text = __loader__.get_data(os.path.join(archive, "text", name))  # type: ignore[name-defined]  # zipimport's
        try:
            sys.stdout.buffer.write(text)
            sys.stdout.flush()
        except (IOError, OSError):
            os._exit(1)  # the reader (`| head`) has seen enough, or the disk is full
        os._exit(0)  # nothing is open and nothing was started: spare the interpreter's own tidying up
    from _microlite_onefile.start import start  # type: ignore[import-not-found]  # the build puts it beside this

    start(os.path.abspath(os.path.dirname(__file__)), BUILD)


if __name__ == "__main__":
    main()
