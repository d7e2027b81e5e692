"""Time and randomness, as something that is handed in, so that a test can move the one and fix the other."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import random
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


class Timer(Protocol):
    """A call that was put off; `cancel` takes it back and may be called twice."""

    def cancel(self) -> None:
        """Take the call back, if it has not happened."""
        ...


class Clock(Protocol):
    """Where time and randomness come from."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never runs backwards. Deadlines are on this scale."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running loop after `delay` seconds."""
        ...

    async def sleep(self, delay: float) -> None:
        """Return after `delay` seconds."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def new_id(self) -> str:
        """A new id: 26 characters, unique, and sorting by the millisecond of its making (as in ULID)."""
        ...


def encode_id(milliseconds: int, noise: int) -> str:
    """A ULID (https://github.com/ulid/spec) in lower case: 48 bits of time, 80 bits of noise."""
    return _encode_time(milliseconds & (2**48 - 1)) + _encode_noise(noise & (2**80 - 1))


def _encode_time(milliseconds: int) -> str:
    return "".join([_PAIRS[milliseconds >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def _encode_noise(noise: int) -> str:
    return "".join([_PAIRS[noise >> shift & 1023] for shift in (70, 60, 50, 40, 30, 20, 10, 0)])


_AT_A_TIME: Final = 256


class _Ids:
    """Makes ids, in any thread. The system is asked for the noise of many at a time: to ask it costs more than the rest."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: two processes that were one must not make the same ids."""
        self._noise: list[int] = []
        self._time = (-1, "")

    def make(self, milliseconds: int) -> str:
        """A new id."""
        try:
            noise = self._noise.pop()  # each number goes to one thread
        except IndexError:
            fresh = os.urandom(10 * _AT_A_TIME)
            self._noise = [int.from_bytes(fresh[place : place + 10]) for place in range(10, len(fresh), 10)]
            noise = int.from_bytes(fresh[:10])
        known, text = self._time
        if known != milliseconds:
            text = _encode_time(milliseconds)
            self._time = (milliseconds, text)
        return text + _encode_noise(noise)


_ids: Final = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.forget)


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    random = staticmethod(random.random)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """See `Clock.call_later`."""
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(delay)

    def new_id(self) -> str:
        """See `Clock.new_id`."""
        return _ids.make(int(time.time() * 1000))


class ManualClock:
    """Time that stands still until a test moves it, and randomness that repeats.

    Args:
        start: the first value of `now`, in seconds since the Unix epoch.
        seed: the same seed gives the same ids and random numbers.
    """

    def __init__(self, start: float = 1_000_000_000.0, seed: int = 0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def now(self) -> float:
        """See `Clock.now`."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._elapsed

    def random(self) -> float:
        """See `Clock.random`."""
        return self._random.random()

    def new_id(self) -> str:
        """See `Clock.new_id`."""
        return encode_id(int(self.now() * 1000), self._random.getrandbits(80))

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """See `Clock.call_later`. The callback runs inside `advance`; one that is due already, in the loop's next turn."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + max(0.0, delay), next(self._order), timer))
        if delay <= 0:
            with contextlib.suppress(RuntimeError):  # without a loop it waits for `advance`
                asyncio.get_running_loop().call_soon(timer.fire)
        return timer

    async def sleep(self, delay: float) -> None:
        """See `Clock.sleep`."""
        if delay <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(delay, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Move the time on, and make each call that falls due on the way, in order, at its own time."""
        target = self._elapsed + seconds
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, due)
            timer.fire()
        self._elapsed = target

    def jump(self, seconds: float) -> None:
        """Set the time of day forward or back, as a machine does that was asleep or is told the time: no timer notices."""
        self._start += seconds


class _ManualTimer:
    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
