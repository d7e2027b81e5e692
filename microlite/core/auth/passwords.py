"""Secrets of accounts: argon2id (RFC 9106), a few at a time, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

AT_ONCE: Final = 2
"""Hashes that are made at the same time: each takes memory and a core."""

MOST_WAITING: Final = 32
"""Hashes that are made or wait; more are refused."""

SHORTEST: Final = 8
"""Fewest characters of a secret that somebody chooses."""

LONGEST: Final = 1_024
"""Most bytes of a secret."""

_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 4 * 1024 * 1024


class Cost(msgspec.Struct, frozen=True):
    """What a hash costs. The default is 19 MiB twice, which OWASP recommends as the least: 26 ms of one core here.

    Attributes:
        memory: KiB.
        passes: over that memory.
    """

    memory: int = 19_456
    passes: int = 2


CHEAP: Final = Cost(memory=8, passes=1)
"""For tests, where what is protected is made up."""


class Passwords:
    """Hashes secrets, and checks them. Its threads begin with the first use.

    Args:
        cost: of new hashes. Those that were made at another cost are checked at theirs.
    """

    def __init__(self, cost: Cost | None = None) -> None:
        self._cost = cost or Cost()
        self._hasher: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._nobody: asyncio.Future[str] | None = None

    async def hash(self, secret: str) -> str:
        """The hash of a secret, with its parameters and salt in one text.

        Raises:
            TooManyRequests: too many wait already.
        """
        return await self._run(self._hash, secret)

    async def verify(self, hash: str | None, secret: str) -> bool:
        """Whether this is the secret. It takes as long where there is none: who asks does not learn that from the time.

        Args:
            hash: what to hold it against; None where there is no such account, or it has no secret.
            secret: what somebody claims.

        Raises:
            TooManyRequests: too many wait already.
        """
        if len(secret.encode("utf-8", "surrogatepass")) > LONGEST:
            return await self.verify(None, "")
        claimed = hash or await self._hash_of_nobody()
        return await self._run(self._verify, claimed, secret) and bool(hash)

    def is_outdated(self, hash: str) -> bool:
        """Whether it was made at another cost than new ones are."""
        return bool(self._argon().check_needs_rehash(hash))

    def close(self) -> None:
        """End the threads, without waiting for them."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _hash_of_nobody(self) -> str:
        if self._nobody is None or (self._nobody.done() and (self._nobody.cancelled() or self._nobody.exception())):
            self._nobody = asyncio.ensure_future(self._run(self._hash, "nobody"))
        return await asyncio.shield(self._nobody)

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MOST_WAITING:
            raise errors.TooManyRequests("too many log in at the same moment; try again in 1 s")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="microlite-argon2")
        self._waiting += 1
        future = self._threads.submit(work, *arguments)
        loop = asyncio.get_running_loop()
        wrapped = asyncio.wrap_future(future, loop=loop)
        wrapped.add_done_callback(self._done)
        return await wrapped

    def _done(self, _: object) -> None:
        self._waiting -= 1

    def _hash(self, secret: str) -> str:
        return str(self._argon().hash(secret))

    def _verify(self, hash: str, secret: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            return bool(self._argon().verify(hash, secret))
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    def _argon(self) -> Any:
        if self._hasher is None:
            import argon2  # late: a start needs it not

            _return_large_pieces()
            self._hasher = argon2.PasswordHasher(
                time_cost=self._cost.passes, memory_cost=self._cost.memory, parallelism=1, type=argon2.Type.ID
            )
        return self._hasher


def _return_large_pieces() -> None:
    """Have memory in large pieces go back to the system when it is freed.

    glibc keeps such pieces once it has seen one freed, up to 32 MiB for each thread (mallopt(3), `M_MMAP_THRESHOLD`): the
    first log-in would leave the process larger by what its hash has used, for good.
    """
    with contextlib.suppress(OSError, AttributeError):  # where the C library is another one, which has no such habit
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def check_secret(secret: str) -> str:
    """A secret as it was chosen, if it can be one.

    Raises:
        BadRequest: it is too short or too long.
    """
    if len(secret) < SHORTEST:
        raise errors.BadRequest(f"the secret is too short: at least {SHORTEST} characters")
    try:
        size = len(secret.encode())
    except UnicodeEncodeError:
        raise errors.BadRequest("the secret is no text") from None
    if size > LONGEST:
        raise errors.BadRequest(f"the secret is too long: at most {LONGEST} bytes")
    return secret
