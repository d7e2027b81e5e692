"""The story that each restart of a node leaves behind: when, why, and the last words."""

from __future__ import annotations

import enum
import signal
from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_STORY_LINES = 20
_STORY_LINE_LENGTH = 2000


class Cause(enum.StrEnum):
    """Why a node was started again."""

    CHANGE = "change"
    """A watched file changed."""
    UPDATE = "update"
    """A user asked for it."""
    EXIT = "exit"
    """The process ended by itself, with an exit code."""
    SIGNAL = "signal"
    """The process was ended by a signal that the platform did not send."""
    UNHEALTHY = "unhealthy"
    """It never became healthy, or it stopped answering."""
    BUILD = "build"
    """Its environment could not be made."""


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """The story of one restart.

    Attributes:
        at: when, in seconds since the Unix epoch.
        cause: what kind of reason it was.
        generation: the generation of the node that ended or was replaced.
        changed: paths of the changed files, relative to the service's folder.
        exit_code: the code with which the process ended, if it ended by itself.
        signal: the name of the signal that ended it (`SIGSEGV`), or empty.
        detail: a further sentence for `unhealthy` and `build`.
        lines: the last lines it wrote, oldest first; at most 20.
    """

    at: float
    cause: Cause
    generation: int = 0
    changed: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: str = ""
    detail: str = ""
    lines: tuple[str, ...] = ()

    def reason(self) -> str:
        """The story in one line, as `status` shows it."""
        match self.cause:
            case Cause.CHANGE:
                more = f" and {len(self.changed) - 1} more" if len(self.changed) > 1 else ""
                return f"{self.changed[0]}{more} changed" if self.changed else "the source changed"
            case Cause.UPDATE:
                return "updated by a user"
            case Cause.EXIT:
                return f"exited with code {self.exit_code}"
            case Cause.SIGNAL:
                return f"ended by {self.signal}"
            case Cause.UNHEALTHY:
                return self.detail or "did not answer"
            case Cause.BUILD:
                return self.detail or "its environment could not be made"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 77` for a number without a name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exited(
    returncode: int, *, at: float, generation: int = 0, lines: Sequence[str] = (), changed: Sequence[str] = ()
) -> Restart:
    """The story of a process that ended by itself.

    Args:
        returncode: as `subprocess` gives it: the exit code, or the negative number of the signal.
        at: when, in seconds since the Unix epoch.
        generation: of the node that ended.
        lines: what it wrote last; more than 20, or very long ones, are cut.
        changed: the files whose change had started this generation, if any.
    """
    died = returncode < 0
    return Restart(
        at=at,
        cause=Cause.SIGNAL if died else Cause.EXIT,
        generation=generation,
        changed=tuple(changed),
        exit_code=None if died else returncode,
        signal=signal_name(-returncode) if died else "",
        lines=tuple(line[:_STORY_LINE_LENGTH] for line in lines[-_STORY_LINES:]),
    )


class Story:
    """The last restarts of one service, newest last, and how many there were in all.

    Args:
        limit: so many are kept; older ones are only counted.
    """

    def __init__(self, limit: int = 20) -> None:
        self._restarts: deque[Restart] = deque(maxlen=limit)
        self._count = 0

    @property
    def count(self) -> int:
        """All restarts, those included that are no longer kept."""
        return self._count

    @property
    def last(self) -> Restart | None:
        """The newest one."""
        return self._restarts[-1] if self._restarts else None

    def add(self, restart: Restart) -> None:
        """Keep one more, and let the oldest go if there are too many."""
        self._restarts.append(restart)
        self._count += 1

    def all(self) -> tuple[Restart, ...]:
        """Those that are kept, oldest first."""
        return tuple(self._restarts)
