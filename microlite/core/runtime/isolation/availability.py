"""Which walls this machine has. Looking takes some milliseconds and starts a process: not for the loop."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.runtime.isolation.modes import Isolation

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_ID: Final = 1_900_000_000
"""The first user id that services get. From here to 2,147,483,647 no distribution, systemd or container tool gives any."""

IDS: Final = 65_536
"""How many there are."""

_PROBE: Final = 10.0


def why_not_uid() -> str:
    """Why a service cannot have a user id of its own here, with what to do; empty where it can."""
    if sys.platform != "linux":
        return "user ids of their own are given on Linux only"
    if os.geteuid() != 0:
        return "only a platform that runs as root can give user ids: start it as root, or use bwrap"
    try:
        ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except (OSError, ValueError):
        return "/proc/self/uid_map cannot be read, which says whether there are user ids to give"
    if not any(first <= FIRST_ID and first + count >= FIRST_ID + IDS for first, _, count in ranges):
        return (
            f"this container has no user ids from {FIRST_ID} to {FIRST_ID + IDS - 1}: map them into it, "
            "or start the platform outside of it"
        )
    return ""


def why_not_bwrap() -> str:
    """Why bubblewrap cannot be used here, with what to do; empty where it can."""
    if sys.platform != "linux":
        return "bubblewrap is for Linux only"
    program = bwrap_path()
    if not program:
        return "bwrap is not on PATH: install it (apt-get install bubblewrap, dnf install bubblewrap)"
    if os.geteuid() == 0 and (reason := why_not_uid()):
        return reason  # root in a sandbox would be root still, where files are concerned
    words = [program, "--ro-bind", "/", "/", *namespaces(), "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE, cwd="/", check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program} does not run: {error}"
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or f"it ended with code {done.returncode}"
        return (
            f"{program} cannot make a sandbox ({said}): allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), "
            "or give the container the right to make them"
        )
    return ""


def bwrap_path() -> str:
    """Where bubblewrap is, empty where it is not."""
    return shutil.which("bwrap") or ""


def namespaces() -> list[str]:
    """The words for what a sandbox has of its own. The network is the machine's: services listen and call there."""
    own = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent"]
    # Root makes the sandbox without a user namespace, since the id that the service gets is a real one.
    return own if os.geteuid() == 0 else ["--unshare-user", *own]


def choose(asked: Isolation, here: Isolation) -> Isolation:
    """How a service is walled in: `OFF`, `UID` or `BWRAP`.

    Args:
        asked: with the service.
        here: how the platform is set.

    Raises:
        Forbidden: the platform isolates, and the service shall not be.
        ServiceUnavailable: this machine has no such wall; says why, and what to do.
    """
    if asked is Isolation.OFF and here not in (Isolation.OFF, Isolation.DEFAULT):
        raise errors.Forbidden(
            f"this platform isolates every service ({here}): leave --isolate-by off out, "
            "or start the platform without --isolate"
        )
    wanted = here if asked is Isolation.DEFAULT else asked
    if wanted in (Isolation.OFF, Isolation.DEFAULT):
        return Isolation.OFF
    reasons = {}
    for mode, look in _LOOKS:
        if wanted in (Isolation.AUTO, mode):
            reasons[mode] = look()
            if not reasons[mode]:
                return mode
    why = "; ".join(f"{mode}: {reason}" for mode, reason in reasons.items())
    raise errors.ServiceUnavailable(f"services cannot be isolated here, so nothing was started: {why}")


def unreachable(path: Path) -> str:
    """The first part of a path that other users cannot pass or read, as a sentence; empty if they can."""
    real = Path(os.path.realpath(path))
    for part in reversed(real.parents):
        if not part.stat().st_mode & stat.S_IXOTH:
            return f"{part} is closed to other users"
    if not real.stat().st_mode & stat.S_IROTH:
        return f"{real} cannot be read by other users"
    return ""


_LOOKS: Final[tuple[tuple[Isolation, Callable[[], str]], ...]] = (
    (Isolation.BWRAP, why_not_bwrap),
    (Isolation.UID, why_not_uid),
)
