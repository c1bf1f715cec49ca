"""Where a job goes on that was sent back: what a run had written since then does not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.domain.schemas import CROSSING_SCHEMA
from spotify_mlops.io.bigquery import log
from spotify_mlops.operations.resume import resumed
from spotify_mlops.operations.rewind import rewind
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import positions

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("written", [[], [4, 5, 6]])
def test_tables_that_do_not_say_where_windows_begin_leave_the_position_as_it_was(
    monkeypatch: pytest.MonkeyPatch, written: list[int]
) -> None:
    """An earlier version wrote no crossings (here of any window, or of those before the fifth)."""
    rows = [(START + n * HOUR, 0, 10 * n, START + (n - 1) * HOUR) for n in written]
    stored(monkeypatch, pl.DataFrame(rows, schema=CROSSING_SCHEMA, orient="row"))
    settings = params.load("local", lags=[1, 5], window="1h")
    saved = Position({0: 15}, {0: START}, {0: 95}, START + 7 * HOUR, {0: START + 8 * HOUR})
    assert resumed(settings, saved) == saved
    with_less = resumed(settings.replace(lags=[1]), saved)
    assert with_less.offsets == ({0: 60} if written else {0: 15})


def stored(monkeypatch: pytest.MonkeyPatch, crossings: pl.DataFrame) -> None:
    """Let the tables of one partition hold these crossings."""
    monkeypatch.setattr(log, "last_crossings", lambda params, held: crossings[-1:])
    monkeypatch.setattr(
        log,
        "first_crossings",
        lambda params, needed: crossings.filter(pl.col("window_start") >= needed)[:1],
    )


def test_a_run_that_went_on_from_there_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    settings = params.load("local", archive=str(tmp_path / "archive"), lags=[1], window="1h")
    rows = [(START + number * HOUR, 0, 10 * number, None) for number in range(10)]
    crossings = pl.DataFrame(rows, schema=CROSSING_SCHEMA, orient="row")
    stored(monkeypatch, crossings)
    position = Position({0: 60}, {0: None}, {0: 95}, START + 7 * HOUR, job="run")
    positions.save(settings, position)
    sent_back = rewind(settings, START + 3 * HOUR)
    assert sent_back == positions.load(settings)
    assert (sent_back.offsets, sent_back.write_from) == ({0: 20}, START + 3 * HOUR)
    assert sent_back.acknowledged == {0: 95}
    assert resumed(settings, sent_back) == sent_back
