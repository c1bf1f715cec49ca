"""The prediction server: the contract, its errors, the official client, a new champion."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from gcp_storage_emulator.server import create_server
from google.cloud import storage
from starlette.testclient import TestClient

import tiny_model
from spotify_mlops.config.errors import InputError, IntegrityError, ServiceError
from spotify_mlops.io.http import ports
from spotify_mlops.model import bundle
from spotify_mlops.model import client as official
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.serving.app import create_app
from spotify_mlops.serving.models import ChampionModel, FixedModel


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.result().write_bundle(tmp_path_factory.mktemp("bundle") / "1").path


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return tiny_model.data()[0].tail(40)


@pytest.fixture(scope="module")
def client(bundle_dir: Path, rows: pl.DataFrame) -> TestClient:
    names = Predictor.load(bundle_dir).features
    documents = {
        f"{row['country']}:{row['track_id']}": {"features": {name: row[name] for name in names}}
        for row in rows.to_dicts()
    }
    documents["CO:stale"] = {"features": {"hour_of_day": 1.0}}

    def store(keys: Sequence[str]) -> Mapping[str, Any]:
        return {key: documents[key] for key in keys if key in documents}

    return TestClient(create_app(FixedModel(str(bundle_dir)), store))


def instances_of(predictor: Predictor, rows: pl.DataFrame) -> list[dict[str, float]]:
    return rows.select(predictor.features).to_dicts()


def test_answers_equal_the_notebook(
    client: TestClient, bundle_dir: Path, rows: pl.DataFrame
) -> None:
    predictor = Predictor.load(bundle_dir)
    expected = predictor.predict(rows)
    instances = instances_of(predictor, rows)
    together = client.post("/predict", json={"instances": instances}).json()["predictions"]
    alone = [
        client.post("/predict", json={"instances": [item]}).json()["predictions"][0]
        for item in instances
    ]
    assert together == alone
    for answer, row in zip(together, expected.to_dicts(), strict=True):
        assert set(answer) == {"level", "score", "probabilities", "model"}
        assert (answer["level"], answer["score"]) == (row["level"], row["score"])
        assert answer["probabilities"] == {
            "Alta": row["p_alta"], "Media": row["p_media"], "Baja": row["p_baja"],
        }  # fmt: skip
        assert answer["model"] == "popularity@1"


def test_a_track_is_looked_up(client: TestClient, rows: pl.DataFrame, bundle_dir: Path) -> None:
    row = rows.tail(1)
    lookup = row.select("country", "track_id").to_dicts()
    given = instances_of(Predictor.load(bundle_dir), row)
    answer = client.post("/predict", json={"instances": lookup + given}).json()["predictions"]
    assert answer[0] == answer[1]


def good(bundle_dir: Path) -> dict[str, float]:
    return dict.fromkeys(Predictor.load(bundle_dir).features, 1.0)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (lambda x: x.pop("hour_of_day"), "hour_of_day", "falta."),
        (lambda x: x.update(extra=1), "extra", "no es una variable del modelo."),
        (lambda x: x.update(momentum="much"), "momentum", "debe ser un número."),
        (lambda x: x.update(momentum=True), "momentum", "debe ser un número."),
        (lambda x: x.update(momentum=None), "momentum", "debe ser un número."),
        (lambda x: x.update(momentum=math.nan), "momentum", "debe ser un número finito."),
        (lambda x: x.update(momentum=10**400), "momentum", "debe ser un número finito."),
    ],
)
def test_bad_values_name_instance_and_field(
    client: TestClient, bundle_dir: Path, change: Any, field: str, says: str
) -> None:
    bad = good(bundle_dir)
    change(bad)
    body = json.dumps({"instances": [good(bundle_dir), bad]})
    response = client.post("/predict", content=body)
    error = response.json()["error"]
    assert (response.status_code, error["instance"], error["field"]) == (400, 1, field)
    assert error["message"] == f"Instancia 1, campo «{field}»: {says}"


@pytest.mark.parametrize(
    ("lookup", "status", "field"),
    [
        ({"country": "CO", "track_id": "nobody"}, 404, "track_id"),
        ({"country": "XX", "track_id": "t1"}, 400, "country"),
        ({"country": "CO"}, 400, "track_id"),
        ({"country": "CO", "track_id": 3}, 400, "track_id"),
        ({"country": "CO", "track_id": "t1", "hour_of_day": 1}, 400, "hour_of_day"),
        ({"country": "CO", "track_id": "stale"}, 409, "event_type_search_result"),
    ],
)
def test_bad_lookups(client: TestClient, lookup: dict, status: int, field: str) -> None:
    response = client.post("/predict", json={"instances": [lookup]})
    assert (response.status_code, response.json()["error"]["field"]) == (status, field)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (b"[]", 400),
        (b'{"instances": {}}', 400),
        (b'{"instances": []}', 400),
        (b'{"instances": [3]}', 400),
        (json.dumps({"instances": [{}] * 10_001}).encode(), 413),
        (b"[" * 100_000, 400),
    ],
)
def test_bad_bodies(client: TestClient, body: bytes, status: int) -> None:
    for route in ("/predict", "/v1/projects/p/locations/l/endpoints/e:predict"):
        response = client.post(route, content=body)
        assert response.status_code == status
        assert response.json()["error"]["message"]


def test_vertex_routes_come_from_the_environment(
    bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/v1/endpoints/1/health")
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/endpoints/1:predict")
    client = TestClient(create_app(FixedModel(f"file://{bundle_dir}"), lambda keys: {}))
    assert client.get("/v1/endpoints/1/health").json()["model"] == "popularity@1"
    answer = client.post("/v1/endpoints/1:predict", json={"instances": [good(bundle_dir)]})
    assert answer.status_code == 200


@pytest.fixture
def server(client: TestClient) -> Iterator[str]:
    """Run the app on a free port of this machine and give its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # a request may come before the server is up: it waits
        running = uvicorn.Server(uvicorn.Config(client.app, log_level="warning"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join()


def test_the_official_client_works_unmodified(
    server: str, rows: pl.DataFrame, bundle_dir: Path
) -> None:
    params = tiny_model.settings().replace(vertex=server)
    predictor = Predictor.load(bundle_dir)
    expected = predictor.predict(rows)
    lookup = rows.tail(1).select("country", "track_id").to_dicts()
    answers = official.predict(params, instances_of(predictor, rows) + lookup)
    assert [a["level"] for a in answers[:-1]] == expected["level"].to_list()
    assert [a["score"] for a in answers[:-1]] == expected["score"].to_list()
    assert answers[-1] == answers[-2]
    with pytest.raises(InputError, match=r"Instancia 0, campo «track_id»"):
        official.predict(params, [{"country": "CO"}])


def test_a_silent_endpoint_is_said() -> None:
    params = tiny_model.settings().replace(vertex="http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="no responde"):
        official.predict(params, [{"country": "CO", "track_id": "t"}])


def test_a_new_champion_answers_without_a_restart(bundle_dir: Path, tmp_path: Path) -> None:
    promotions = PromotionHistory(tiny_model.settings(), tmp_path)
    with pytest.raises(InputError, match="No hay modelo campeón"):
        ChampionModel(promotions)
    promotions.keep("1", bundle_dir)
    promotions.promote("1", tiny_model.START)
    models = ChampionModel(promotions)
    client = TestClient(create_app(models, lambda keys: {}))
    assert client.get("/health").json() == {"status": "ok", "model": "popularity@1"}
    other = tiny_model.result().description | {"note": "another"}
    result = tiny_model.result()
    changed = type(result)(**(vars(result) | {"description": other}))
    promotions.keep("2", changed.write_bundle(tmp_path / "second").path)
    assert client.get("/health").json()["model"] == "popularity@1"
    promotions.promote("2", tiny_model.START + timedelta(hours=1))
    models.refresh()
    body = {"instances": [good(bundle_dir)]}
    assert client.post("/predict", json=body).json()["predictions"][0]["model"] == "popularity@2"
    # A champion whose files changed does not take the place of one that answers.
    third = type(result)(**(vars(result) | {"description": other | {"note": "third"}}))
    promotions.keep("3", third.write_bundle(tmp_path / "third").path)
    (promotions.bundle("3").path / "model.onnx").write_bytes(b"spoilt")
    promotions.promote("3", tiny_model.START + timedelta(hours=2))
    with pytest.raises(IntegrityError):
        models.refresh()
    assert client.get("/health").json()["model"] == "popularity@2"
    with pytest.raises(IntegrityError):
        ChampionModel(promotions)


def test_a_model_of_other_countries_or_lags_does_not_answer(
    bundle_dir: Path, tmp_path: Path
) -> None:
    settings = tiny_model.settings()
    kept = PromotionHistory(settings, tmp_path)
    kept.keep("1", bundle_dir)
    kept.promote("1", tiny_model.START)
    for changed, said in (
        ({"countries": ["CO", "ES"]}, "para CO, ES, MX, US, y aquí las variables son de CO, ES:"),
        ({"countries": ["BR"], "model_countries": ["DE"]}, "las variables son de DE:"),
        ({"lags": [1]}, "pide score_lag_2, "),
        ({"target": "api"}, "predice el nivel de «target: plays», y aquí es api:"),
    ):
        promotions = PromotionHistory(settings.replace(**changed), tmp_path)
        with pytest.raises(InputError, match=said):
            ChampionModel(promotions)
        with pytest.raises(InputError, match=said):
            FixedModel(str(bundle_dir), promotions)
    # Neither the order nor where the events come from is of the features.
    same = {"countries": ["BR"], "model_countries": ["US", "MX", "ES", "CO"], "lags": [1, 2, 3]}
    promotions = PromotionHistory(settings.replace(**same), tmp_path)
    assert ChampionModel(promotions).current().name == "popularity@1"
    # Of the bundles from before there was a choice: theirs were these four.
    older = {
        n: v
        for n, v in tiny_model.result().description.items()
        if n not in ("model_countries", "target")
    }
    loaded = bundle.write(tmp_path / "older", tiny_model.result().graph, "card", older)
    loaded.check_inputs(settings.windows)


def test_a_bundle_in_a_bucket_is_fetched_and_verified(
    bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.free()
    emulator = create_server(ports.HOST, port, in_memory=True, default_bucket="models")
    emulator.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{ports.HOST}:{port}")
    try:
        bucket = storage.Client(project="test").bucket("models")
        for file in bundle_dir.iterdir():
            bucket.blob(f"popularity/7/{file.name}").upload_from_filename(str(file))
        assert FixedModel("gs://models/popularity/7/").current().name == "popularity@7"
        bucket.blob("popularity/7/model.onnx").upload_from_string(b"changed")
        with pytest.raises(IntegrityError, match="SHA-256"):
            FixedModel("gs://models/popularity/7")
        with pytest.raises(InputError, match="no es un modelo"):
            FixedModel("gs://models/nothing")
        with pytest.raises(ServiceError, match="gs://other/popularity"):
            FixedModel("gs://other/popularity")
    finally:
        emulator.stop()


def test_a_wrong_hash_ends_the_server_with_status_6(bundle_dir: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "1"
    spoilt.mkdir()
    for file in bundle_dir.iterdir():
        (spoilt / file.name).write_bytes(file.read_bytes())
    (spoilt / "model.onnx").write_bytes((bundle_dir / "model.onnx").read_bytes() + b" ")
    done = subprocess.run(
        [sys.executable, "-m", "spotify_mlops.serving"],
        env={"AIP_STORAGE_URI": str(spoilt), "PATH": "", "SPOTIFY_MLOPS_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr == (
        f"model.onnx del modelo {spoilt} no tiene el SHA-256 con el que se registró. No se usa: "
        "regístralo de nuevo o promociona otra versión.\n"
    )
