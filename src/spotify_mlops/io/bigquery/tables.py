"""The BigQuery tables: columns, keys and the views that readers query.

Rows are written to ``<name>_rows`` at least once; the view ``<name>`` shows each key once. So a
writer may repeat itself after a crash and a reader never sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl
from google.cloud import bigquery

from ...config.params import Params
from ...config.sections import Windows
from ...domain import schemas
from ...domain.events.schema import DUPLICATE_KEY, UTC_MICROSECONDS
from ...domain.features import Inputs
from ...domain.labels import LEVELS
from ...domain.schemas import ROW_KEY, Columns
from .scores import score_sql

_TYPES: dict[pl.DataType | type[pl.DataType], str] = {
    pl.String: "STRING",
    pl.Binary: "BYTES",
    pl.Int16: "INT64",
    pl.Int64: "INT64",
    pl.Float64: "FLOAT64",
    pl.Boolean: "BOOL",
    pl.Date: "DATE",
    UTC_MICROSECONDS: "TIMESTAMP",
}

_BYTES = {"INT64": 8, "FLOAT64": 8, "BOOL": 1, "DATE": 8, "TIMESTAMP": 8}
"""That BigQuery counts for a value of a type: https://cloud.google.com/bigquery/docs/reference/
standard-sql/data-types#data_type_sizes."""
_TEXT_BYTES = 2 + 20
"""Two bytes and the text; twenty is what ids, names and codes take together on average here."""
_VALUE_BYTES = 300
"""Of a dead letter's original bytes."""


def _fields(*parts: Columns) -> tuple[bigquery.SchemaField, ...]:
    columns = Columns(*parts)
    return tuple(
        bigquery.SchemaField(
            name, _TYPES[dtype], "NULLABLE" if name in columns.nullable else "REQUIRED"
        )
        for name, dtype in columns.items()
    )


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

    @property
    def clustering(self) -> list[str]:
        """Return the columns by which the rows are kept together."""
        return [field.name for field in self.schema if field.name == "country"]

    @property
    def row_bytes(self) -> int:
        """Return the bytes that BigQuery counts for a row, about."""
        sizes = _BYTES | {"STRING": _TEXT_BYTES, "BYTES": _VALUE_BYTES}
        return sum(sizes[field.field_type] for field in self.schema)

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


EVENTS = Table(
    "spotify_events",
    _fields(schemas.EVENT_SCHEMA),
    key=DUPLICATE_KEY,
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
    _fields(schemas.PREDICTION_SCHEMA, schemas.WRITTEN_SCHEMA),
    key=ROW_KEY,
    order="written_at",
    day="window_start",
)
DEAD_LETTERS = Table(
    "spotify_dead_letters",
    _fields(schemas.DEAD_LETTER_SCHEMA),
    key=("log_partition", "log_offset"),
    order="append_time",
    day="append_time",
)
COUNTERS = Table(
    "spotify_counters",
    _fields(schemas.COUNTER_SCHEMA),
    key=("window_start", "shard", "log_partition", "log_offset"),
    order="counted",  # all rows of a key are equal
    day=None,
)
CROSSINGS = Table(
    "spotify_crossings",
    _fields(schemas.CROSSING_SCHEMA),
    key=("log_partition", "window_start"),
    order="log_offset",  # all rows of a key are equal
    day="window_start",
)
"""Where each partition reaches a window: from there it can be read again."""
CLOSED = Table(
    "spotify_closed",
    _fields(schemas.CLOSED_SCHEMA),
    key=("closed_until",),
    order="written_at",
    day="written_at",
)
"""Until when all windows are closed and written, those without a row too; the latest counts."""
WRITTEN = Table(
    "spotify_written",
    _fields(schemas.WRITTEN_WINDOW_SCHEMA),
    key=("job", "window_start", "shard"),
    order="written_at",
    day="written_at",
)
"""The windows that a job on an engine with workers of its own has written, by shard."""
MODEL_METRICS = Table(
    "spotify_model_metrics",
    _fields(schemas.METRIC_SCHEMA),
    key=("run_id", "model", "split", "slice", "metric"),
    order="written_at DESC",  # a run that is evaluated again has its latest verdict
    day="written_at",
)
DECISIONS = Table(
    "spotify_decisions",
    _fields(schemas.DECISION_SCHEMA),
    key=("window_start", "step", "model"),
    order="decided_at",
    day="decided_at",
)
LAG = Table(
    "spotify_lag",
    _fields(schemas.LAG_SCHEMA),
    key=("measured_at", "log_partition"),
    order="records",  # all rows of a key are equal
    day="measured_at",
)
FRESHNESS = Table(
    "spotify_freshness",
    _fields(schemas.FRESHNESS_SCHEMA),
    key=("window_start", "closed_at"),
    order="written_at",
    day="closed_at",
)
AUDITS = Table(
    "spotify_audits",
    _fields(schemas.AUDIT_SCHEMA),
    key=("audited_at", "log_partition"),
    order="records",  # all rows of a key are equal
    day="audited_at",
)


