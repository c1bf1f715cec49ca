"""The training job as a container runs it, and the training set that it reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiny_model
from spotify_mlops.cli import training_job
from spotify_mlops.config.errors import InputError, ParamsError
from spotify_mlops.io import files
from spotify_mlops.model import bundle, training_set
from spotify_mlops.model.training_result import TrainingResult

SETTINGS = ("lags=[1, 2]", "horizon=2", "test_share=0.25", "bootstrap_repetitions=50",
            "bootstrap_block=3h")  # fmt: skip
STEPS = ("candidatos", "calibración", "modelo final")


def export(folder: Path) -> str:
    params = tiny_model.settings().replace(archive=str(folder))
    return training_set.export(params, *tiny_model.data())


def test_the_training_set_is_written_once_and_read_whole(tmp_path: Path) -> None:
    features, labels = tiny_model.data()
    uri = export(tmp_path)
    assert Path(uri).parent == tmp_path / "training"
    assert_frame_equal(training_set.read(uri)[0], features)
    assert_frame_equal(training_set.read(f"file://{uri}/")[1], labels)
    stamp = files.modified(f"{uri}/labels/part-0.parquet")
    assert export(tmp_path) == uri
    assert files.modified(f"{uri}/labels/part-0.parquet") == stamp
    # The order of rows and the clock of their writer are no content.
    params = tiny_model.settings().replace(archive=str(tmp_path))
    late = features[::-1].with_columns(written_at=pl.lit(tiny_model.START))
    assert training_set.export(params, late, labels[::-1]) == uri
    assert training_set.export(params, features, labels.head(9)) != uri


def test_many_files_are_one_table(tmp_path: Path) -> None:
    features, labels = tiny_model.data()
    for i, part in enumerate(features.iter_slices(1000)):
        files.write_parquet(str(tmp_path / "features" / f"{i:03}.parquet"), part)
    files.write_parquet(str(tmp_path / "labels" / "all.parquet"), labels)
    (tmp_path / "features" / "_SUCCESS").touch()
    assert_frame_equal(training_set.read(str(tmp_path))[0], features)


def test_what_is_wrong_with_a_training_set_is_said(tmp_path: Path) -> None:
    features, labels = tiny_model.data()
    with pytest.raises(InputError, match=r"features/\*\.parquet"):
        training_set.read(str(tmp_path / "nowhere"))
    files.write_parquet(str(tmp_path / "features" / "a.parquet"), features)
    with pytest.raises(InputError, match="labels"):  # an export cut off before its end
        training_set.read(str(tmp_path))
    files.write_bytes(str(tmp_path / "labels" / "a.parquet"), b"not parquet")
    with pytest.raises(InputError, match=r"a\.parquet no se puede leer como Parquet"):
        training_set.read(str(tmp_path))
    files.write_parquet(str(tmp_path / "labels" / "a.parquet"), labels.drop("horizon"))
    with pytest.raises(InputError, match="falta la columna horizon"):
        training_set.read(str(tmp_path))
    files.write_parquet(str(tmp_path / "labels" / "a.parquet"), labels)
    files.write_parquet(str(tmp_path / "features" / "b.parquet"), features.drop("momentum"))
    with pytest.raises(InputError, match="mismas columnas"):
        training_set.read(str(tmp_path))


def container(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIP_")}
    settings = [word for pair in SETTINGS for word in ("--set", pair)]
    return subprocess.run(
        [sys.executable, "-m", "spotify_mlops.cli.training_job", *settings, *arguments],
        env=kept | environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_job_leaves_the_model_that_the_notebook_would(tmp_path: Path) -> None:
    done = container(
        "--run-dir", str(tmp_path / "runs"),
        AIP_MODEL_DIR=f"{tmp_path}/out/model/", AIP_TRAINING_DATA_URI=export(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = tiny_model.result()
    made = bundle.load(tmp_path / "out" / "model")
    assert made.graph() == expected.graph
    assert made.description["data_sha256"] == expected.description["data_sha256"]
    told = json.loads(done.stdout)
    assert told["model_dir"] == f"{tmp_path}/out/model"
    assert told["metrics"]["macro_f1"] == pytest.approx(
        expected.metrics.filter(
            model="dynamics", split="test", slice="all", metric="macro_f1"
        )["value"].item()
    )  # fmt: skip
    run = TrainingResult.load(tmp_path / "runs")
    features, labels = tiny_model.data()
    assert run.run_id == told["run_id"] and run.graph == expected.graph
    said = [line.partition(" s] ")[2] for line in done.stderr.splitlines()]
    by_family = {
        family: [line for line in said if line.startswith(f"{family}: ")]
        for family in ("seed", "dynamics")
    }
    for family, lines in by_family.items():  # the two are fitted side by side
        assert lines == [f"{family}: {step}" for step in STEPS]
    assert [line for line in said if line not in (*by_family["seed"], *by_family["dynamics"])] == [
        f"Leyendo {export(tmp_path)}",
        f"{features.height} filas de variables, {labels.height} etiquetas",
        "datos",
        "líneas de base",
        "ONNX",
        "métricas",
        f"Modelo en {tmp_path}/out/model",
        f"Entrenamiento en {tmp_path}/runs",
    ]


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "said"),
    [
        ((), {}, 2, "Error: Falta AIP_MODEL_DIR: di en qué carpeta debe quedar el modelo."),
        (("--set", "horizont=1"), {"AIP_MODEL_DIR": "m"}, 2,
         "Error: «--set»: parámetro desconocido «horizont» (¿«horizon»?)."),
        (("--params", "nowhere"), {"AIP_MODEL_DIR": "m"}, 2,
         "Error: No existe el archivo de parámetros nowhere. En params/ hay: charts, "
         "charts_daily, flink, gcp, local, webapi."),
        ((), {"AIP_MODEL_DIR": "m", "AIP_TRAINING_DATA_URI": "nowhere"}, 3,
         "Error: No hay archivos Parquet en nowhere/features: los datos de entrenamiento son una "
         "carpeta con features/*.parquet y labels/*.parquet."),
        (("--set", "bigquery_rest=http://127.0.0.1:9", "--set", "bigquery_grpc=127.0.0.1:9",
          "--set", "service_timeout=1s"), {"AIP_MODEL_DIR": "m"}, 4,
         "Error: BigQuery no responde en http://127.0.0.1:9 ("),
    ],
)  # fmt: skip
def test_what_a_job_cannot_do_has_a_status_and_a_reason(
    arguments: tuple[str, ...], environment: dict[str, str], status: int, said: str
) -> None:
    done = container(*arguments, **environment)
    assert done.returncode == status, done.stderr
    assert done.stderr.splitlines()[-1].startswith(said)
    assert done.stdout == ""


def test_variables_of_other_countries_are_refused_by_name(tmp_path: Path) -> None:
    settings = tiny_model.settings().replace(model_countries=["CO", "DE"])
    request = training_job.Request(settings, f"{tmp_path}/model", export(tmp_path))
    with pytest.raises(ParamsError, match=r"no tienen country_DE: .* CO, DE y plays"):
        training_job.run(request)


def test_the_job_models_the_countries_that_it_is_told(tmp_path: Path) -> None:
    settings = tiny_model.settings().replace(model_countries=["US"], family="seed")
    request = training_job.Request(settings, f"{tmp_path}/model", export(tmp_path))
    training_job.run(request)
    made = bundle.load(tmp_path / "model")
    assert made.features == ["hour_of_day", "event_type_search_result", "country_US"]
    assert made.description["model_countries"] == ["US"]
    assert "variables propias de Estados Unidos;" in made.card()


def test_a_model_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    request = training_job.Request(
        tiny_model.settings(), f"{tmp_path}/taken/model", export(tmp_path)
    )
    with pytest.raises(Exception, match="No se puede escribir"):
        training_job.run(request)
