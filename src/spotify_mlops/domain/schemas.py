"""The columns of every frame, table and document, each declared once.

BigQuery's tables, MongoDB's documents, the predictor and the comparisons take theirs from here.
Names, dtypes and order are a contract: a dataset that exists has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from .events.contract import EVENT_COLUMNS, FIELDS
from .events.schema import UTC_MICROSECONDS

Schema = dict[str, pl.DataType | type[pl.DataType]]


class Columns(Schema):
    """Names and dtypes of columns, in order, and which of them may be null."""

    def __init__(
        self, *parts: Mapping[str, pl.DataType | type[pl.DataType]], nullable: Iterable[str] = ()
    ) -> None:
        """Join parts, with what may be null in them; of a name that is there twice the last counts.

        >>> Columns({"a": pl.String}, {"b": pl.Int64}, nullable=["b"]).nullable
        frozenset({'b'})
        """
        super().__init__()
        self.nullable = frozenset(nullable)
        for part in parts:
            self.update(part)
            if isinstance(part, Columns):
                self.nullable |= part.nullable

    def only(self, *names: str) -> Columns:
        """Return some of the columns, in the order of the names."""
        return Columns(
            {name: self[name] for name in names}, nullable=self.nullable.intersection(names)
        )


# The parts

KEY_SCHEMA = Columns(
    {"window_start": UTC_MICROSECONDS, "country": pl.String, "track_id": pl.String}
)
ROW_KEY = tuple(KEY_SCHEMA)
"""The unit of features, labels and predictions."""

NAME_SCHEMA = Columns(
    {"track_name": pl.String, "artist_name": pl.String}, nullable=["track_name", "artist_name"]
)
COUNT_COLUMNS = ("n", "plays", "skips", "searches", "releases", "recommendations")
PROBABILITIES = ("p_alta", "p_media", "p_baja")
"""In the order of the levels."""

SCORE_SCHEMA = Columns({"play_score": pl.Float64}, nullable=["play_score"])
"""0-100, null without plays."""

LOG_POSITION_SCHEMA = Columns(
    {"log_partition": pl.Int64, "log_offset": pl.Int64, "append_time": UTC_MICROSECONDS}
)
WRITTEN_SCHEMA = Columns({"written_at": UTC_MICROSECONDS})
"""When a row was written, by the wall clock: comparisons leave it out."""

# From events to the model's inputs

AGGREGATE_SCHEMA = Columns(
    KEY_SCHEMA,
    dict.fromkeys(COUNT_COLUMNS, pl.Int64),
    NAME_SCHEMA,
    {name: EVENT_COLUMNS[name] for name in ("release_date", "popularity")},
)
"""What `aggregate` returns: one row per key with at least one event in its window."""

RANKED_SCHEMA = Columns(
    AGGREGATE_SCHEMA,
    SCORE_SCHEMA,
    {
        "attention_rank": pl.Float64,  # 0-100, the same over n
        "plays_p40": pl.Float64,  # plays of the track at the 40 % of the country's ranking
        "plays_p70": pl.Float64,
        "artist_tracks": pl.Int64,  # tracks of the same artist there, this one included
        "artist_best_score": pl.Float64,  # best play score of the artist's other tracks, 0 if none
    },
)
"""What `rank` returns."""

CARRIED_SCHEMA = Columns(
    KEY_SCHEMA,  # of the later window that looks back at this row
    {
        "lag": pl.Int32,
        "score": pl.Float64,  # play score, 0 without plays
        "relative_plays": pl.Float64,
        "signals": pl.Int64,  # searches + recommendations
        "release_date": EVENT_COLUMNS["release_date"],
        "popularity": EVENT_COLUMNS["popularity"],
    },
)
"""What `carry` returns: only what the features of a later window read."""

DESCRIPTIVE_SCHEMA = Columns(NAME_SCHEMA, dict.fromkeys(COUNT_COLUMNS, pl.Int64), SCORE_SCHEMA)
"""Columns of the features table that describe a row and are not model inputs."""


def features_schema(inputs: Iterable[str]) -> Columns:
    """Return the columns of the features: key, description, and these model inputs."""
    names = list(inputs)
    values = Columns(dict.fromkeys(names, pl.Float64), nullable=names)
    return Columns(KEY_SCHEMA, DESCRIPTIVE_SCHEMA, values)


# What is said of a row

OUTPUT_SCHEMA = Columns(
    {"level": pl.String, "score": pl.Float64}, dict.fromkeys(PROBABILITIES, pl.Float64)
)
"""A model's answer; ``score`` is the probability of the level."""

ANSWER_SCHEMA = Columns(OUTPUT_SCHEMA, {"model": pl.String})
"""An answer, and the model that gave it."""

PREDICTION_SCHEMA = Columns(KEY_SCHEMA, ANSWER_SCHEMA, {"horizon": pl.Int64})