def features(windows: Windows) -> Table:
    """Return the table of features; its columns depend on the lags and the model's countries."""
    inputs = Inputs.of(windows).names()
    return Table(
        "spotify_features",
        _fields(schemas.features_schema(inputs), schemas.WRITTEN_SCHEMA),
        key=ROW_KEY,
        order="written_at",
        day="window_start",
    )


def labels(params: Params, among: str = "TRUE") -> Table:
    """Return the view of labels: what `domain.labels.label` gives, with the params' levels.

    ``among`` is a condition on the windows of the rows, and so on those that they look at: a
    condition on the view's own result would not spare the reading of the others.
    """
    model = params.model
    score = score_sql(params.windows, "later")
    known = f"{score} IS NOT NULL AND " if params.windows.target == "api" else ""
    microsecond = timedelta(microseconds=1)
    length = params.windows.window // microsecond
    ahead = length * model.horizon
    alta, media, baja = LEVELS
    sql = f"""
SELECT own.window_start, own.country, own.track_id, CAST({model.horizon} AS INT64) AS horizon,
  CASE WHEN {score} >= {model.level_alta!r} THEN '{alta}'
       WHEN {score} >= {model.level_media!r} THEN '{media}' ELSE '{baja}' END AS level,
  own.label_window, {score} AS label_score
FROM (
  SELECT *, TIMESTAMP_ADD(window_start, INTERVAL {ahead} MICROSECOND) AS label_window
  FROM (
    SELECT DISTINCT window_start, country, track_id
    FROM `{{dataset}}.spotify_features_rows` WHERE {among})) AS own
LEFT JOIN (SELECT * FROM `{{dataset}}.spotify_features` WHERE {among}) AS later
  ON later.window_start = own.label_window AND later.country = own.country
  AND later.track_id = own.track_id
WHERE {known}TIMESTAMP_ADD(own.label_window, INTERVAL {length} MICROSECOND)
  <= (SELECT MAX(closed_until) FROM `{{dataset}}.spotify_closed_rows`)"""
    return Table(
        "spotify_labels",
        _fields(schemas.LABEL_SCHEMA),
        key=(*ROW_KEY, "horizon"),
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


OBSERVED = (MODEL_METRICS, DECISIONS, LAG, FRESHNESS, AUDITS, WRITTEN)
"""What was seen of models, or told by jobs, at some instant: no function of the log."""


def log_tables(windows: Windows) -> tuple[Table, ...]:
    """Return the tables that are functions of the log: a bounded run makes them anew."""
    return (
        *(EVENTS, features(windows), PREDICTIONS, DEAD_LETTERS, COUNTERS, CROSSINGS),
        CLOSED,
    )


def all_tables(windows: Windows) -> tuple[Table, ...]:
    """Return every table of the dataset."""
    return (*log_tables(windows), *OBSERVED)
