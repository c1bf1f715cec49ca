"""From which window on another model can predict, by how far the job has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotify_mlops.config import params
from spotify_mlops.operations import takeover
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import positions

HOUR = timedelta(hours=1)
WRITTEN = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("backlog", "first"),
    [(None, 2 * HOUR), (-5 * HOUR, 2 * HOUR), (0 * HOUR, 2 * HOUR), (30 * HOUR, 30 * HOUR)],
)
def test_windows_of_a_backlog_may_be_predicted_already(
    tmp_path: Path, backlog: timedelta | None, first: timedelta
) -> None:
    settings = params.load(
        "local", archive=str(tmp_path / "archive"), window="1h", promotion_lead=2
    )
    assert takeover.first_window(settings, WRITTEN) == WRITTEN + 2 * HOUR
    until = None if backlog is None else WRITTEN + backlog
    positions.save(settings, Position({0: 0}, {0: None}, backlog_until=until))
    assert takeover.first_window(settings, WRITTEN) == WRITTEN + first
