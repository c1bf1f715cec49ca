"""The training job: what ``python -m spotify_mlops.cli.training_job`` does in a container.

Its surroundings are those of a Vertex AI custom job: the bundle goes where ``AIP_MODEL_DIR``
says, the data come from where ``AIP_TRAINING_DATA_URI`` says. It trains as notebook 04 does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

from ..config import carried
from ..config.errors import ParamsError, ServiceError, UserError, one_line
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.spanish import number
from ..io import answering, files, logs
from ..model import bundle, dataset, training_set
from ..model.training import train
from ..model.training_result import TrainingResult
from ..model.training_set import URI_VARIABLE as TRAINING_DATA
from ..presentation.es import card
from ..presentation.es.names import TRAINING_STEP_NAMES

MODEL_DIR = "AIP_MODEL_DIR"

_EPILOG = f"""\
Variables de entorno: {MODEL_DIR}, la carpeta (o gs://) donde queda el modelo; {TRAINING_DATA}, una
carpeta con features/*.parquet y labels/*.parquet (sin ella, las tablas de BigQuery que dicen los
parámetros). Códigos de salida: 0, entrenado; 2, parámetros; 3, datos; 4, un servicio o el disco;
6, una huella no coincide."""


@dataclass(frozen=True)
class Request:
    """What a job is asked to do."""

    params: Params
    model_dir: str
    """Folder of the bundle: local, or on whatever file system Beam opens."""
    training_data: str | None = None
    """Folder with the training set; None reads BigQuery."""
    run_dir: str | None = None
    """Folder under which the whole `TrainingResult` is saved too."""


def main(arguments: list[str] | None = None) -> int:
    """Train as the arguments and the environment say; return the exit status.

    Steps go to stderr, and one JSON object with the result to stdout.
    """
    logs.keep_small()
    try:
        request = _request(arguments)
        result = run(request, _say)
    except UserError as error:
        _say(f"Error: {error}")
        return error.exit_code
    sys.stdout.write(json.dumps(summary(result, request), ensure_ascii=False) + "\n")
    return 0


def run(request: Request, say: Progress = silent) -> TrainingResult:
    """Train, and leave the bundle where the request says.

    Args:
        request: see `Request`.
        say: called with each step (Spanish).

    Raises:
        ParamsError: a range of the split has no rows, or not all levels.
        InputError: the training set is not there or cannot be read.
        ServiceError: BigQuery does not answer, or the results cannot be written.
        IntegrityError: the ONNX graph does not agree with the model.
    """
    start = time.monotonic()

    def step(text: str) -> None:
        say(f"[{number(time.monotonic() - start, 1):>6} s] {text}")

    features, labels = _tables(request, step)
    step(f"{features.height} filas de variables, {labels.height} etiquetas")
    result = train(
        request.params, features, labels, card.write, lambda code: step(TRAINING_STEP_NAMES[code])
    )
    with tempfile.TemporaryDirectory(prefix="spotify-mlops-") as holder:
        kept_here = request.run_dir is not None and "://" not in request.run_dir
        folder = result.save(holder, sealed=kept_here)
        bundle.publish(bundle.load(folder / "bundle"), request.model_dir)
        step(f"Modelo en {request.model_dir}")
        if request.run_dir is not None:
            _publish_run(folder, request.run_dir)
            step(f"Entrenamiento en {request.run_dir}")
    return result


def summary(result: TrainingResult, request: Request) -> dict[str, Any]:
    """Return what a scheduler wants to know of a run, as plain values."""
    return {
        "run_id": result.run_id,
        "family": result.family,
        "horizon": result.horizon,
        "model_dir": request.model_dir,
        "data_sha256": result.description["data_sha256"],
        "training_end": result.boundaries["training_end"],
        "metrics": result.test_scores(),
        "seconds": result.timings["whole"],
    }


def _tables(request: Request, step: Progress) -> tuple[Any, Any]:
    if request.training_data is not None:
        step(f"Leyendo {request.training_data}")
        return training_set.read(request.training_data)
    step(f"Leyendo el dataset {request.params.bigquery.dataset} de BigQuery")
    answering.require(request.params, "bigquery")
    try:
        return dataset.read(request.params)
    except GoogleAPICallError as error:
        reason = one_line(error, 200)
        raise ServiceError(
            f"No se pueden leer las tablas de {request.params.bigquery.dataset} en BigQuery "
            f"({reason}). Ejecuta antes el grafo, o da los datos con {TRAINING_DATA}."
        ) from error


def _publish_run(folder: Path, uri: str) -> None:
    """Copy a saved run, the file that says it is complete last."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path.parent == folder and path.suffix == ".json")
    for path in paths:
        name = path.relative_to(folder.parent).as_posix()
        files.write_bytes(f"{uri}/{name}", path.read_bytes())


def _request(arguments: list[str] | None) -> Request:
    parser = argparse.ArgumentParser(
        prog="python -m spotify_mlops.cli.training_job",
        description="Entrena un modelo y deja su paquete listo para registrarlo.",
        epilog=_EPILOG,
    )
    carried.add_options(parser)
    parser.add_argument(
        "--model-dir", default=os.environ.get(MODEL_DIR), help=f"en lugar de {MODEL_DIR}"
    )
    parser.add_argument(
        "--training-data",
        default=os.environ.get(TRAINING_DATA),
        help=f"en lugar de {TRAINING_DATA}",
    )
    parser.add_argument(
        "--run-dir", help="carpeta donde guardar además predicciones y métricas del entrenamiento"
    )
    options = parser.parse_args(arguments)
    if not options.model_dir:
        raise ParamsError(f"Falta {MODEL_DIR}: di en qué carpeta debe quedar el modelo.")
    return Request(
        carried.chosen(options),
        _folder(options.model_dir),
        options.training_data or None,
        options.run_dir and _folder(options.run_dir),
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _folder(uri: str) -> str:
    return uri.removeprefix("file://").rstrip("/")


if __name__ == "__main__":
    sys.exit(main())
