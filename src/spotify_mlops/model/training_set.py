"""The training set as Parquet files: what a training job reads where there is no BigQuery.

A folder ``<archive>/training/<name>`` holds ``features/*.parquet`` and ``labels/*.parquet``, the
two tables as they are. The name says what is in it: the same tables give the same folder.
"""

from __future__ import annotations

import hashlib
import io

import polars as pl

from ..config.errors import InputError
from ..config.params import Params
from ..domain.features import ROW_KEY
from ..io import files
from ..io.archive.location import archive_root

URI_VARIABLE = "AIP_TRAINING_DATA_URI"
"""Variable of a training job's environment that says where its training set is."""
FOLDER = "training"
TABLES = ("features", "labels")
_KEYS = {"features": [*ROW_KEY], "labels": [*ROW_KEY, "horizon"]}
_CLOCK = "written_at"
"""When a row was written: no part of what a model learns from."""


def export(params: Params, features: pl.DataFrame, labels: pl.DataFrame) -> str:
    """Write the tables that a model is to be trained on under the archive and return their folder.

    What is there already stays: the folder is named by its content.

    Args:
        params: where the archive is; the model's name.
        features: as `dataset.read` returns it.
        labels: likewise.

    Raises:
        ServiceError: the archive cannot be written.
    """
    contents = {}
    for name, table in zip(TABLES, (features, labels), strict=True):
        buffer = io.BytesIO()
        ordered = table.drop(_CLOCK, strict=False).sort(_KEYS[name])
        ordered.write_parquet(buffer, compression="zstd", compression_level=1)
        contents[name] = buffer.getvalue()
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()
    root = f"{archive_root(params)}/{FOLDER}/{params.model.name}-{digest[:16]}"
    # The labels come last: a folder that has them is whole.
    for name, content in contents.items():
        uri = f"{root}/{name}/part-0.parquet"
        if not files.exists(uri):
            files.write_bytes(uri, content)
    return root


def read(uri: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the features and the labels of a folder that `export` wrote, or one of that shape.

    Args:
        uri: a local folder, or ``gs://`` and whatever else Beam opens.

    Raises:
        InputError: there are no such files, or a file is not Parquet or lacks the row key.
    """
    root = uri.removeprefix("file://").rstrip("/")
    features, labels = (_read(f"{root}/{name}", _KEYS[name]) for name in TABLES)
    return features, labels


def _read(folder: str, key: list[str]) -> pl.DataFrame:
    found = [name for name in files.names(folder) if name.endswith(".parquet")]
    if not found:
        raise InputError(
            f"No hay archivos Parquet en {folder}: los datos de entrenamiento son una carpeta con "
            "features/*.parquet y labels/*.parquet."
        )
    parts = []
    for name in found:
        content = files.read_bytes(f"{folder}/{name}")
        try:
            parts.append(pl.read_parquet(content or b""))
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{folder}/{name} no se puede leer como Parquet: {error}.") from error
        missing = [column for column in key if column not in parts[-1].columns]
        if missing:
            raise InputError(f"A {folder}/{name} le falta la columna {', '.join(missing)}.")
    try:
        return pl.concat(parts)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"Los archivos de {folder} no tienen las mismas columnas.") from error
