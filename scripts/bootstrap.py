"""Fill a virtual environment from a hashed lock: what `make` needs before anything else is there.

    python3 scripts/bootstrap.py .venv requirements/dev.lock

Needs Python and network only. uv does the work when it is on PATH; else pip brings uv first, which is much faster than
pip for the rest. The syntax is old so that an old Python gets to the line that says so.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def which(name):
    """Return the path of the program ``name`` on PATH, or None."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def run(*words):
    """Run a command; a failure ends this program with the command's exit code, which has said why."""
    code = subprocess.call(words)
    if code:
        sys.exit(code)


def succeeds(*words):
    """Return whether a command runs and succeeds, whatever it prints."""
    with open(os.devnull, "w") as nowhere:
        return subprocess.call(words, stdout=nowhere, stderr=nowhere) == 0


def create(venv, uv):
    """Create the environment ``venv`` for the running Python; return the words that run a pip for it."""
    python = os.path.join(venv, "bin", "python")
    if uv:
        run(uv, "venv", "--quiet", "--clear", "--no-config", "--python", sys.executable, venv)
        return None
    if succeeds(sys.executable, "-c", "import ensurepip"):
        run(sys.executable, "-m", "venv", "--clear", venv)
        return [python, "-m", "pip"]
    if succeeds(sys.executable, "-m", "pip", "--version"):
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", venv)
        return [sys.executable, "-m", "pip", "--python", python]
    return sys.exit(
        "%s has neither ensurepip nor pip: install python3-venv (or uv), then run make again" % sys.executable
    )


def matches(venv):
    """Return whether ``venv`` exists and is of the running Python's minor version."""
    wanted = "import sys; sys.exit(sys.version_info[:2] != %r)" % (tuple(sys.version_info[:2]),)
    python = os.path.join(venv, "bin", "python")
    return os.path.exists(python) and succeeds(python, "-c", wanted)


def main(venv, lock):
    """Create ``venv`` if need be and install ``lock`` into it."""
    if sys.version_info < (3, 11):
        version = "%d.%d" % tuple(sys.version_info[:2])
        sys.exit("microlite needs Python 3.11 or newer and this is %s; try: make PYTHON=python3.12" % version)
    uv = which("uv")
    own_uv = os.path.join(venv, "bin", "uv")
    if not matches(venv):
        print("Preparing %s (once, and when the locks change)" % os.path.basename(venv))
        pip = create(venv, uv)
        if pip:
            build = os.path.join(ROOT, "requirements", "build.lock")
            options = ["-qq", "--disable-pip-version-check", "--require-hashes"]
            run(*(pip + ["install"] + options + ["-r", build]))
    uv = uv or own_uv
    python = os.path.join(venv, "bin", "python")
    run(uv, "pip", "install", "--quiet", "--no-config", "--require-hashes", "--python", python, "-r", lock)
    # The checkout itself, as an editable install would give it, so that `python -m microlite` works from any folder.
    place = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    with open(os.path.join(place.decode().strip(), "microlite-checkout.pth"), "w") as link:
        link.write(ROOT + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
