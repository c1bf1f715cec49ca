"""An audit of the features table: does an input know what happened after its window?

Two looks. The first is exact: the inputs of some windows are computed again from a log that ends
where the window does, and must be the same to the last bit. The second needs no log and sees a
leak that the code itself makes: an input that tells the label far better than the same input one
window earlier knows more than the passing of one window explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from ..config.params import Params
from ..config.sections import Model, Windows
from ..domain import features as computation
from ..domain.features import ROW_KEY
from ..domain.labels import LEVELS
from ..domain.schemas import Schema
from ..domain.windows import Windowing
from ..io import bigquery
from . import dataset
from .dataset import level_codes

WINDOWS = 12
"""Windows whose rows are computed again."""

ALARM_ROWS = 20_000
ALARM_FACTOR = 2.0
ALARM_MARGIN = 0.05
"""An input is suspect when the step from a window earlier to now exceeds the step before it times
`ALARM_FACTOR`, plus `ALARM_MARGIN`."""

_BINS = 32

AUDIT_SCHEMA: Schema = {
    "input": pl.String,
    "compared": pl.Int64,
    "different": pl.Int64,
    "window_start": pl.Datetime("us", "UTC"),
    "country": pl.String,
    "track_id": pl.String,
    "stored": pl.Float64,
    "recomputed": pl.Float64,
}
ALARM_SCHEMA = {
    "input": pl.String,
    "now": pl.Float64,
    "earlier": pl.Float64,
    "before": pl.Float64,
    "suspect": pl.Boolean,
}


def sample_windows(features: pl.DataFrame, model: Model, most: int = WINDOWS) -> list[datetime]:
    """Return some windows of the table, spread at random over all of it, in order."""
    windows = features["window_start"].unique().sort()
    chosen = np.random.default_rng(model.seed).choice(
        len(windows), min(most, len(windows)), replace=False
    )
    return windows.gather(np.sort(chosen)).to_list()


def read_events(params: Params, windows: Sequence[datetime]) -> pl.DataFrame:
    """Return the counted events that the inputs of some windows may look at, each once.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the table is not there.
    """
    looked_at = {
        w - params.windows.window * lag for w in windows for lag in (0, *params.windows.lags)
    }
    return bigquery.query(
        params,
        "SELECT * FROM `{dataset}.spotify_events` WHERE window_start IN UNNEST(@windows)",
        windows=sorted(looked_at),
    )


def audit(
    features: pl.DataFrame,
    events: pl.DataFrame,
    windows_params: Windows,
    windows: Sequence[datetime],
) -> pl.DataFrame:
    """Compute the inputs of some windows again, each from the events before the window's end.

    Args:
        features: the table: row key and inputs.
        events: unique events in time, at least those that the windows look at; later ones do no
            harm, they are left out.
        windows_params: windows, lags and countries.
        windows: those to compute again.

    Returns:
        ``input``, ``compared`` values, how many are ``different``, and of one of these the row
        key and what is ``stored`` and was ``recomputed``; the inputs with most differences first.
        A value is different unless it is equal to the bit. Rows in only one of the two are
        different in every input.
    """
    windowing, inputs = Windowing.of(windows_params), computation.Inputs.of(windows_params)
    known = []
    for window in windows:
        past = events.filter(pl.col("event_time") < window + windows_params.window)
        computed = computation.reference(past, windowing, inputs)
        known.append(computed.filter(pl.col("window_start") == window))
    names = inputs.names()
    table = features.filter(pl.col("window_start").is_in(list(windows)))
    pairs = table.select(*ROW_KEY, *names, _left=True).join(
        pl.concat(known).select(*ROW_KEY, *names, _right=True),
        on=ROW_KEY, how="full", coalesce=True, suffix="_again",
    )  # fmt: skip
    rows = []
    for name in names:
        equal = pl.col(name).eq_missing(pl.col(f"{name}_again"))
        both = pl.col("_left").is_not_null() & pl.col("_right").is_not_null()
        wrong = pairs.filter(~(equal & both))
        rows.append((name, pairs.height, wrong.height, *_example(wrong, name)))
    return pl.DataFrame(rows, schema=AUDIT_SCHEMA, orient="row").sort(
        "different", descending=True, maintain_order=True
    )


def _example(wrong: pl.DataFrame, name: str) -> tuple[object, ...]:
    """Return the row key of a value that differs, and the value stored and computed again."""
    if wrong.is_empty():
        return (None,) * 5
    return wrong.sort(ROW_KEY).select(*ROW_KEY, name, f"{name}_again").row(0)


def alarm(rows: pl.DataFrame, params: Params, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Compare what each input alone tells of the level with what it told one and two windows ago.

    What an honest input tells fades as it grows old, a little more each window. One that knows
    the label drops at once when it is moved by a window. So it is the step that counts, against
    the step before it, and not how much an input tells: the best inputs tell much.

    Args:
        rows: labelled rows (`dataset.join`) of windows that follow each other.
        params: the length of a window; seed of the sample.
        names: inputs to look at; all of the ``dynamics`` family without it.

    Returns:
        ``input``; ``now``, ``earlier`` and ``before``: share of the level's uncertainty that the
        input's value of this window, the last and the one before takes away (the uncertainty
        coefficient; Theil, 1970; in `_BINS` equal parts of the values); ``suspect``. Largest step
        first.
    """
    names = list(names or computation.Inputs.of(params.windows).names())
    windowing = Windowing.of(params.windows)
    moved = [
        rows.select(
            windowing.shift_expr("window_start", k).alias("window_start"),
            "country",
            "track_id",
            pl.col(names).name.suffix(f"_{k}_ago"),
        )
        for k in (1, 2)
    ]
    joined = rows.select(*ROW_KEY, "level", *names)
    for frame in moved:
        joined = joined.join(frame, on=ROW_KEY)
    joined = dataset.sample(joined.sort(ROW_KEY), ALARM_ROWS, params.model.seed)
    level = level_codes(joined["level"])
    found = []
    for name in names:
        values = [joined[column].to_numpy() for column in (name, f"{name}_1_ago", f"{name}_2_ago")]
        now, earlier, before = (_uncertainty_coefficient(x, level) for x in values)
        step = now - earlier
        suspect = step > ALARM_FACTOR * max(earlier - before, 0.0) + ALARM_MARGIN
        found.append((name, now, earlier, before, bool(suspect)))
    table = pl.DataFrame(found, schema=ALARM_SCHEMA, orient="row")
    return table.sort(pl.col("now") - pl.col("earlier"), descending=True, maintain_order=True)


def _uncertainty_coefficient(x: np.ndarray, level: np.ndarray) -> float:
    """Return I(x; level) / H(level), 0 when the level never varies."""
    if len(x) == 0:
        return 0.0
    edges = np.unique(np.quantile(x, np.linspace(0, 1, _BINS + 1)[1:-1]))
    cells = np.searchsorted(edges, x, side="left") * len(LEVELS) + level
    table = np.bincount(cells, minlength=(len(edges) + 1) * len(LEVELS)).reshape(-1, len(LEVELS))
    p = table / len(x)
    entropy = _entropy(p.sum(axis=0))
    told = entropy + _entropy(p.sum(axis=1)) - _entropy(p.ravel())
    return float(told / entropy) if entropy > 0 else 0.0


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
