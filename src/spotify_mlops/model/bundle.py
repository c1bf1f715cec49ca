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
from typing import Annotated, Any, Literal

import msgspec

from ..config.durations import format_duration
from ..config.errors import InputError, IntegrityError
from ..config.params import Params
from ..config.sections import Windows
from ..config.untrusted import DESCRIPTION_BYTES, RefusedError, parse_json
from ..domain.features import Inputs
from ..domain.labels import LEVELS
from ..io import files

GRAPH = "model.onnx"
DESCRIPTION = "model.json"
CARD = "MODEL_CARD.md"

_LIBRARIES = ("scikit-learn", "onnx", "onnxruntime", "polars", "numpy")
_FORMAT = 1
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


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

    def check_inputs(self, windows: Windows) -> None:
        """Refuse to predict from features that were built for another model.

        Raises:
            InputError: they have other countries or another target, or lack an input.
        """
        inputs = Inputs.of(windows)
        # Before it could be chosen, these were the countries of every model.
        own = self.description.get("model_countries", ["CO", "ES", "MX", "US"])
        if set(own) != set(inputs.countries):
            raise InputError(
                f"El modelo {self.path} se hizo para {', '.join(own)}, y aquí las variables son "
                f"de {', '.join(inputs.countries)}: usa sus «model_countries», o entrena otro con "
                "otro «model_name»."
            )
        target = self.description.get("target", "plays")
        if target != windows.target:
            raise InputError(
                f"El modelo {self.path} predice el nivel de «target: {target}», y aquí es "
                f"{windows.target}: usa el suyo, o entrena otro con otro «model_name»."
            )
        lacking = [name for name in self.features if name not in set(inputs.names())]
        if lacking:
            raise InputError(
                f"El modelo {self.path} pide {', '.join(lacking)}, que con estos «lags» no hay: "
                "usa los suyos, o entrena otro con otro «model_name»."
            )

    @property
    def digest(self) -> str:
        """Return the SHA-256 that stands for the whole bundle."""
        return str(self.description["sha256"])

    def graph(self) -> bytes:
        """Return the ONNX graph.

        Raises:
            IntegrityError: the file changed since the bundle was loaded.
        """
        return self.read(GRAPH)

    def card(self) -> str:
        """Return the model card; raise as `graph` does."""
        return self.read(CARD).decode(errors="replace")

    def read(self, name: str) -> bytes:
        """Return one of its files, as it was registered.

        Raises:
            IntegrityError: it is missing, is a link, or is not what the description says.
        """
        try:
            content = files.read_regular(self.path / name)
        except (OSError, RefusedError) as error:
            raise IntegrityError(
                f"Falta {name} en el modelo {self.path}, o no es un fichero suyo ({error})."
            ) from error
        if hashlib.sha256(content).hexdigest() != self.description["files"][name]:
            raise IntegrityError(_refusal(self.path, name))
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
        "family": family,
        "features": features,
        **task(params),
        "training_end": training_end.isoformat(),
        "data_sha256": data_sha256,
        "metrics": metrics,
        "training": training,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    # As it will be read back: JSON has no tuples.
    written: dict[str, Any] = json.loads(json.dumps(description))
    return written


def task(params: Params) -> dict[str, Any]:
    """Return what a model of these params is to predict, and from what, as JSON has it."""
    return {
        "model_name": params.model.name,
        "levels": list(LEVELS),
        "thresholds": {"Alta": params.model.level_alta, "Media": params.model.level_media},
        "window": format_duration(params.windows.window),
        "window_offset": format_duration(params.windows.window_offset),
        "lags": list(params.windows.lags),
        "horizon": params.model.horizon,
        "countries": list(params.sources.countries),
        "model_countries": list(params.windows.model_countries),
        "target": params.windows.target,
    }


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
        whole = description | {"files": hashes}
        whole["sha256"] = _digest(whole)
        (staged / DESCRIPTION).write_bytes(_written(whole))
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
    contents = {name: loaded.read(name) for name in loaded.description["files"]}
    for name, content in (*contents.items(), (DESCRIPTION, _written(loaded.description))):
        files.write_bytes(f"{uri}/{name}", content)


def load(directory: Path) -> Bundle:
    """Read a bundle and check every file against its hash.

    Raises:
        InputError: the directory is not a bundle.
        IntegrityError: a file, or the description itself, is not what was written, or there is
            more or less than a model has.
    """
    try:
        content = files.read_regular(directory / DESCRIPTION, DESCRIPTION_BYTES)
        description = parse_json(content)
    except OSError as error:
        raise InputError(
            f"{directory} no es un modelo: falta {DESCRIPTION}. Entrene y registre uno."
        ) from error
    except RefusedError as error:
        raise IntegrityError(f"{_refusal(directory, DESCRIPTION)} ({error})") from error
    if not isinstance(description, dict) or description.get("sha256") != _digest(description):
        raise IntegrityError(_refusal(directory, DESCRIPTION))
    try:
        msgspec.convert(description, _Description)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            f"{DESCRIPTION} del modelo {directory} no describe un modelo ({error})."
        ) from error
    loaded = Bundle(directory, description)
    for name in description["files"]:
        loaded.read(name)
    return loaded


class _Files(msgspec.Struct, forbid_unknown_fields=True):
    """The files of a bundle, these and no other: a name of somebody else's choice is a path."""

    graph: _Sha256 = msgspec.field(name=GRAPH)
    card: _Sha256 = msgspec.field(name=CARD)


class _Description(msgspec.Struct):
    """What the project reads of a description."""

    model_name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]*$")]
    family: str
    features: Annotated[list[str], msgspec.Meta(min_length=1)]
    levels: list[str]
    window: str
    lags: list[int]
    horizon: int
    training_end: Annotated[datetime, msgspec.Meta(tz=True)]
    metrics: list[dict[str, Any]]
    training: dict[str, Any]
    files: _Files
    format: Literal[1]
    model_countries: list[str] | msgspec.UnsetType = msgspec.UNSET
    target: Literal["plays", "api"] | msgspec.UnsetType = msgspec.UNSET


def _digest(description: dict[str, Any]) -> str:
    content = {name: value for name, value in description.items() if name != "sha256"}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def _written(description: dict[str, Any]) -> bytes:
    text = json.dumps(description, indent=2, ensure_ascii=False, sort_keys=True)
    return f"{text}\n".encode()


def _refusal(directory: Path, name: str) -> str:
    return (
        f"{name} del modelo {directory} no tiene el SHA-256 con el que se registró. "
        "No se usa: regístralo de nuevo o promociona otra versión."
    )
