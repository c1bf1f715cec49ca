"""The tables of a log: what each record is, counters, features, labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spotify_mlops.domain.events.schema import DUPLICATE_KEY

from .features import features_by_joins
from .records import event_fields, judge
from .rules import KEY, Rules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Tables:
    """What the pipeline must give for a log."""

    records: pl.DataFrame
    """Each record: partition, offset, kind, late, and the fields of an event."""
    watermark: datetime | None
    counters: pl.DataFrame
    features: pl.DataFrame
    labels: pl.DataFrame


# Records


def expected(log: pl.DataFrame, partitions: int, rules: Rules) -> Tables:
    """Return the tables of a log (``LOG_COLUMNS``, in offset order within a partition)."""
    records, marks = _records(log, partitions, rules)
    known = [mark for mark in marks.values() if mark is not None]
    watermark = min(known) - rules.lateness if len(known) == partitions else None
    timely = records.filter(kind="event", late=False)
    start = timely["event_time"].map_elements(
        lambda time: time - (time - EPOCH - rules.window_offset) % rules.window,
        return_dtype=pl.Datetime("us", "UTC"),
    )
    windowed = timely.with_columns(window_start=start)
    ended = (
        pl.lit(False) if watermark is None else pl.col("window_start") + rules.window <= watermark
    )
    counted = (
        windowed.filter(ended)
        .sort("partition", "offset")
        .with_columns(counted=pl.struct(DUPLICATE_KEY).is_first_distinct())
    )
    counters = (
        counted.group_by("window_start", log_partition="partition")
        .agg(counted=pl.col("counted").sum(), duplicates=(~pl.col("counted")).sum())
        .sort("window_start", "log_partition")
    )
    features = features_by_joins(counted.filter("counted"), rules)
    return Tables(records, watermark, counters, features, _labels(features, watermark, rules))


def _records(
    log: pl.DataFrame, partitions: int, rules: Rules
) -> tuple[pl.DataFrame, dict[int, datetime | None]]:
    marks: dict[int, datetime | None] = dict.fromkeys(range(partitions))
    rows = []
    for record in log.rows(named=True):
        verdict = judge(record["value"], record["append_time"], rules)
        mark, time = marks[record["partition"]], verdict.time
        late = bool(verdict.kind == "event" and mark and time and time < mark - rules.lateness)
        if time is not None and (mark is None or time > mark):
            marks[record["partition"]] = time
        rows.append(
            {
                "partition": record["partition"],
                "offset": record["offset"],
                "kind": verdict.kind,
                "late": late,
                "event_time": time,
                **event_fields(verdict.fields),
            }
        )
    return pl.DataFrame(rows, schema=_RECORD_SCHEMA), marks


_RECORD_SCHEMA: dict[str, Any] = {
    "partition": pl.Int32,
    "offset": pl.Int64,
    "kind": pl.String,
    "late": pl.Boolean,
    "event_time": pl.Datetime("us", "UTC"),
    "event_id": pl.String,
    "event_type": pl.String,
    "country": pl.String,
    "track_id": pl.String,
    "source": pl.String,
    "track_name": pl.String,
    "artist_name": pl.String,
    "artist_id": pl.String,
    "album_name": pl.String,
    "release_date": pl.Date,
    "count": pl.Int64,
    "popularity": pl.Int16,
}


# Features


def _labels(features: pl.DataFrame, watermark: datetime | None, rules: Rules) -> pl.DataFrame:
    of_api = rules.target == "api"
    scored = features.select(*KEY, "popularity" if of_api else "play_score")
    scores = {row[:3]: row[3] for row in scored.rows()}
    rows = []
    for start, country, track in scores:
        target = start + rules.horizon * rules.window
        if watermark is not None and target + rules.window <= watermark:
            found = scores.get((target, country, track))
            if of_api and found is None:
                continue  # nobody knows what it is then
            score = found or 0.0
            level = "Alta" if score >= rules.alta else "Media" if score >= rules.media else "Baja"
            rows.append((start, country, track, level))
    schema = {name: features.schema[name] for name in KEY} | {"level": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort(KEY)
