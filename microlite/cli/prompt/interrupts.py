"""Ctrl-C that is acted on wherever the main thread waits.

Python's handler of a signal runs in the main thread, between two instructions. A wait in C ends for it only if the signal
comes while that thread waits: one that comes just before, or that the system hands to another thread, is not acted on until
the next key. So a thread of its own learns of each Ctrl-C, and ends the wait until it was acted on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN: Final = 0.02
"""Seconds that the main thread has to act on Ctrl-C, before its wait is ended."""

_MOST: Final = 50
"""How often its wait is ended for one Ctrl-C. Longer, it is busy rather than waiting, and comes to it by itself."""

_NUDGE: Final = signal.SIGURG
"""Ends a wait, and means nothing else: without a handler the system drops it."""


@contextlib.contextmanager
def prompt_interrupts() -> Iterator[None]:
    """Act on each Ctrl-C at once, for as long as the `with` lasts; to be entered in the main thread."""
    main = threading.get_ident()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    acted = True

    def interrupt(*_: Any) -> None:
        nonlocal acted
        acted = True
        raise KeyboardInterrupt

    def watch() -> None:
        nonlocal acted
        while True:
            acted = False
            came = os.read(reader, 64)  # numbers of signals, as Python writes them
            if not came[-1]:
                return
            if signal.SIGINT not in came:
                continue
            for _ in range(_MOST):
                time.sleep(_AGAIN)
                if acted:
                    break
                signal.pthread_kill(main, _NUDGE)

    before = signal.signal(signal.SIGINT, interrupt), signal.signal(_NUDGE, lambda *_: None)
    written_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, name="microlite interrupts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(written_before)
        signal.signal(signal.SIGINT, before[0])
        os.write(writer, b"\0")
        thread.join()
        signal.signal(_NUDGE, before[1])
        os.close(reader)
        os.close(writer)
