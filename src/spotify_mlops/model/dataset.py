"""Features joined with labels, and their split in time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import cast

import numpy as np
import polars as pl

from ..config import content
from ..config.errors import ParamsError
from ..config.params import Params
from ..config.sections import Model, Windows
from ..domain.features import ROW_KEY, Inputs
from ..domain.features.names import SEASON_FEATURES
from ..domain.labels import LEVELS, level_of, score_of
from ..domain.windows import EPOCH, Windowing
from ..io import bigquery
from ..io.bigquery import tables

_YEAR = timedelta(days=366)
_FORTNIGHT = timedelta(days=14)


def thresholds(model: Model) -> tuple[float, float]:
    """Return the lowest play scores of Alta and Media."""
    return model.level_alta, model.level_media


def read(params: Params) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the features and the labels of the dataset, each key once: what models learn from.

    Raises:
        ParamsError: the dataset has content of the Web API, and training on it is not allowed.
        google.api_core.exceptions.GoogleAPICallError: the tables are not there.
    """
    check_content(params)
    return read_features(params), read_labels(params)


def check_content(params: Params) -> None:
    """Refuse to train on content of the Web API, unless the params say that it is allowed.

    Raises:
        ParamsError: the dataset has some, or is to have.
    """
    content.check_training(params)
    if not params.webapi.training_allowed:
        some = "SELECT 1 FROM `{dataset}.spotify_events_rows` WHERE source = @source LIMIT 1"
        sql = f"SELECT COUNT(*) FROM ({some})"
        found = bigquery.query(params, sql, source="webapi").item()
        content.check_training(params, found=bool(found))


def read_features(params: Params) -> pl.DataFrame:
    """Return the features of the dataset, each key once.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the table is not there.
    """
    return bigquery.query(params, "SELECT * FROM `{dataset}.spotify_features`")


def read_labels(
    params: Params, since: datetime = EPOCH, closed_until: datetime | None = None
) -> pl.DataFrame:
    """Return the labels of the rows from a window on, sorted by key.

    The query is that of the view ``spotify_labels``, with the horizon and the levels of these
    params, which the dataset's own need not have.

    Args:
        params: of the model.
        since: the first window.
        closed_until: leaves out what became known later.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the tables are not there.
    """
    known = "" if closed_until is None else "WHERE label_window <= @last"
    limit = {} if closed_until is None else {"last": closed_until - params.windows.window}
    view = tables.labels(params, "window_start >= @since").view_sql(params.bigquery.dataset)
    sql = f"SELECT * FROM ({view}) {known}"
    return bigquery.query(params, sql, since=since, **limit).sort(ROW_KEY)


def read_closed_until(params: Params) -> datetime | None:
    """Return the first window that is not closed and written; None where nothing is known."""
    sql = "SELECT MAX(closed_until) FROM {dataset}.spotify_closed_rows"
    until = bigquery.query(params, sql).item()
    return Windowing.of(params.windows).start(until) if until else None


