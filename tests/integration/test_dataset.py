"""Who may change the tables of a dataset: nobody who only reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from spotify_mlops.cli import main
from spotify_mlops.config import params
from spotify_mlops.config.errors import UserError
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, frames, tables, warehouse

MakeParams = Callable[..., params.Params]
WINDOW = {"window_start": datetime(2026, 1, 5, tzinfo=UTC), "country": "CO", "track_id": "t"}


def filled(local: params.Params) -> None:
    """Make a dataset with a row of features and a dead letter."""
    warehouse.ensure_dataset(local)
    features = tables.features(local.windows)
    counts = {f.name: 1 for f in features.schema if f.mode == "REQUIRED" and f.name not in WINDOW}
    counts["written_at"] = WINDOW["window_start"]  # type: ignore[assignment]
    appending.append(local, features, frames.frame(features, [WINDOW | counts]))
    letter = {"log_partition": 0, "log_offset": 7, "append_time": WINDOW["window_start"],
              "topic": "t", "reason": "empty"}  # fmt: skip
    appending.append(local, tables.DEAD_LETTERS, frames.frame(tables.DEAD_LETTERS, [letter]))


def rows(local: params.Params) -> dict[str, int]:
    """Count the rows of the two tables that have some."""
    return {
        name: bigquery.query(local, f"SELECT COUNT(*) FROM {{dataset}}.{name}").item()
        for name in ("spotify_features_rows", "spotify_dead_letters_rows")
    }


def columns(local: params.Params) -> list[str]:
    return bigquery.query(local, "SELECT * FROM {dataset}.spotify_features").columns


def test_only_who_fills_it_again_may_empty_the_table_of_features(
    local_params: MakeParams,
) -> None:
    local = local_params()
    filled(local)
    before = columns(local)
    longer = local_params(
        dataset=local.bigquery.dataset, lags=[*local.windows.lags, local.windows.lags[-1] + 1]
    )
    for other in (local_params(dataset=local.bigquery.dataset, lags=[1]), longer):
        with pytest.raises(UserError, match=r"spotify_features_rows .*«lags».*make run"):
            warehouse.ensure_dataset(other)
        assert columns(local) == before and set(rows(local).values()) == {1}

    said: list[str] = []
    warehouse.ensure_dataset(local, rebuild=said.append)
    assert said == [] and set(rows(local).values()) == {1}
    warehouse.ensure_dataset(longer, rebuild=said.append)
    assert ["spotify_features_rows" in line for line in said] == [True]
    assert columns(longer) == [field.name for field in tables.features(longer.windows).schema]
    assert rows(longer) == {"spotify_features_rows": 0, "spotify_dead_letters_rows": 1}


@pytest.mark.parametrize(
    "command", [["audit"], ["dashboard"], ["monitor", "--log"], ["monitor"],
                ["stream", "--until-caught-up"]], ids=" ".join,
)  # fmt: skip
def test_a_command_refuses_other_lags_and_changes_nothing(
    local_params: MakeParams, command: list[str]
) -> None:
    local = local_params()
    filled(local)
    own = [f"{name}={local.value(name)}" for name in ("dataset", "topic", "mongo_database")]
    sets = [part for each in [*own, "lags=[1]"] for part in ("--set", each)]
    result = CliRunner().invoke(main.app, [*command, *sets])
    assert isinstance(result.exception, UserError) and "lags" in str(result.exception)
    assert set(rows(local).values()) == {1}


def test_other_tables_are_never_made_anew(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    client = bigquery.client(local)
    name = f"{local.cloud.project}.{local.bigquery.dataset}.{tables.PREDICTIONS.rows}"
    client.delete_table(name)
    client.query(f"CREATE TABLE `{name}` (other INT64)").result()
    with pytest.raises(UserError, match=r"spotify_predictions_rows tiene otras columnas"):
        warehouse.ensure_dataset(local, rebuild=print)
    assert [field.name for field in client.get_table(name).schema] == ["other"]


def test_a_view_takes_another_query_while_it_is_read(local_params: MakeParams) -> None:
    local = local_params()
    filled(local)
    client = bigquery.client(local)
    reference = f"{local.cloud.project}.{local.bigquery.dataset}.{tables.DEAD_LETTERS.name}"
    view = client.get_table(reference)
    made, declared = view.created, view.view_query
    assert declared == tables.DEAD_LETTERS.view_sql(local.bigquery.dataset)
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            sql = "SELECT COUNT(*) FROM {dataset}.spotify_dead_letters"
            counts.append(bigquery.query(local, sql).item())

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(10):  # as another release of the project left it
                view = client.get_table(reference)
                view.view_query = f"{declared} LIMIT 1000"
                client.update_table(view, ["view_query"])
                warehouse.ensure_dataset(local)
                assert client.get_table(reference).view_query == declared
        finally:
            done.set()
        for reader in readers:
            reader.result()  # raises what a reader met
    assert set(counts) == {1}
    assert client.get_table(reference).created == made
