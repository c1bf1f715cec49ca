"""What BigQuery's SQL and jobs reach of the machine's files: what was uploaded, no more."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from spotify_mlops.config import paths
from spotify_mlops.config.params import Params
from spotify_mlops.io.bigquery.clients import client as bigquery_client
from spotify_mlops.io.bigquery.clients import query

PLANTED = "planted-4711"
READS = (
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_csv('{uploads}/../../secret')",
    "SELECT * FROM st_read('{geo}')",
    "SELECT * FROM st_read_meta('{geo}')",
    "SELECT * FROM sniff_csv('{file}')",
    "EXECUTE IMMEDIATE \"SELECT * FROM read_csv('{file}')\"",
    "COPY {table} FROM '{file}'",
    "LOAD DATA INTO {table} FROM FILES(format='CSV', uris=['file://{file}'])",
    "CREATE EXTERNAL TABLE {table}_2 OPTIONS(format='CSV', uris=['file://{file}'])",
)
WRITES = (
    "COPY {table} TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{uploads}/../out.csv'",
    "ATTACH '{folder}/out.db' AS other",
    "EXPORT DATABASE '{folder}/out'",
    "EXPORT DATA OPTIONS(uri='file://{folder}/out.csv', format='CSV') AS SELECT 1 AS a",
    "EXPORT DATA OPTIONS(uri='gs://out/out.csv', format='CSV') AS SELECT 1 AS a",
)
UNLOCKS = (
    "SET enable_external_access = true",
    "SET GLOBAL enable_external_access = true",
    "RESET enable_external_access",
    "SET allowed_directories = ['/']",
    "PRAGMA enable_external_access = true",
    "EXECUTE IMMEDIATE 'SET enable_external_access = true'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/program.duckdb_extension'",
)


@pytest.fixture
def params(local_params: Callable[..., Params]) -> Params:
    made = local_params()
    client = bigquery_client(made)
    client.create_dataset(made.bigquery.dataset)
    client.query_and_wait(f"CREATE TABLE {made.bigquery.dataset}.t AS SELECT 'a' AS a")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file.csv").write_text(f"a\n{PLANTED}\n")
    (tmp_path / "geo.json").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": '
        f'{{"a": "{PLANTED}"}}, "geometry": {{"type": "Point", "coordinates": [1, 2]}}}}]}}'
    )
    return tmp_path


def run(params: Params, folder: Path, sql: str) -> str:
    """Run a statement once and return all that it answers; empty when it is refused."""
    text = sql.format(
        file=folder / "file.csv",
        geo=folder / "geo.json",
        folder=folder,
        uploads=paths.state_dir() / "bigquery" / "uploads",
        table=f"{params.bigquery.dataset}.t",
    )
    try:
        rows = bigquery_client(params).query_and_wait(text, retry=None, job_retry=None)
        return f"{sql}: {[tuple(row) for row in rows]}"
    except GoogleAPICallError as error:
        return str(error) if PLANTED in str(error) else ""


def test_no_statement_reads_a_file(params: Params, folder: Path) -> None:
    assert [found for sql in READS if (found := run(params, folder, sql))] == []
    assert query(params, "SELECT a FROM {dataset}.t")["a"].to_list() == ["a"]


def test_no_statement_writes_one_or_loads_a_program(params: Params, folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert [found for sql in WRITES if (found := run(params, folder, sql))] == []
    for sql in UNLOCKS:
        run(params, folder, sql)  # some are refused, and none has an effect
        assert run(params, folder, READS[0]) == ""
    assert sorted(folder.iterdir()) == before
    assert not (paths.state_dir() / "bigquery" / "out.csv").exists()


@pytest.mark.parametrize("kind", ["CSV", "NEWLINE_DELIMITED_JSON", "PARQUET", "AVRO", "ORC"])
def test_no_job_loads_or_extracts_a_file(params: Params, folder: Path, kind: str) -> None:
    client = bigquery_client(params)
    table = f"{params.bigquery.dataset}.t"
    config = bigquery.LoadJobConfig(source_format=kind)
    escape = paths.state_dir() / "bigquery" / "uploads" / ".." / ".." / "secret"
    for uri in (f"file://{folder}/file.csv", f"{folder}/file.csv", f"file://{escape}"):
        with pytest.raises(GoogleAPICallError, match="no está al alcance"):
            client.load_table_from_uri(uri, table, job_config=config).result()
    with pytest.raises(GoogleAPICallError, match="no está al alcance"):
        client.extract_table(table, f"file://{folder}/out.csv").result()
    assert sorted(file.name for file in folder.iterdir()) == ["file.csv", "geo.json"]


def test_an_upload_is_loaded_and_leaves_nothing(params: Params) -> None:
    client = bigquery_client(params)
    config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1)
    job = client.load_table_from_file(
        io.BytesIO(b"a\nb\n"), f"{params.bigquery.dataset}.t", job_config=config
    )
    assert job.result().errors is None
    uploads = paths.state_dir() / "bigquery" / "uploads"
    assert list(uploads.iterdir()) == []
    assert uploads.stat().st_mode & 0o077 == 0
