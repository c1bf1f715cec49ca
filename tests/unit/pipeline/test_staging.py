"""The files of a bounded run say how far it came."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from agreement import settings_of
from logs import BASE, event_log, random_events
from oracle import Rules
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.schemas import COUNTED_SCHEMA
from spotify_mlops.domain.watermark import mark
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.pipeline.sinks.staging import Staging

RULES = Rules()


@pytest.mark.parametrize("last", [BASE + timedelta(hours=2), None])
def test_the_marks_are_those_of_all_that_was_staged(tmp_path: Path, last: object) -> None:
    log = event_log(random_events(300, 3600, seed=1), last, 3)
    nothing = dict.fromkeys(range(3))
    decoded = decode(log, Ahead.of(settings_of(RULES, 7).windows))
    marked, marks = mark(decoded, nothing, RULES.lateness)
    staging = Staging(tmp_path)
    windows = rows.counter_rows(pl.DataFrame(schema=COUNTED_SCHEMA).clear())
    some = rows.counter_rows(pl.DataFrame([[BASE, 0, 0, 1, 0]], COUNTED_SCHEMA, orient="row"))
    staging.write("spotify_events", "a", rows.event_rows(marked, Windowing(RULES.window)))
    for name, frame in {"0": some, "h": rows.heartbeat_rows(marked), "w": windows}.items():
        staging.write("spotify_counters", name, frame)
    assert staging.marks(range(4)) == marks | {3: None}
    assert Staging(tmp_path / "empty").marks(range(2)) == {0: None, 1: None}
