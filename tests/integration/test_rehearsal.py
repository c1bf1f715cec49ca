"""The cloud form, rehearsed: its own profile, and only addresses of this machine in it.

Kafka behind TLS that asks for Google's tokens, an archive in a bucket, secrets in Secret Manager,
the streaming job sent to Dataflow by the official client; BigQuery, MongoDB and Vertex AI as ``up``
starts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
import tls_broker
import worlds
from google.cloud import storage

import storage_server
import vault
from local_services import services
from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import answering, mongo, retry
from spotify_mlops.io.local import secret, state
from spotify_mlops.io.mongo import clients
from spotify_mlops.model import dataset
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations import bounded, compare
from spotify_mlops.operations.engines import cluster
from spotify_mlops.presentation.es import card

PATIENCE = 60.0
SHORT = worlds.SMALL | {"simulator_events": 8_000, "model_iterations": 10}


@pytest.fixture
def settings(own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Params]:
    """The profile of the cloud, every address of it on this machine, and a short history."""
    with ExitStack() as servers:
        servers.enter_context(tls_broker.identified())
        secrets = servers.enter_context(vault.running())
        servers.enter_context(storage_server.running())
        with monkeypatch.context() as elsewhere:  # beside the one that `up` starts
            elsewhere.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "broker"))
            broker, authority = servers.enter_context(tls_broker.running(tmp_path))
        services.up(task_managers=2, with_dataflow=True)
        uri = state.read()["mongo"].addresses["uri"]
        user = f"{clients.OWNER}:{secret.key('mongo')}@"
        found = params.load(
            "gcp",
            kafka_bootstrap=broker,
            kafka_ca=str(authority),
            bigquery_rest="local",
            bigquery_grpc="local",
            vertex="local",
            secret_manager=f"http://127.0.0.1:{secrets.server_port}",
            dataflow_endpoint="local",
            **SHORT,
        )
        storage.Client(project="test").create_bucket(found.cloud.archive.removeprefix("gs://"))
        name = f"projects/{found.cloud.project}/secrets/mongo-uri/versions/latest"
        whole = uri.replace("://", f"://{user}") + "&authMechanism=SCRAM-SHA-256"
        secrets.values[name] = whole.encode()
        retry.again(
            lambda: answering.require(found),
            lambda error: isinstance(error, ServiceError), PATIENCE, pause=0.2,
        )  # fmt: skip
        yield found


def _promote(settings: Params, bundle: Path) -> None:
    """Make a model the champion of every window."""
    champions = PromotionHistory(settings)
    champions.keep("1", bundle)
    champions.promote("1", datetime.combine(settings.simulator.start, time.min, UTC))


@pytest.mark.timeout(900)
def test_what_the_cloud_would_leave_is_what_a_laptop_leaves(
    settings: Params, tmp_path: Path
) -> None:
    sources.ingest_simulator(settings)
    past = settings.replace(dataset="past")
    bounded.run(past, replay=True)
    bundle = tmp_path / "bundle"
    train(settings, *dataset.read(past), card.write).write_bundle(bundle)
    _promote(settings, bundle)

    streamed = worlds.catch_up(settings)
    assert streamed["windows"] > 10
    audited = worlds.command(settings, "audit", "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert cluster.running(settings) is None  # drained, and nothing of it goes on

    laptop = settings.replace(dataset="laptop", archive="local")
    _promote(laptop, bundle)
    bounded.run(laptop, replay=True)
    found = compare.compare(settings, laptop)
    assert {table.name for table in found if table.live.rows} >= {
        *("spotify_events", "spotify_features", "spotify_labels", "spotify_predictions")
    }
    assert [table.name for table in found if not table.equal] == []
    assert mongo.clients.database(settings).tracks.count_documents({}) > 0

    objects: Any = storage.Client(project="test").list_blobs(settings.cloud.archive[5:])
    kept = {blob.name for blob in objects}
    assert not [name for name in kept if name.endswith("lease")]
    assert {name.split("/")[0] for name in kept} == {"dataflow", "models", "progress", "raw"}
