"""The BigQuery tables: columns, keys and the views that readers query.

Rows are written to ``<name>_rows`` at least once; the view ``<name>`` shows each key once. So a
writer may repeat itself after a crash and a reader never sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from google.cloud import bigquery

from ...config.params import Params
from ...domain.features import feature_names
from ...domain.labels import LEVELS

F = bigquery.SchemaField


@dataclass(frozen=True)
class Table:
    """A table of rows and the view over it."""

    name: str
    schema: tuple[bigquery.SchemaField, ...]
    key: tuple[str, ...]
    order: str
    """Which of the rows with one key the view shows: the first in this order."""
    day: str | None
    """The timestamp column by whose day the rows are partitioned."""
    where: str = "TRUE"
    over: str | None = None
    """Another table, whose rows this view shows; it has none of its own."""
    sql: str | None = None
    """The view's query, where it is another than the rows that count, each key once."""

    @property
    def rows(self) -> str:
        """Return the name of the table under the view."""
        return f"{self.over or self.name}_rows"

    def view_sql(self, dataset: str) -> str:
        """Return the query of the view: the rows that count, each key once."""
        if self.sql is not None:
            return self.sql.replace("{dataset}", dataset)
        columns = ", ".join(f"`{field.name}`" for field in self.schema)
        key = ", ".join(f"`{name}`" for name in self.key)
        return (
            f"SELECT {columns} FROM `{dataset}.{self.rows}` WHERE {self.where} "
            f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {self.order}) = 1"
        )


_ROW_KEY = ("window_start", "country", "track_id")
_ROW_KEY_FIELDS = (
    F("window_start", "TIMESTAMP", "REQUIRED"),
    F("country", "STRING", "REQUIRED"),
    F("track_id", "STRING", "REQUIRED"),
)
_LOG_POSITION = (
    F("log_partition", "INT64", "REQUIRED"),
    F("log_offset", "INT64", "REQUIRED"),
    F("append_time", "TIMESTAMP", "REQUIRED"),
)

