"""What a node does besides serving calls, for as long as the platform knows it: to follow a topic, say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from microlite.core import errors
from microlite.core.library.context import Context
from microlite.core.library.failure import report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.core.library.context import Scope

AGAIN: Final = 0.2
"""Seconds after which an attachment that failed is run again; each further time it is twice as long."""

LONGEST: Final = 5.0
"""The longest such wait."""

LAST_WORDS: Final = 1.0
"""Seconds that an attachment has to end when its patience is over."""


class Attachment(Protocol):
    """One such task of a service; a decorator of `Service` declares it."""

    @property
    def name(self) -> str:
        """What it is, for tasks and logs: `subscribe prices`."""
        ...

    async def run(self, context: Context) -> None:
        """Work until canceled. What it began for somebody when that happens, it finishes first.

        It begins just before the platform knows the node, which takes no calls yet.

        Args:
            context: for calls that nobody asked for; see `Context`.
        """
        ...

    # One that has `async def prepare(self, context: Context) -> None` is given time before the node takes its first call.


class Attachments:
    """Runs the attachments of one node. One that fails is logged and run again, a little later each time.

    Args:
        attachments: of the service.
        scope: of its node.
    """

    def __init__(self, attachments: Iterable[Attachment], scope: Scope) -> None:
        self._attachments = list(attachments)
        self._scope = scope
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False

    async def prepare(self) -> None:
        """Do what has to be done before the first call."""
        for attachment in list(self._attachments):
            prepare = getattr(attachment, "prepare", None)
            if prepare is not None:
                await prepare(Context(self._scope, None))

    def adopt(self, attachment: Attachment) -> None:
        """One more, which begins at once where the others run."""
        self._attachments.append(attachment)
        if self._running:
            self._tasks.append(self._begin(attachment))

    def start(self) -> None:
        """Begin, unless they run already."""
        if not self._running:
            self._running = True
            self._tasks = [self._begin(attachment) for attachment in self._attachments]

    def _begin(self, attachment: Attachment) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        return loop.create_task(self._keep(attachment), name=f"microlite: {attachment.name}")

    @property
    def running(self) -> bool:
        """Whether there is any, and it was begun."""
        return bool(self._tasks)

    async def stop(self, patience: float | None = None) -> None:
        """Let them end, and return when all have; a second time does nothing.

        Args:
            patience: seconds that they have for what they have begun; without it any. Then they are canceled once more.
        """
        tasks, self._tasks = self._tasks, []
        self._running = False
        for task in tasks:
            task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=patience)
            for task in stubborn:
                task.cancel()
            if stubborn:
                await asyncio.wait(stubborn, timeout=LAST_WORDS)

    async def _keep(self, attachment: Attachment) -> None:
        loop = asyncio.get_running_loop()
        delay = AGAIN
        while True:
            began = loop.time()
            context = Context(self._scope, None)
            try:
                await attachment.run(context)
                return
            except errors.Error as error:
                context.log.warning("%s: %s; it is tried again", attachment.name, error.detail)
            except Exception as error:  # noqa: BLE001 - the edge of user code
                report(error, context, None)
            if loop.time() - began > LONGEST:
                delay = AGAIN
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST)
