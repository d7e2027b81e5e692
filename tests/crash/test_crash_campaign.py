"""A small campaign for each change; `make crash` is the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.campaign import Campaign

KILLS = 4
SEED = 20_261_127


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_that_was_acknowledged_is_lost_to_kills(short_path: Path) -> None:
    """All of it is there, once; of the rest, all or nothing. `make crash SEED=…` repeats the choices of a failure."""
    told: list[str] = []
    try:
        summary = await Campaign(short_path, SEED, told.append).run(KILLS)
    except BaseException as error:
        error.add_note("\n".join([f"seed {SEED}", *told]))
        raise
    assert summary.kills["platform"] == KILLS
    assert summary.outcomes["done"] > KILLS * 50