EVENTS = Table(
    "spotify_events",
    (
        F("event_id", "STRING", "REQUIRED"),
        F("event_time", "TIMESTAMP", "REQUIRED"),
        F("event_type", "STRING", "REQUIRED"),
        F("country", "STRING", "REQUIRED"),
        F("track_id", "STRING", "REQUIRED"),
        F("track_name", "STRING"),
        F("artist_name", "STRING"),
        F("count", "INT64", "REQUIRED"),
        F("source", "STRING", "REQUIRED"),
        F("popularity", "INT64"),
        F("artist_id", "STRING"),
        F("album_name", "STRING"),
        F("release_date", "DATE"),
        F("window_start", "TIMESTAMP", "REQUIRED"),
        F("late", "BOOL", "REQUIRED"),
        *_LOG_POSITION,
    ),
    key=("event_id", "event_time", "country", "track_id"),
    order="log_partition, log_offset",
    day="event_time",
    where="NOT late",
)
LATE_EVENTS = replace(
    EVENTS,
    name="spotify_late_events",
    key=("log_partition", "log_offset"),
    order="append_time",
    where="late",
    over=EVENTS.name,
)
"""The events that came too late to be counted, each record once."""
PREDICTIONS = Table(
    "spotify_predictions",
    (
        *_ROW_KEY_FIELDS,
        F("level", "STRING", "REQUIRED"),
        F("score", "FLOAT64", "REQUIRED"),
        F("p_alta", "FLOAT64", "REQUIRED"),
        F("p_media", "FLOAT64", "REQUIRED"),
        F("p_baja", "FLOAT64", "REQUIRED"),
        F("model", "STRING", "REQUIRED"),
        F("horizon", "INT64", "REQUIRED"),
        F("written_at", "TIMESTAMP", "REQUIRED"),
    ),
    key=_ROW_KEY,
    order="written_at",
    day="window_start",
)
MODEL_METRICS = Table(
    "spotify_model_metrics",
    (
        F("written_at", "TIMESTAMP", "REQUIRED"),
        F("run_id", "STRING", "REQUIRED"),
        F("model", "STRING", "REQUIRED"),
        F("family", "STRING", "REQUIRED"),
        F("horizon", "INT64", "REQUIRED"),
        F("split", "STRING", "REQUIRED"),
        F("slice", "STRING", "REQUIRED"),
        F("metric", "STRING", "REQUIRED"),
        F("value", "FLOAT64"),
        F("low", "FLOAT64"),
        F("high", "FLOAT64"),
        F("rows", "INT64"),
        F("passed", "BOOL"),  # of a check of the gate; null for a score
    ),
    key=("run_id", "model", "split", "slice", "metric"),
    order="written_at DESC",  # a run that is evaluated again has its latest verdict
    day="written_at",
)
DECISIONS = Table(
    "spotify_decisions",
    (
        F("decided_at", "TIMESTAMP", "REQUIRED"),
        F("step", "STRING", "REQUIRED"),
        F("window_start", "TIMESTAMP", "REQUIRED"),  # the last that the evidence holds
        F("model", "STRING", "REQUIRED"),
        F("other", "STRING"),
        F("reason", "STRING", "REQUIRED"),
        F("value", "FLOAT64"),
        F("limit", "FLOAT64"),
        F("effective_from", "TIMESTAMP"),
    ),
    key=("window_start", "step", "model"),
    order="decided_at",
    day="decided_at",
)
DEAD_LETTERS = Table(
    "spotify_dead_letters",
    (
        *_LOG_POSITION,
        F("topic", "STRING", "REQUIRED"),
        F("reason", "STRING", "REQUIRED"),
        F("detail", "STRING"),
        F("value", "BYTES"),
    ),
    key=("log_partition", "log_offset"),
    order="append_time",
    day="append_time",
)
COUNTERS = Table(
    "spotify_counters",
    (
        F("window_start", "TIMESTAMP"),  # null in the row of a heartbeat
        F("shard", "INT64"),  # a slot of tracks, whatever the number of shards at work
        F("log_partition", "INT64", "REQUIRED"),
        F("log_offset", "INT64"),  # of a heartbeat
        F("counted", "INT64", "REQUIRED"),
        F("duplicates", "INT64", "REQUIRED"),
        F("heartbeats", "INT64", "REQUIRED"),
        F("heartbeat_time", "TIMESTAMP"),
    ),
    key=("window_start", "shard", "log_partition", "log_offset"),
    order="counted",  # all rows of a key are equal
    day=None,
)

CLOSED = Table(
    "spotify_closed",
    (
        F("closed_until", "TIMESTAMP", "REQUIRED"),  # windows that end by then are written
        F("written_at", "TIMESTAMP", "REQUIRED"),
    ),
    key=("closed_until",),
    order="written_at",
    day="written_at",
)
"""Until when all windows are closed and written, those without a row too; the latest counts."""

LAG = Table(
    "spotify_lag",
    (
        F("measured_at", "TIMESTAMP", "REQUIRED"),
        F("log_partition", "INT64", "REQUIRED"),
        F("records", "INT64", "REQUIRED"),  # in the log and not in every raw sink
        F("unread", "INT64"),
        F("seconds", "FLOAT64"),  # of event time; null when it is not known
        F("pending_windows", "INT64"),  # closed and not yet written, of the whole job
    ),
    key=("measured_at", "log_partition"),
    order="records",  # all rows of a key are equal
    day="measured_at",
)
FRESHNESS = Table(
    "spotify_freshness",
    (
        F("window_start", "TIMESTAMP", "REQUIRED"),
        F("closed_at", "TIMESTAMP", "REQUIRED"),  # when the watermark passed its end
        F("written_at", "TIMESTAMP", "REQUIRED"),  # when BigQuery had acknowledged its last row
        F("seconds", "FLOAT64", "REQUIRED"),
    ),
    key=("window_start", "closed_at"),
    order="written_at",
    day="closed_at",
)
AUDIT_TERMS = ("counted", "open", "dead_letters", "late", "duplicates", "heartbeats")
"""Where a record of the log may be: each is in one."""
AUDITS = Table(
    "spotify_audits",
    (
        F("audited_at", "TIMESTAMP", "REQUIRED"),
        F("log_partition", "INT64", "REQUIRED"),
        F("records", "INT64", "REQUIRED"),
        *(F(name, "INT64", "REQUIRED") for name in AUDIT_TERMS),
        F("missing", "INT64", "REQUIRED"),
        F("holds", "BOOL", "REQUIRED"),  # of the whole audit
        F("watermark", "TIMESTAMP"),
    ),
    key=("audited_at", "log_partition"),
    order="records",  # all rows of a key are equal
    day="audited_at",
)


