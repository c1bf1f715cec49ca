"""What late events change: a replay that accepts them, beside the live dataset.

The replay closes the same windows as the live job; the events that came too late for the one are
in time for the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from ..config.errors import IntegrityError
from ..config.params import Params
from ..domain.features import DESCRIPTIVE_SCHEMA, ROW_KEY
from ..io.bigquery import tables
from ..pipeline.sinks.mongo import model_inputs
from . import audit
from .bounded import BoundedSummary
from .compare import Extent, content, differences
from .skew import PREDICTED


@dataclass(frozen=True)
class Changes:
    """The live dataset (first of a pair) and the replay (second), and how their rows differ."""

    allowed_lateness: tuple[timedelta, timedelta]
    late: tuple[int, int]
    """Records too late to be counted."""
    counted: tuple[int, int]
    """Records in closed windows, each event once."""
    duplicates: tuple[int, int]
    windows: tuple[int, int]
    rows: tuple[int, int]
    rows_changed: int
    """Rows of features in both with another value."""
    features_changed: Mapping[str, int]
    """In how many rows each column changed, most often first."""
    predictions: tuple[int, int]
    predictions_changed: int
    levels_moved: Mapping[str, int]
    """Predictions whose level changed, by ``before -> after``, most often first."""
    labels_changed: int
    """Labels in both with another level: what a training set would learn otherwise."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; a pair becomes ``live`` and ``replay``."""
        plain = asdict(self) | {
            "allowed_lateness": tuple(t.total_seconds() for t in self.allowed_lateness)
        }
        return {
            name: dict(zip(("live", "replay"), value, strict=True))
            if isinstance(value, tuple)
            else value
            for name, value in plain.items()
        }


def changes(live: Params, other: Params, summary: BoundedSummary, wait: float = 30.0) -> Changes:
    """Compare the live dataset with a replay that accepts later events.

    Args:
        live: of the live dataset.
        other: of the replay.
        summary: what the replay did; later records and windows are left out.
        wait: seconds that a running job is given to write what it has read.

    Raises:
        IntegrityError: the live dataset does not answer for all that the replay has read.
        ServiceError: a service does not answer.
    """
    report = audit.audit(live, wait=wait)
    if not report.holds:
        raise IntegrityError(
            f"El dataset {live.bigquery.dataset} no responde de todo el registro, y no se puede "
            "decir qué cambia: mira «spotify-mlops audit»."
        )
    extent = Extent.of(summary)

    def both(table: tables.Table) -> tuple[pl.DataFrame, pl.DataFrame]:
        return content(live, table, extent), content(other, table, extent)

    late = both(tables.LATE_EVENTS)
    counters = both(tables.COUNTERS)
    features = both(tables.features(live.windows))
    predictions = both(tables.PREDICTIONS)
    labels = both(tables.labels(live))
    columns = (*DESCRIPTIVE_SCHEMA, *model_inputs(live.windows))
    rows = differences(*features, ROW_KEY, columns)
    predicted = differences(*predictions, ROW_KEY, PREDICTED)
    return Changes(
        (live.windows.allowed_lateness, other.windows.allowed_lateness),
        _each(late, pl.len()),
        _each(counters, pl.col("counted").sum()),
        _each(counters, pl.col("duplicates").sum()),
        _each(features, pl.col("window_start").n_unique()),
        _each(features, pl.len()),
        rows.found.height,
        _most_first(rows.columns),
        _each(predictions, pl.len()),
        predicted.found.height,
        _moved(predicted.expected["level"], predicted.found["level"]),
        differences(*labels, tables.labels(live).key, ["level"]).found.height,
    )


def _each(frames: tuple[pl.DataFrame, pl.DataFrame], value: pl.Expr) -> tuple[int, int]:
    one, two = (int(frame.select(value).item()) for frame in frames)
    return one, two


def _moved(before: pl.Series, after: pl.Series) -> dict[str, int]:
    pairs = pl.DataFrame({"before": before, "after": after})
    moved = pairs.filter(pl.col("before") != pl.col("after")).group_by("before", "after").len()
    return _most_first({f"{old} -> {new}": count for old, new, count in moved.iter_rows()})


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
