"""When a node that failed is started again, and when it is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core.durations import format_duration

if TYPE_CHECKING:
    from microlite.core.clock import Clock


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the runtime is with a node that fails.

    Attributes:
        first: seconds before the first new try.
        factor: by how much each further wait is longer.
        longest: no wait is longer than this many seconds, jitter aside.
        jitter: the share of a wait that is random, 0 to 1: nodes that failed together shall not all return together.
        healthy_after: seconds of health after which earlier failures are forgotten.
        attempts: failures in a row, each before such a time of health, after which the node is given up.
    """

    first: float = 0.2
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.25
    healthy_after: float = 10.0
    attempts: int = 6

    def wait(self, failures: int, noise: float) -> float:
        """Seconds to wait after this many failures in a row (from 1), with a random number from [0, 1)."""
        # The exponent is bounded so that a very patient policy does not overflow a float.
        grown = self.first * self.factor ** min(failures - 1, 64)
        return min(self.longest, grown) * (1 - self.jitter + 2 * self.jitter * noise)


class Retry(msgspec.Struct, frozen=True):
    """The node is to be tried again.

    Attributes:
        delay: in so many seconds.
        failures: how often it has failed in a row.
    """

    delay: float
    failures: int


class GiveUp(msgspec.Struct, frozen=True):
    """The node is not to be tried again by itself.

    Attributes:
        reason: one sentence for the user: what happened, how often, and what to do.
    """

    reason: str


class Backoff:
    """The failures in a row of one node, and what follows from the next.

    Args:
        clock: tells how long the node was healthy, and gives the jitter.
        policy: how patient to be.
    """

    def __init__(self, clock: Clock, policy: Policy = Policy()) -> None:  # noqa: B008 - frozen
        self._clock = clock
        self._policy = policy
        self._failures = 0
        self._healthy_since: float | None = None
        self._failing_since = 0.0

    @property
    def failures(self) -> int:
        """Failures in a row so far."""
        self._forget_if_healthy()
        return self._failures

    def healthy(self) -> None:
        """The node became healthy now. Further calls until it fails change nothing."""
        if self._healthy_since is None:
            self._healthy_since = self._clock.monotonic()

    def failed(self, reason: str) -> Retry | GiveUp:
        """The node failed now.

        Args:
            reason: what happened, as in `Restart.reason`.
        """
        self._forget_if_healthy()
        self._healthy_since = None
        now = self._clock.monotonic()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if self._failures >= self._policy.attempts:
            times = "once" if self._failures == 1 else f"{self._failures} times within"
            spent = "" if self._failures == 1 else f" {format_duration(max(1.0, now - self._failing_since))}"
            return GiveUp(f"{reason}; failed {times}{spent}: the next change, or `microlite update`, tries again")
        return Retry(self._policy.wait(self._failures, self._clock.random()), self._failures)

    def reset(self) -> None:
        """Forget all failures: the source changed, or a user asked for another try."""
        self._failures = 0
        self._healthy_since = None

    def _forget_if_healthy(self) -> None:
        since = self._healthy_since
        if since is not None and self._clock.monotonic() - since >= self._policy.healthy_after:
            self._failures = 0
