"""Functions that run once, when a service starts or stops."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from microlite.core.description import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.library.context import Context


class Hook(NamedTuple):
    """One function of `on_start` or `on_stop`."""

    function: Callable[..., Any]
    takes_context: bool
    is_async: bool
    place: Place

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Hook:
        """Read a function that takes the context or nothing.

        Raises:
            DeclarationError: it wants more than that.
        """
        place = Place.of(function)
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = 0
        for parameter in inspect.Signature.from_callable(function).parameters.values():
            if parameter.default is not inspect.Parameter.empty:
                continue
            if parameter.kind not in positional or required == 1:
                raise place.error("a function of on_start or on_stop takes the context or nothing")
            required += 1
        return cls(function, required == 1, inspect.iscoroutinefunction(function), place)

    async def run(self, context: Context) -> None:
        """Run it: on the loop if it is asynchronous, else in a thread. What it raises is the caller's to handle."""
        arguments = (context,) if self.takes_context else ()
        if self.is_async:
            await self.function(*arguments)
        else:
            await asyncio.to_thread(self.function, *arguments)
