"""What all faces share: how one is asked, what comes back, and what one may be unable to carry."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from microlite.core import errors
    from tests.contract.scenarios import Scenario


class Need(Enum):
    """What a scenario asks of a face. A face names those that it lacks, by design."""

    METADATA = "metadata of the caller's own"
    TIMEOUT = "a time that the caller chooses"
    ITEMS = "a stream of the caller's"
    MISFIT = "a request that does not fit the types"
    UNKNOWN = "a name that does not exist"
    SIZE = "a request of more than some kilobytes"


class Answer(msgspec.Struct):
    """What came back, as JSON has it; and what the failure looked like, in the form of its face."""

    values: list[Any] = []
    failure: tuple[Any, ...] | None = None


class Face:
    """One way in."""

    lacks: ClassVar[frozenset[Need]] = frozenset()

    async def ask(self, scenario: Scenario) -> Answer:
        """Ask, and wait for the end; or leave, after as many items as the scenario says."""
        raise NotImplementedError

    def failure(self, error: errors.Error) -> tuple[Any, ...]:
        """What an error looks like here; the detail comes last."""
        return (error.code, error.status, error.detail)
