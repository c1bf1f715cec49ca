"""A replay gives the live tables, whatever it reads and whatever executes it."""

from __future__ import annotations

import pytest
from worlds import World

from spotify_mlops.jobs import bounded, compare


@pytest.mark.parametrize("runner", ["fnapi", "prism"])
@pytest.mark.parametrize("source", ["kafka", "archive"])
def test_a_replay_equals_the_live_tables(world: World, source: str, runner: bounded.Runner) -> None:
    settings = world.settings
    other = settings.model_copy(update={"dataset": f"{settings.dataset}_{source}_{runner}"})
    bounded.run(other, replay=True, from_archive=source == "archive", runner=runner)
    tables = compare.compare(settings, other)
    assert all(table.live.rows for table in tables)
    assert [table.name for table in tables if not table.equal] == []
