"""What a training run found: saved under its id, sealed, and read again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import polars as pl

from ..config.errors import InputError, IntegrityError
from ..config.untrusted import DESCRIPTION_BYTES, RefusedError, parse_json
from ..domain.features import ROW_KEY
from ..io import files
from . import bundle, seal
from .bundle import Bundle
from .learner import LevelModel

_FRAMES = ("candidates", "predictions", "metrics")
_VALUES = ("run_id", "family", "horizon", "boundaries", "timings")
_RUN, BUNDLE, _DIGESTS = "run.json", "bundle", "digests"
_KIND = "training run"


@dataclass(frozen=True)
class TrainingResult:
    """What a run found: plain values, so that it can be saved and looked at later."""

    run_id: str
    family: str
    horizon: int
    boundaries: dict[str, str]
    """Start of each range, ``training_end`` and rows of each, as text."""
    candidates: pl.DataFrame
    """Hyper-parameters tried, their validation ``log_loss`` and ``macro_f1``, ``chosen``."""
    predictions: pl.DataFrame
    """Row key, ``split``, ``model``, ``family``, ``level`` (true), ``predicted``, p_*."""
    metrics: pl.DataFrame
    """``model``, ``family``, ``split`` and the columns of `metrics.score`."""
    timings: dict[str, float]
    """Seconds of each step, by its code."""
    description: dict[str, Any]
    card: str
    graph: bytes
    model: LevelModel | None = None
    """What scikit-learn fitted. Of this process only: a saved run has the graph."""

    def of(self, model: str, split: str = "test") -> pl.DataFrame:
        """Return one model's predictions of a range, sorted by key."""
        return self.predictions.filter(
            (pl.col("model") == model) & (pl.col("split") == split)
        ).sort(ROW_KEY)

    def test_scores(self) -> dict[str, float]:
        """Return what the model of the run's family scored on the test range, by metric."""
        own = self.metrics.filter(model=self.family, split="test", slice="all")
        return dict(own.select("metric", "value").iter_rows())

    def write_bundle(self, directory: Path | str) -> Bundle:
        """Write the model of the run's family as a bundle."""
        return bundle.write(Path(directory), self.graph, self.card, self.description)

    def save(self, directory: Path | str, *, sealed: bool = True) -> Path:
        """Write everything under ``directory/<run_id>`` and return that folder.

        Args:
            directory: of this machine.
            sealed: with this state's seal (`seal`); a run that goes to a bucket has none.
        """
        folder = Path(directory) / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        digests = {BUNDLE: self.write_bundle(folder / BUNDLE).digest}
        for name in _FRAMES:
            path = folder / f"{name}.parquet"
            getattr(self, name).write_parquet(path)
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        values = {name: getattr(self, name) for name in _VALUES} | {_DIGESTS: digests}
        # Last: a folder with this file is complete.
        content = seal.sealed(_KIND, values) if sealed else values
        (folder / _RUN).write_text(json.dumps(content, indent=2), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, directory: Path | str, run_id: str | None = None, *, sealed: bool = True) -> Self:
        """Read a saved run, the latest without ``run_id``.

        Args:
            directory: under which it was saved.
            run_id: which.
            sealed: False for a copy from a bucket, whose permissions stand for the seal.

        Raises:
            InputError: there is none.
            IntegrityError: it is not what was saved with this state's secret.
        """
        runs = [run for run in saved(Path(directory)) if run_id in (None, run.name)]
        if not runs:
            raise InputError(
                "No hay ningún entrenamiento guardado: ejecuta antes el cuaderno 04 (modelado)."
            )
        folder = runs[-1]
        stored = _read_run(folder, sealed)
        digests = stored.pop(_DIGESTS)
        loaded = bundle.load(folder / BUNDLE)
        if loaded.digest != digests[BUNDLE]:
            raise IntegrityError(_refusal(folder))
        described = {
            name: value
            for name, value in loaded.description.items()
            if name not in ("files", "sha256")
        }
        stored |= {name: _read_frame(folder, name, digests[name]) for name in _FRAMES}
        return cls(**stored, description=described, card=loaded.card(), graph=loaded.graph())


def saved(directory: Path) -> list[Path]:
    """Return the folders of the runs that were saved whole, the earliest first."""
    return sorted(path.parent for path in directory.glob(f"*/{_RUN}"))


def _read_run(folder: Path, sealed: bool) -> dict[str, Any]:
    """Return the values of ``run.json``, all of them and no other."""
    try:
        stored = parse_json(files.read_regular(folder / _RUN, DESCRIPTION_BYTES))
    except RefusedError as error:
        raise IntegrityError(f"{_refusal(folder)} ({error})") from error
    if not isinstance(stored, dict):
        raise IntegrityError(_refusal(folder))
    if sealed:
        stored = seal.checked(_KIND, stored, _refusal(folder))
    digests = stored.get(_DIGESTS)
    if (
        stored.keys() != {*_VALUES, _DIGESTS}
        or not isinstance(digests, dict)
        or (digests.keys() != {*_FRAMES, BUNDLE})
    ):
        raise IntegrityError(_refusal(folder))
    return cast(dict[str, Any], stored)


def _read_frame(folder: Path, name: str, digest: str) -> pl.DataFrame:
    try:
        content = files.read_regular(folder / f"{name}.parquet")
    except (OSError, RefusedError) as error:
        raise IntegrityError(f"{_refusal(folder)} ({error})") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise IntegrityError(_refusal(folder))
    return pl.read_parquet(content)


def _refusal(folder: Path) -> str:
    return (
        f"El entrenamiento {folder} no es el que guardó esta carpeta de estado: lo cambió otro, "
        "viene de otra carpeta o es de una versión anterior. Entrena otra vez: «spotify-mlops "
        "notebooks --from 4»."
    )
