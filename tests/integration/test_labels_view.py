"""The view of labels gives what the pure function gives, and follows whoever fills the dataset."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.domain import features, labels
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.model import dataset
from spotify_mlops.operations import compare
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.sources.simulator import Simulator

MakeParams = Callable[..., params.Params]
NOW = datetime(2026, 1, 5, tzinfo=UTC)
SMALL = {
    "simulator_events": 6_000,
    "simulator_days": 2,
    "simulator_tracks": 40,
    "lags": [1, 2, 3],
    "horizon": 6,
}
OFFSET = {"window": "3h", "window_offset": "1h", "horizon": 2, "level_alta": 66.66666666666667}


def written(settings: params.Params) -> pl.DataFrame:
    """Write the features of a simulated log, some of them twice; return them."""
    events = pl.concat(list(Simulator(settings).history()))
    unique, _ = features.dedup(
        events.filter(pl.col("injected").is_null()).with_columns(
            partition=pl.lit(0, pl.Int32), offset=pl.int_range(pl.len(), dtype=pl.Int64)
        )
    )
    made = features.reference(
        unique, Windowing.of(settings.windows), features.Inputs.of(settings.windows)
    )
    # A window without rows in the middle, and one with rows of few countries.
    starts = made["window_start"].unique().sort()
    gone = pl.col("window_start") == starts[len(starts) // 2]
    few = (pl.col("window_start") == starts[-3]) & pl.col("country").is_in(["CO", "US"])
    made = made.filter(~gone & ~few)
    warehouse.ensure_dataset(settings, fills=True)
    table = tables.features(settings.windows)
    appending.append(settings, table, rows.stamped(made, NOW))
    appending.append(settings, table, rows.stamped(made.head(500), NOW + timedelta(seconds=1)))
    return made


def close(settings: params.Params, until: datetime) -> None:
    appending.append(settings, tables.CLOSED, rows.closed_rows(until, NOW))


def expected(settings: params.Params, made: pl.DataFrame, until: datetime) -> pl.DataFrame:
    levels = dataset.thresholds(settings.model)
    return labels.label(made, settings.model.horizon, Windowing.of(settings.windows), until, levels)


def shown(settings: params.Params) -> pl.DataFrame:
    return bigquery.query(settings, "SELECT * FROM {dataset}.spotify_labels")


@pytest.mark.parametrize("overrides", [{}, OFFSET], ids=["hours", "offset"])
def test_the_view_equals_the_function(
    local_params: MakeParams, overrides: dict[str, object]
) -> None:
    settings = local_params(**(SMALL | overrides))
    made = written(settings)
    last = made["window_start"].max()
    assert isinstance(last, datetime)
    assert made["country"].n_unique() >= 4
    assert shown(settings).is_empty()  # nothing is said to be closed
    window = settings.windows.window
    known = (
        last - 9 * window,
        last + window,
        last + window + window / 2,  # a window that is open
        last + 4 * window,  # windows that are closed without a row
        last + window * (settings.model.horizon + 1),  # every row looks at a closed window
    )
    for until in sorted(known):
        close(settings, until)
        view, pure = shown(settings), expected(settings, made, until)
        assert compare.digest(view) == compare.digest(pure)
        assert view.schema == pure.schema
        assert dataset.read_labels(settings).equals(pure)
        assert dataset.read_closed_until(settings) == Windowing.of(settings.windows).start(until)
    assert view.height == made.height
    assert set(view["level"]) == set(labels.LEVELS)
    assert view.filter(pl.col("label_window") > last)["level"].unique().to_list() == ["Baja"]
    since, until = last - (settings.model.horizon + 4) * window, last - window
    part = dataset.read_labels(settings, since, until)
    assert part.height
    assert part.equals(expected(settings, made, until).filter(pl.col("window_start") >= since))


def test_a_horizon_beyond_what_is_closed_gives_no_labels(local_params: MakeParams) -> None:
    settings = local_params(**(SMALL | {"horizon": 10_000}))
    made = written(settings)
    close(settings, made["window_start"].max() + settings.windows.window)  # type: ignore[operator]
    assert shown(settings).is_empty()


def test_other_params_read_their_own_labels_and_leave_the_view_alone(
    local_params: MakeParams,
) -> None:
    settings = local_params(**SMALL)
    made = written(settings)
    until = made["window_start"].max() + settings.windows.window  # type: ignore[operator]
    close(settings, until)
    other = local_params(
        **SMALL | {"dataset": settings.bigquery.dataset, "horizon": 3, "level_media": 55}
    )
    warehouse.ensure_dataset(other)
    assert compare.digest(shown(settings)) == compare.digest(expected(settings, made, until))
    assert dataset.read_labels(other).equals(expected(other, made, until))
    warehouse.ensure_dataset(other, fills=True)
    assert compare.digest(shown(settings)) == compare.digest(expected(other, made, until))


@pytest.mark.parametrize("table", ["spotify_labels", "spotify_labels_rows"])
def test_a_table_of_labels_of_an_earlier_release_gives_way(
    local_params: MakeParams, table: str
) -> None:
    settings = local_params(**SMALL)
    made = written(settings)
    until = made["window_start"].max() + settings.windows.window  # type: ignore[operator]
    close(settings, until)
    client = bigquery.client(settings)
    name = f"{settings.cloud.project}.{settings.bigquery.dataset}"
    client.delete_table(f"{name}.spotify_labels")
    client.query(f"CREATE TABLE `{name}.{table}` (track_id STRING)").result()
    if table == "spotify_labels_rows":
        client.query(
            f"CREATE VIEW `{name}.spotify_labels` AS SELECT * FROM `{name}.{table}`"
        ).result()
    warehouse.ensure_dataset(settings)
    assert compare.digest(shown(settings)) == compare.digest(expected(settings, made, until))
    kinds = {t.table_id: t.table_type for t in client.list_tables(settings.bigquery.dataset)}
    assert kinds["spotify_labels"] == "VIEW"
    assert "spotify_labels_rows" not in kinds
