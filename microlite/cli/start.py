"""A platform where none runs: started as a process of its own, before a command goes on with it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from microlite.cli.failure import FAILED, NOT_FOUND, CommandError
from microlite.cli.link import Link, connect
from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microlite.cli.options import Options, Ports


@contextlib.contextmanager
def connect_or_start(
    options: Options, ports: Ports, check: Callable[[], None], *, session: str = ""
) -> Iterator[tuple[Link, float | None]]:
    """Open a connection to the platform, starting one first if none runs.

    Args:
        options: the global ones.
        ports: of a platform that is started here.
        check: is called before one is started, and raises where that would be for nothing.
        session: what the connection is for. With it, a platform that is started ends after its last session; without
            it stays.

    Yields:
        The connection, and how many seconds the start took, None if a platform ran already.

    Raises:
        CommandError: none could be started; the detail is what it said.
    """
    took = None
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(connect(options, session=session))
        except CommandError as error:
            if error.code != NOT_FOUND:
                raise
            from microlite.core.library.session import ensure_platform_blocking  # brings the event loop with it

            check()
            began = time.monotonic()
            try:
                ensure_platform_blocking(options.home, ports.arguments(), session=bool(session))
            except errors.ServiceUnavailable as failure:
                raise CommandError(failure.detail, FAILED) from None
            took = time.monotonic() - began
            link = stack.enter_context(connect(options, session=session))
        yield link, took
