"""The smallest useful service: it greets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from microlite import Context, Service, errors

greeter = Service("greeter", version="1.0.0", metadata={"team": "examples"}, doc="Greets whoever asks.")


@greeter.endpoint(idempotent=True)
async def hello(name: str = "world") -> str:
    """Greet somebody.

    Args:
        name: who is greeted.
    """
    if not name.strip():
        raise errors.BadRequest("name: there is nobody to greet")
    return f"Hello, {name}!"


@greeter.endpoint
async def count(ctx: Context, to: int = 3, pause: float = 0.2) -> AsyncIterator[int]:
    """Count, one number at a time.

    Args:
        to: the last number.
        pause: seconds between two numbers.
    """
    for number in range(1, to + 1):
        ctx.log.info("counting: %d", number)
        yield number
        await asyncio.sleep(pause)


if __name__ == "__main__":
    greeter.run()
