"""The model bundle: a directory that is enough to serve a model, and proves what it holds."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import files
from ..errors import InputError, IntegrityError
from ..labels import LEVELS
from ..params import Params, format_duration

GRAPH = "model.onnx"
DESCRIPTION = "model.json"
CARD = "MODEL_CARD.md"

_LIBRARIES = ("scikit-learn", "onnx", "onnxruntime", "polars", "numpy")
_FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its description says."""

    path: Path
    description: dict[str, Any]

    @property
    def features(self) -> list[str]:
        """Return the model inputs in order."""
        return list(self.description["features"])

    @property
    def model_name(self) -> str:
        """Return the registered model's name, without a version."""
        return str(self.description["model_name"])

    @property
    def training_end(self) -> datetime:
        """Return the end of the last window that the model has learned from."""
        return datetime.fromisoformat(self.description["training_end"])

    @property
    def digest(self) -> str:
        """Return the SHA-256 that stands for the whole bundle."""
        return str(self.description["sha256"])

    def graph(self) -> bytes:
        """Return the ONNX graph.

        Raises:
            IntegrityError: the file changed since the bundle was loaded.
        """
        content = (self.path / GRAPH).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.description["files"][GRAPH]:
            raise IntegrityError(_wrong(self.path, GRAPH))
        return content


def describe(
    params: Params,
    *,
    family: str,
    features: list[str],
    training_end: datetime,
    data_sha256: str,
    metrics: list[dict[str, Any]],
    training: dict[str, Any],
) -> dict[str, Any]:
    """Return the description of a model: ``model.json`` without the hashes."""
    description = {
        "format": _FORMAT,
        "model_name": params.model_name,
        "family": family,
        "features": features,
        "levels": list(LEVELS),
        "thresholds": {"Alta": params.level_alta, "Media": params.level_media},
        "window": format_duration(params.window),
        "window_offset": format_duration(params.window_offset),
        "lags": list(params.lags),
        "horizon": params.horizon,
        "countries": list(params.countries),
        "training_end": training_end.isoformat(),
        "data_sha256": data_sha256,
        "metrics": metrics,
        "training": training,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    # As it will be read back: JSON has no tuples.
    return json.loads(json.dumps(description))


def write(directory: Path, graph: bytes, card: str, description: dict[str, Any]) -> Bundle:
    """Write a bundle; the directory appears whole or not at all, and replaces an earlier one."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise InputError(
            f"No se puede escribir en {directory.parent}: {error.strerror}. Revise los permisos."
        ) from error
    staged.chmod(0o755)
    try:
        contents = {GRAPH: graph, CARD: card.encode()}
        for name, content in contents.items():
            (staged / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        sealed = description | {"files": hashes}
        sealed["sha256"] = _seal(sealed)
        text = json.dumps(sealed, indent=2, ensure_ascii=False, sort_keys=True)
        (staged / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(staged, directory)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return load(directory)


def publish(loaded: Bundle, uri: str) -> None:
    """Copy a bundle's files to a folder on any file system that Beam opens.

    The description comes last: until then the folder is no bundle, or not a valid one.

    Raises:
        ServiceError: the folder cannot be written.
    """
    for name in (*loaded.description["files"], DESCRIPTION):
        files.write_bytes(f"{uri}/{name}", (loaded.path / name).read_bytes())


def load(directory: Path) -> Bundle:
    """Read a bundle and check every file against its hash.

    Raises:
        InputError: the directory is not a bundle.
        IntegrityError: a file, or the description itself, is not what was written.
    """
    try:
        description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{directory} no es un modelo: falta {DESCRIPTION}. Entrene y registre uno."
        ) from error
    except ValueError as error:
        raise IntegrityError(_wrong(directory, DESCRIPTION)) from error
    if not isinstance(description, dict) or description.get("sha256") != _seal(description):
        raise IntegrityError(_wrong(directory, DESCRIPTION))
    for name, expected in description["files"].items():
        try:
            found = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        except OSError as error:
            raise IntegrityError(f"Falta {name} en el modelo {directory}.") from error
        if found != expected:
            raise IntegrityError(_wrong(directory, name))
    return Bundle(directory, description)


def _seal(description: dict[str, Any]) -> str:
    content = {name: value for name, value in description.items() if name != "sha256"}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def _wrong(directory: Path, name: str) -> str:
    return (
        f"{name} del modelo {directory} no tiene el SHA-256 con el que se registró. "
        "No se usa: regístralo de nuevo o promociona otra versión."
    )