LABEL_SCHEMA = Columns(
    KEY_SCHEMA,
    {
        "horizon": pl.Int64,
        "level": pl.String,
        "label_window": UTC_MICROSECONDS,
        "label_score": pl.Float64,  # play score there; null when the track has no plays there
    },
    nullable=["label_score"],
)

# What is said of the log

EVENT_SCHEMA = Columns(
    EVENT_COLUMNS,
    {"window_start": UTC_MICROSECONDS, "late": pl.Boolean},
    LOG_POSITION_SCHEMA,
    nullable=[field.name for field in FIELDS if field.nullable],
)
DEAD_LETTER_SCHEMA = Columns(
    LOG_POSITION_SCHEMA,
    {"topic": pl.String, "reason": pl.String, "detail": pl.String, "value": pl.Binary},
    nullable=["detail", "value"],
)
COUNTER_SCHEMA = Columns(
    {
        "window_start": UTC_MICROSECONDS,  # null in the row of a heartbeat
        "shard": pl.Int64,  # a slot of tracks, whatever the number of shards at work
        "log_partition": pl.Int64,
        "log_offset": pl.Int64,  # of a heartbeat
        "counted": pl.Int64,
        "duplicates": pl.Int64,
        "heartbeats": pl.Int64,
        "heartbeat_time": UTC_MICROSECONDS,
    },
    nullable=["window_start", "shard", "log_offset", "heartbeat_time"],
)
COUNTED_SCHEMA = COUNTER_SCHEMA.only(
    "window_start", "shard", "log_partition", "counted", "duplicates"
)
"""Of the counters, those of a closed window."""

CROSSING_SCHEMA = Columns(
    KEY_SCHEMA.only("window_start"),
    LOG_POSITION_SCHEMA.only("log_partition", "log_offset"),
    {"mark": UTC_MICROSECONDS},  # of the partition, before the record
    nullable=["mark"],
)
"""Where a partition's mark moves into a window."""

CLOSED_SCHEMA = Columns({"closed_until": UTC_MICROSECONDS}, WRITTEN_SCHEMA)
"""Windows that end by ``closed_until`` are closed and written."""

WRITTEN_WINDOW_SCHEMA = Columns(
    {"job": pl.String},  # one run of it: where it began is known
    KEY_SCHEMA.only("window_start"),
    {"shard": pl.Int64, "shards": pl.Int64},
    WRITTEN_SCHEMA,
)
"""A shard's rows of a window are all written; ``shards`` are those that the window has."""

# What was seen of models and jobs

METRIC_SCHEMA = Columns(
    WRITTEN_SCHEMA,
    {
        "run_id": pl.String,
        "model": pl.String,
        "family": pl.String,
        "horizon": pl.Int64,
        "split": pl.String,
        "slice": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "rows": pl.Int64,
        "passed": pl.Boolean,  # of a check of the gate; null for a score
    },
    nullable=["value", "low", "high", "rows", "passed"],
)
DECISION_SCHEMA = Columns(
    {
        "decided_at": UTC_MICROSECONDS,
        "step": pl.String,
        "window_start": UTC_MICROSECONDS,  # the last that the evidence holds
        "model": pl.String,
        "other": pl.String,
        "reason": pl.String,  # a code; in rows of earlier releases a sentence
        "value": pl.Float64,
        "limit": pl.Float64,
        "effective_from": UTC_MICROSECONDS,
        "facts": pl.String,  # JSON: the rest of the evidence; null in rows of earlier releases
    },
    nullable=["other", "value", "limit", "effective_from", "facts"],
)
LAG_SCHEMA = Columns(
    {
        "measured_at": UTC_MICROSECONDS,
        "log_partition": pl.Int64,
        "records": pl.Int64,  # in the log and not in every raw sink
        "unread": pl.Int64,
        "seconds": pl.Float64,  # of event time; null when it is not known
        "pending_windows": pl.Int64,  # closed and not yet written, of the whole job
    },
    nullable=["unread", "seconds", "pending_windows"],
)
FRESHNESS_SCHEMA = Columns(
    {
        "window_start": UTC_MICROSECONDS,
        "closed_at": UTC_MICROSECONDS,  # when the watermark passed its end
        "written_at": UTC_MICROSECONDS,  # when BigQuery had acknowledged its last row
        "seconds": pl.Float64,
    }
)
AUDIT_TERMS = ("counted", "open", "dead_letters", "late", "duplicates", "heartbeats")
"""Where a record of the log may be: each is in one."""
AUDIT_SCHEMA = Columns(
    {"audited_at": UTC_MICROSECONDS, "log_partition": pl.Int64, "records": pl.Int64},
    dict.fromkeys(AUDIT_TERMS, pl.Int64),
    {
        "missing": pl.Int64,
        "holds": pl.Boolean,  # of the whole audit
        "watermark": UTC_MICROSECONDS,
    },
    nullable=["watermark"],
)