def features(params: Params) -> Table:
    """Return the table of features; its columns depend on the lag list."""
    described = (
        F("track_name", "STRING"),
        F("artist_name", "STRING"),
        *(
            F(name, "INT64", "REQUIRED")
            for name in ("n", "plays", "skips", "searches", "releases", "recommendations")
        ),
        F("play_score", "FLOAT64"),
    )
    inputs = tuple(F(name, "FLOAT64") for name in feature_names("dynamics", params.windows.lags))
    fields = {field.name: field for field in (*_ROW_KEY_FIELDS, *described, *inputs)}
    return Table(
        "spotify_features",
        (*fields.values(), F("written_at", "TIMESTAMP", "REQUIRED")),
        key=_ROW_KEY,
        order="written_at",
        day="window_start",
    )


def labels(params: Params) -> Table:
    """Return the view of labels: what `domain.labels.label` gives, with the params' levels."""
    model = params.model
    microsecond = timedelta(microseconds=1)
    ahead = params.windows.window * model.horizon // microsecond
    alta, media, baja = LEVELS
    sql = f"""
SELECT own.window_start, own.country, own.track_id, CAST({model.horizon} AS INT64) AS horizon,
  CASE WHEN later.play_score >= {model.level_alta!r} THEN '{alta}'
       WHEN later.play_score >= {model.level_media!r} THEN '{media}' ELSE '{baja}' END AS level,
  own.label_window, later.play_score AS label_score
FROM (
  SELECT DISTINCT window_start, country, track_id,
    TIMESTAMP_ADD(window_start, INTERVAL {ahead} MICROSECOND) AS label_window
  FROM `{{dataset}}.spotify_features_rows`) AS own
LEFT JOIN `{{dataset}}.spotify_features` AS later
  ON later.window_start = own.label_window AND later.country = own.country
  AND later.track_id = own.track_id
WHERE TIMESTAMP_ADD(own.label_window, INTERVAL {params.windows.window // microsecond} MICROSECOND)
  <= (SELECT MAX(closed_until) FROM `{{dataset}}.spotify_closed_rows`)"""
    return Table(
        "spotify_labels",
        (
            *_ROW_KEY_FIELDS,
            F("horizon", "INT64", "REQUIRED"),
            F("level", "STRING", "REQUIRED"),
            F("label_window", "TIMESTAMP", "REQUIRED"),
            F("label_score", "FLOAT64"),
        ),
        key=(*_ROW_KEY, "horizon"),
        order="label_window",
        day=None,
        over="spotify_features",
        sql=sql.strip(),
    )


RETIRED = ("spotify_labels", "spotify_labels_rows")
"""Tables of earlier releases, whose content is a view's now."""


def views(params: Params) -> tuple[Table, ...]:
    """Return the further views over the rows of tables."""
    return (LATE_EVENTS, labels(params))


OBSERVED = (MODEL_METRICS, DECISIONS, LAG, FRESHNESS, AUDITS)
"""What was seen of models and jobs at some instant: no function of the log."""


def log_tables(params: Params) -> tuple[Table, ...]:
    """Return the tables that are functions of the log: a bounded run makes them anew."""
    return (EVENTS, features(params), PREDICTIONS, DEAD_LETTERS, COUNTERS, CLOSED)


def all_tables(params: Params) -> tuple[Table, ...]:
    """Return every table of the dataset."""
    return (*log_tables(params), *OBSERVED)
