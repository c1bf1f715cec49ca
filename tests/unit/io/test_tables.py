"""The tables as they are in datasets that exist: columns, types, what may be null, keys."""

from __future__ import annotations

import pytest

from spotify_mlops.config import params
from spotify_mlops.domain.features import Inputs
from spotify_mlops.io.bigquery import tables

PARAMS = params.load("local", lags=[1, 7])
KEY = "window_start TIMESTAMP!, country STRING!, track_id STRING!"
PLACE = "log_partition INT64!, log_offset INT64!, append_time TIMESTAMP!"
EVENTS = (
    "event_id STRING!, event_time TIMESTAMP!, event_type STRING!, country STRING!, "
    "track_id STRING!, track_name STRING, artist_name STRING, count INT64!, source STRING!, "
    "popularity INT64, artist_id STRING, album_name STRING, release_date DATE, "
    f"window_start TIMESTAMP!, late BOOL!, {PLACE}"
)
DECLARED = {
    "spotify_events": EVENTS,
    "spotify_late_events": EVENTS,
    "spotify_features": (
        f"{KEY}, track_name STRING, artist_name STRING, n INT64!, plays INT64!, skips INT64!, "
        "searches INT64!, releases INT64!, recommendations INT64!, play_score FLOAT64, "
        + "".join(f"{name} FLOAT64, " for name in Inputs((1, 7), ("CO", "ES", "MX", "US")).names())
        + "written_at TIMESTAMP!"
    ),
    "spotify_labels": (
        f"{KEY}, horizon INT64!, level STRING!, label_window TIMESTAMP!, label_score FLOAT64"
    ),
    "spotify_predictions": (
        f"{KEY}, level STRING!, score FLOAT64!, p_alta FLOAT64!, p_media FLOAT64!, "
        "p_baja FLOAT64!, model STRING!, horizon INT64!, written_at TIMESTAMP!"
    ),
    "spotify_dead_letters": (f"{PLACE}, topic STRING!, reason STRING!, detail STRING, value BYTES"),
    "spotify_counters": (
        "window_start TIMESTAMP, shard INT64, log_partition INT64!, log_offset INT64, "
        "counted INT64!, duplicates INT64!, heartbeats INT64!, heartbeat_time TIMESTAMP"
    ),
    "spotify_crossings": (
        "window_start TIMESTAMP!, log_partition INT64!, log_offset INT64!, mark TIMESTAMP"
    ),
    "spotify_closed": "closed_until TIMESTAMP!, written_at TIMESTAMP!",
    "spotify_model_metrics": (
        "written_at TIMESTAMP!, run_id STRING!, model STRING!, family STRING!, horizon INT64!, "
        "split STRING!, slice STRING!, metric STRING!, value FLOAT64, low FLOAT64, high FLOAT64, "
        "rows INT64, passed BOOL"
    ),
    "spotify_decisions": (
        "decided_at TIMESTAMP!, step STRING!, window_start TIMESTAMP!, model STRING!, "
        "other STRING, reason STRING!, value FLOAT64, limit FLOAT64, effective_from TIMESTAMP, "
        "facts STRING"
    ),
    "spotify_lag": (
        "measured_at TIMESTAMP!, log_partition INT64!, records INT64!, unread INT64, "
        "seconds FLOAT64, pending_windows INT64"
    ),
    "spotify_freshness": (
        "window_start TIMESTAMP!, closed_at TIMESTAMP!, written_at TIMESTAMP!, seconds FLOAT64!"
    ),
    "spotify_audits": (
        "audited_at TIMESTAMP!, log_partition INT64!, records INT64!, counted INT64!, "
        "open INT64!, dead_letters INT64!, late INT64!, duplicates INT64!, heartbeats INT64!, "
        "missing INT64!, holds BOOL!, watermark TIMESTAMP"
    ),
    "spotify_written": (
        "job STRING!, window_start TIMESTAMP!, shard INT64!, shards INT64!, written_at TIMESTAMP!"
    ),
}
ALL = {t.name: t for t in (*tables.all_tables(PARAMS.windows), *tables.views(PARAMS))}


def test_every_table_is_here() -> None:
    assert set(ALL) == set(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_columns(name: str) -> None:
    table = ALL[name]
    found = [f"{f.name} {f.field_type}{'!' * (f.mode == 'REQUIRED')}" for f in table.schema]
    assert ", ".join(found) == DECLARED[name]
    names = {field.name for field in table.schema}
    assert names.issuperset(table.key)
    assert table.day is None or table.day in names
