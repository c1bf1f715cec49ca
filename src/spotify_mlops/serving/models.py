"""Which model answers: the schedule's champion, or the bundle that the platform hands over."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError, UserError
from ..model.predictor import Predictor
from ..model.schedule import Schedule

_log = logging.getLogger(__name__)


class ModelSource(Protocol):
    """Gives the model that answers now."""

    def current(self) -> Predictor:
        """Return a checked model; raise UserError when there is none."""


class FixedModel:
    """One bundle for the life of the server, as in Vertex AI: ``AIP_STORAGE_URI``."""

    def __init__(self, uri: str) -> None:
        """Load and check the bundle in a folder or under ``gs://``.

        Raises:
            InputError, IntegrityError: there is no bundle, or it is not what its hashes say.
        """
        self._predictor = _checked(Predictor.load(_fetched(uri)))

    def current(self) -> Predictor:
        """Return the model."""
        return self._predictor


class ChampionModel:
    """The schedule's champion; a new promotion is noticed at the next request."""

    def __init__(self, schedule: Schedule) -> None:
        """Load and check the champion.

        Raises:
            InputError, IntegrityError: there is no champion, or its files have changed.
        """
        self._schedule = schedule
        self._lock = threading.Lock()
        self._stamp = schedule.stamp()
        self._predictor = self._load()

    def current(self) -> Predictor:
        """Return today's champion.

        One that cannot be loaded does not take the place of one that answers: the error is
        logged, and the next promotion is tried again.
        """
        if self._schedule.stamp() != self._stamp:
            with self._lock:
                stamp = self._schedule.stamp()
                if stamp != self._stamp:
                    self._stamp = stamp
                    try:
                        self._predictor = self._load()
                    except UserError as error:
                        _log.error("El nuevo campeón no se puede cargar: %s", error)
        return self._predictor

    def _load(self) -> Predictor:
        version = self._schedule.champion()
        if version is None:
            raise InputError(
                f"No hay modelo campeón en {self._schedule.uri}: ejecuta el cuaderno 06 o "
                "promueva una versión."
            )
        return _checked(Predictor.load(self._schedule.bundle_path(version)))


def _checked(predictor: Predictor) -> Predictor:
    """Return the model once it has answered: healthy means that and no less."""
    predictor.predict_array(np.zeros((1, len(predictor.features))))
    return predictor


def _fetched(uri: str) -> Path:
    if not uri.startswith("gs://"):
        return Path(uri.removeprefix("file://"))
    from google.cloud import storage  # type: ignore[attr-defined]

    bucket, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
    folder = Path(tempfile.mkdtemp(prefix="spotify-mlops-model-"))
    for blob in storage.Client().list_blobs(bucket, prefix=f"{prefix}/"):
        name = blob.name.removeprefix(f"{prefix}/")
        if name and "/" not in name:
            blob.download_to_filename(str(folder / name))
    return folder