def join(features: pl.DataFrame, labels: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Return the labelled rows, sorted by key.

    Args:
        features: the features table: row key, what `score_of` reads and the model inputs.
        labels: the labels table; those of ``model.horizon`` are used.

    Returns:
        The features with ``level`` (what happened), ``label_window`` and ``current_level`` (the
        level in the row's own window).
    """
    wanted = labels.filter(pl.col("horizon") == model.horizon)
    return (
        features.join(wanted.select(*ROW_KEY, "level", "label_window"), on=ROW_KEY)
        .with_columns(current_level=level_of(score_of(features.columns), thresholds(model)))
        .sort(ROW_KEY)
    )


@dataclass(frozen=True)
class Split:
    """Rows of three ranges in time; no label of one looks into the next."""

    train: pl.DataFrame
    validation: pl.DataFrame
    development: pl.DataFrame
    """Everything that is known when the test range starts: what the final model learns from."""
    test: pl.DataFrame
    validation_start: datetime
    test_start: datetime
    training_end: datetime
    """End of the last window that the final model has seen, as a feature or as a label."""


def split(rows: pl.DataFrame, params: Params) -> Split:
    """Split labelled rows in time, with a gap of ``horizon`` windows before each boundary.

    A row belongs to the range before a boundary only if its label window has ended there, so no
    range learns from what happens in a later one. Nothing is chosen on ``test``.

    Args:
        rows: what `join` returns.
        params: ``test_start``, or else ``test_share`` of the windows; ``validation_share`` of
            the windows before the test range.

    Raises:
        ParamsError: a range has no rows or does not know all three levels.
    """
    windows = rows["window_start"].unique().sort()
    if windows.is_empty():
        raise ParamsError(
            "No hay filas con etiqueta: faltan ventanas cerradas para el horizonte de "
            f"{params.model.horizon}. Publique más datos o reduzca «horizon»."
        )
    if params.model.test_start is not None:
        test_start = datetime.combine(params.model.test_start, time(), UTC)
    else:
        test_start = _boundary(windows, params.model.test_share)
    before = windows.filter(windows < test_start)
    validation_start = (
        _boundary(before, params.model.validation_share) if len(before) else test_start
    )
    window = Windowing.of(params.windows).length
    label_end = pl.col("label_window") + window
    start = pl.col("window_start")
    development = rows.filter(label_end <= test_start)
    train = rows.filter(label_end <= validation_start)
    validation = development.filter(start >= validation_start)
    test = rows.filter(start >= test_start)
    if refused := _refusal(train, validation, test):
        raise ParamsError(refused)
    training_end = bounds(development, "label_window")[1] + window
    return Split(train, validation, development, test, validation_start, test_start, training_end)


def _refusal(train: pl.DataFrame, validation: pl.DataFrame, test: pl.DataFrame) -> str:
    """Say which range does not have all three levels; nothing if each has."""
    for name, part in (("entrenamiento", train), ("validación", validation), ("prueba", test)):
        if set(part["level"].unique()) != set(LEVELS):
            return (
                f"El rango de {name} tiene {part.height} filas y no los tres niveles: cambia "
                "«test_start», «test_share», «validation_share» u «horizon», o publique más datos."
            )
    return ""


def _boundary(windows: pl.Series, share: float) -> datetime:
    """Return the first of the last ``share`` of sorted windows."""
    index = min(max(round(len(windows) * (1 - share)), 0), len(windows) - 1)
    return cast(datetime, windows[index])


def bounds(rows: pl.DataFrame, column: str = "window_start") -> tuple[datetime, datetime]:
    """Return the earliest and the latest time in a column of rows that are not empty."""
    return rows.select(pl.min(column).alias("first"), pl.max(column).alias("last")).row(0)


def score_input(windows: Windows) -> str:
    """Return the model input that is the score of the row's own window, 0 where it has none."""
    return "api_popularity" if windows.target == "api" else "country_rank"


def inputs(family: str, windows: Windows, rows: pl.DataFrame) -> list[str]:
    """Return the family's inputs that a model trained on ``rows`` may use, in order.

    A seasonal input is left out when the rows do not span its cycle: it would only tell the
    training range from later ones.

    Raises:
        ParamsError: the rows were built for other lags or countries, and lack an input.
    """
    names = Inputs.of(windows).names(family)
    if lacking := [name for name in names if name not in rows.columns]:
        raise ParamsError(
            f"Las variables no tienen {', '.join(lacking[:3])}: se hicieron con otros «lags», "
            f"«model_countries» o «target» que {windows.lags}, "
            f"{', '.join(windows.model_countries)} y {windows.target}."
        )
    first, last = bounds(rows)
    span = last - first
    unusable = set()
    if span < _YEAR:
        unusable |= {"year_sin", "year_cos"}
    if span < _FORTNIGHT or windows.window % timedelta(days=7) == timedelta(0):
        unusable.add("day_of_week")
    assert unusable <= set(SEASON_FEATURES)
    return [name for name in names if name not in unusable]


def matrix(rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the inputs as a C-contiguous float64 array (rows, names)."""
    return np.ascontiguousarray(rows.select(names).to_numpy(), dtype=np.float64)


def level_codes(levels: pl.Series) -> np.ndarray:
    """Return levels as indices into `LEVELS` (int64)."""
    return levels.cast(pl.Enum(LEVELS)).to_physical().to_numpy().astype(np.int64)


def sample(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Return at most ``most`` rows, drawn without replacement, in their order."""
    if rows.height <= most:
        return rows
    chosen = np.random.default_rng(seed).choice(rows.height, most, replace=False)
    return rows[np.sort(chosen)]


def digest(rows: pl.DataFrame, names: Sequence[str]) -> str:
    """Return the SHA-256 of what a model is trained on: keys, inputs and levels, in key order."""
    ordered = rows.sort(ROW_KEY)
    hashed = hashlib.sha256(",".join(names).encode())
    hashed.update(matrix(ordered, names).tobytes())
    hashed.update(level_codes(ordered["level"]).tobytes())
    hashed.update(ordered["window_start"].dt.epoch("us").to_numpy().tobytes())
    for column in ("country", "track_id"):
        hashed.update("\n".join(ordered[column]).encode())
    return hashed.hexdigest()
