"""CONTRIBUTING's recipe for a source, followed as it is written: its command publishes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

import recipes
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.io.kafka import offsets
from spotify_mlops.operations import apps
from spotify_mlops.pipeline.kafka_reader import KafkaReader

COLUMNS = ("event_type", "country", "track_id", "track_name", "count", "source")
ROWS = """\
event_time,country,track_id,track_name
2026-01-05T09:00:00Z,ES,t2,Dos
2026-01-05T08:00:00Z,CO,t1,Uno
"""


def test_a_new_source_is_published_once_by_its_command(
    local_params: Callable[..., Params], tmp_path: Path
) -> None:
    _, steps = recipes.recipes()["Una fuente"]
    copy = recipes.follow(steps, tmp_path / "copy")
    settings = local_params()
    file = tmp_path / "radio.csv"
    file.write_text(ROWS, encoding="utf-8")

    def ingest() -> dict[str, Any]:
        places = ("--params", str(apps.params_file(settings)), "--json", "--close")
        done = recipes.run(copy, "-m", "spotify_mlops", "ingest", "radio", str(file), *places)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first = ingest()
    assert (first["published"], first["rows"], first["left_out"]) == (2, 2, {})
    assert ingest()["published"] == 0
    reader = KafkaReader(settings, dict.fromkeys(offsets(settings), 0))
    parts = []
    while sum(part.height for part in parts) < first["published"] + first["heartbeats"]:
        parts.append(reader.poll())
    reader.close()
    log = decode(pl.concat(parts), Ahead.of(settings.windows))
    events = log.filter(kind="event").select("event_time", *COLUMNS).sort("event_time")

    assert (log["kind"] == "heartbeat").sum() == settings.kafka.partitions
    assert events["event_time"].to_list() == [
        datetime(2026, 1, 5, 8 + n, tzinfo=UTC) for n in (0, 1)
    ]
    assert events.select(COLUMNS).rows() == [
        ("play", "CO", "t1", "Uno", 1, "radio"),
        ("play", "ES", "t2", "Dos", 1, "radio"),
    ]
