"""Runs whose archive is a bucket: BigQuery loads from there, and the position is kept there."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pytest
import worlds
from google.cloud import bigquery

import storage_server
from local_services import services
from spotify_mlops import sources
from spotify_mlops.operations import bounded, compare, stream
from spotify_mlops.pipeline.sinks import positions


def test_a_bucket_does_for_an_archive(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: list[str] = []
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")  # nobody: Beam looks for it long
    with storage_server.running() as bucket:
        services.up()
        settings = worlds.make(
            simulator_events=3_000, simulator_days=2, archive=f"{storage_server.URL}/spotify"
        )
        sources.ingest_simulator(settings)
        upload = bigquery.Client.load_table_from_file

        def noted(self: bigquery.Client, file: IO[bytes], target: str, **how: Any) -> Any:
            uploaded.append(target)
            return upload(self, file, target, **how)

        monkeypatch.setattr(bigquery.Client, "load_table_from_file", noted)
        made = bounded.run(settings)
        assert made.rows["spotify_features"] > 100
        # A table without rows is emptied by a file without rows, which is nowhere.
        assert {target.rpartition(".")[2] for target in uploaded} == {"spotify_predictions_rows"}
        here = settings.replace(archive="local", dataset=f"{settings.bigquery.dataset}_here")
        bounded.run(here, replay=True)
        assert compare.digests(settings) == compare.digests(here)
        left = {blob.name.split("/")[1] for blob in bucket.list_blobs()}
        assert left == {"raw", "progress"}  # no staged file, no lease
        assert bounded.ensure(settings) == made
        live = settings.replace(topic=f"{settings.kafka.topic}-live", dataset="live_of_a_bucket",
                                mongo_database="live_of_a_bucket")  # fmt: skip
        sources.ingest_simulator(live)
        done = stream.run(live, until_caught_up=True)
        reached = positions.load(live)
        assert reached is not None and done.windows > 10 and done.restarts == 0
        assert sum(reached.acknowledged.values()) == done.records == made.records
        assert not [blob.name for blob in bucket.list_blobs() if blob.name.endswith("lease")]
    assert not list((own_state / "staging").rglob("*.parquet"))
    assert not list((own_state / "bigquery" / "uploads").iterdir())
