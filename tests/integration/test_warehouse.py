"""BigQuery's tables through its clients: queries, loads and appends on a real server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from stored import START, kill, predictions

from local_services import services
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.bigquery.clients import query as run_query
from spotify_mlops.io.bigquery.clients import query_pandas
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import state

MakeParams = Callable[..., params.Params]


def test_query_gives_types_parameters_and_empty_results(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    appending.append(local, tables.PREDICTIONS, predictions(10))
    sql = """
        SELECT track_id, window_start, score FROM {dataset}.spotify_predictions
        WHERE window_start >= @start AND country IN UNNEST(@countries) AND score < @most
        ORDER BY track_id
    """
    found = run_query(local, sql, start=START + timedelta(hours=1), countries=["CO"], most=0.75)
    expected = (
        predictions(10)
        .filter(
            pl.col("window_start") >= START + timedelta(hours=1),
            pl.col("country") == "CO",
            pl.col("score") < 0.75,
        )
        .select("track_id", "window_start", "score")
        .sort("track_id")
    )
    assert found.equals(expected)
    assert found.schema == {
        "track_id": pl.String,
        "window_start": pl.Datetime("us", "UTC"),
        "score": pl.Float64,
    }
    none = run_query(local, sql, start=START, countries=["XX"], most=0.0)
    assert none.height == 0
    assert none.schema == found.schema
    frame = query_pandas(local, "SELECT * FROM {dataset}.spotify_predictions")
    assert len(frame) == 10
    assert str(frame["window_start"].dt.tz) == "UTC"


def test_a_new_nullable_column_is_added_to_a_table_with_rows(
    local_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    appending.append(local, tables.PREDICTIONS, predictions(3))
    note = bigquery.SchemaField("note", "STRING")
    wider = replace(tables.PREDICTIONS, schema=(*tables.PREDICTIONS.schema, note))
    monkeypatch.setattr(tables, "all_tables", lambda params: (wider,))
    warehouse.ensure_dataset(local)
    appending.append(local, wider, predictions(2, 3).with_columns(note=pl.lit("new")))
    found = run_query(local, "SELECT track_id, note FROM {dataset}.spotify_predictions")
    assert dict(found.rows()) == {"t0": None, "t1": None, "t2": None, "t3": "new", "t4": "new"}
    other = replace(
        wider, schema=(*wider.schema, bigquery.SchemaField("more", "INT64", "REQUIRED"))
    )
    monkeypatch.setattr(tables, "all_tables", lambda params: (other,))
    with pytest.raises(UserError, match="otras columnas"):
        warehouse.ensure_dataset(local)


def test_large_results_come_whole(local_params: MakeParams, tmp_path: Path) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    rows = predictions(200_000)
    rows.write_parquet(tmp_path / "a.parquet")
    assert warehouse.load(local, tables.PREDICTIONS, [tmp_path / "a.parquet"], replace=True)
    found = run_query(local, "SELECT * FROM {dataset}.spotify_predictions_rows")
    order = ["track_id"]
    assert found.sort(order).equals(rows.select(found.columns).sort(order))


def test_small_and_large_results_have_the_same_values(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    random = np.random.default_rng(1)
    rows = predictions(3000).with_columns(
        score=pl.Series(random.random(3000) * 10.0 ** random.integers(-300, 300, 3000)),
        written_at=pl.lit(START)
        + pl.Series(random.integers(0, 10**15, 3000)).cast(pl.Duration("us")),
    )
    appending.append(local, tables.PREDICTIONS, rows)
    sql = "SELECT * FROM {dataset}.spotify_predictions_rows"  # more rows than one answer holds
    large = run_query(local, sql).sort("track_id")
    few = large["track_id"].head(500).to_list()
    small = run_query(local, f"{sql} WHERE track_id IN UNNEST(@few)", few=few)
    assert small.sort("track_id").equals(large.head(500))
    assert large.equals(rows.select(large.columns).sort("track_id"))


def test_a_query_that_fails_raises(local_params: MakeParams) -> None:
    local = local_params()
    with pytest.raises(NotFound, match="nowhere"):
        run_query(local, "SELECT x FROM nowhere.y")
    with pytest.raises(BadRequest, match="division by zero"):
        run_query(local, "SELECT 1 / 0")


def test_load_replaces_or_adds_and_views_show_each_key_once(
    local_params: MakeParams, tmp_path: Path
) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    predictions(5).write_parquet(files[0])
    predictions(5, 3).write_parquet(files[1])

    def counts() -> tuple[int, int]:
        rows, keys = run_query(
            local,
            "SELECT (SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows) AS n, "
            "(SELECT COUNT(*) FROM {dataset}.spotify_predictions) AS k",
        ).row(0)
        return rows, keys

    assert warehouse.load(local, tables.PREDICTIONS, files, replace=False) == 10
    assert counts() == (10, 8)
    assert warehouse.load(local, tables.PREDICTIONS, files[:1], replace=True) == 5
    assert counts() == (5, 5)
    assert warehouse.load(local, tables.PREDICTIONS, [], replace=False) == 0
    assert counts() == (5, 5)
    assert warehouse.load(local, tables.PREDICTIONS, [], replace=True) == 0
    assert counts() == (0, 0)


def test_rows_that_do_not_fit_are_refused(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        with pytest.raises(ValueError, match="unknown"):
            appender.append(predictions(1).with_columns(extra=1))
        with pytest.raises(ValueError, match="level"):
            appender.append(predictions(1).drop("level"))
        with pytest.raises(ValueError, match="score"):
            appender.append(predictions(1).with_columns(score=pl.lit(None, pl.Float64)))
        assert appender.append(predictions(0)) == 0


def test_an_append_whose_answer_was_lost_is_not_written_twice(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(4))
        appender._offset = 0  # as if no answer had come
        appender.append(predictions(4))
        appender.append(predictions(2, 4))
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows"
    assert run_query(local, sql).item() == 6


def test_a_large_append_is_cut_into_requests(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(150_000))
    sql = "SELECT COUNT(DISTINCT track_id) FROM {dataset}.spotify_predictions_rows"
    assert run_query(local, sql).item() == 150_000


def test_an_appender_outlives_a_restart_of_the_server(own_state: Path) -> None:
    services.up()
    local = params.load("local", sink_deadline="60s")
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(3))
        kill(state.read()["bigquery"])
        services.up()
        appender.append(predictions(3, 3))
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions"
    assert run_query(local, sql).item() == 6

    services.down()
    brief = local.replace(
        sink_deadline=timedelta(seconds=1), bigquery_grpc=f"{ports.HOST}:{ports.free()}"
    )
    with pytest.raises(ServiceError, match="spotify_predictions_rows"):
        appending.append(brief, tables.PREDICTIONS, predictions(1))


def test_readers_and_appenders_at_once_do_not_mix_answers(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)

    def write(first: int) -> None:
        with appending.Appender(local, tables.PREDICTIONS) as appender:
            for batch in range(15):
                appender.append(predictions(20, first + 20 * batch))

    sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT track_id) AS k FROM {dataset}.spotify_predictions"
    seen = []
    with ThreadPoolExecutor(8) as pool:  # more open streams than the server's default threads
        writers = [pool.submit(write, 1000 * i) for i in range(8)]
        while not all(writer.done() for writer in writers):
            seen.append(run_query(local, sql))
        for writer in writers:
            writer.result()
    assert all(frame.columns == ["n", "k"] for frame in seen)
    counts = [frame.row(0) for frame in seen]
    assert counts == sorted(counts)
    assert all(rows == keys for rows, keys in counts)
    assert run_query(local, sql).row(0) == (2400, 2400)
