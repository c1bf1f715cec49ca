"""Which model answers: the champion, or the bundle that the platform hands over."""

from __future__ import annotations

import gc
import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ..config.errors import InputError, ServiceError, UserError
from ..io import files
from ..io.patches import interpreter
from ..model.predictor import Predictor
from ..model.promotions import PromotionHistory
from .metrics import Metrics

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks for a new champion."""


class ModelSource(Protocol):
    """Gives the model that answers now."""

    def current(self) -> Predictor:
        """Return a checked model at once, without I/O; raise ServiceError while there is none."""

    def refresh(self) -> None:
        """Look whether another model is to answer, and load it; the present one goes on."""


class FixedModel:
    """One bundle for the life of the server, as in Vertex AI: ``AIP_STORAGE_URI``."""

    def __init__(self, uri: str, promotions: PromotionHistory | None = None) -> None:
        """Load and check the bundle in a folder or under ``gs://``.

        Args:
            uri: of the bundle.
            promotions: what they say of the features that are stored; when the folder is that of
                a version they keep, its seal is asked for too.

        Raises:
            InputError, IntegrityError: there is no bundle, it is not what its hashes say, or the
                features are not those that it learned from.
        """
        archive, _, version = uri.removeprefix("file://").rstrip("/").rpartition("/")
        if promotions is not None and promotions.is_sealed and archive == promotions.uri:
            predictor = Predictor.load(promotions.bundle(version))
        else:
            predictor = Predictor.load(_fetched(uri))
        if promotions is not None:
            predictor.bundle.check_inputs(promotions.windows)
        self._predictor = _checked(predictor)

    def current(self) -> Predictor:
        """Return the model."""
        return self._predictor

    def refresh(self) -> None:
        """Do nothing: Vertex AI starts another server for another model."""


class ChampionModel:
    """The champion."""

    def __init__(self, promotions: PromotionHistory) -> None:
        """Load and check the champion.

        Raises:
            InputError, IntegrityError: there is no champion, its files have changed, or the
                features are not those that it learned from.
        """
        self._promotions = promotions
        self._stamp = promotions.stamp()
        self._predictor = self._load()

    def current(self) -> Predictor:
        """Return the champion as it was at the last look."""
        return self._predictor

    def refresh(self) -> None:
        """Load the champion if there was a promotion since the last look.

        Raises:
            InputError, IntegrityError: the new one cannot be loaded. It does not take the place
                of one that answers, and is not tried again before the next promotion.
        """
        stamp = self._promotions.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._predictor = self._load()

    def _load(self) -> Predictor:
        version = self._promotions.champion()
        if version is None:
            raise InputError(
                f"No hay modelo campeón en {self._promotions.uri}: ejecuta el cuaderno 06 o "
                "promociona una versión."
            )
        kept = self._promotions.bundle(version)
        kept.check_inputs(self._promotions.windows)
        return _checked(Predictor.load(kept))


class Background:
    """A model source that a thread makes and keeps up to date: no request waits for a model."""

    def __init__(self, make: Callable[[], ModelSource], metrics: Metrics) -> None:
        """Remember how the source is made; `run` makes it."""
        self._make = make
        self._metrics = metrics
        self._source: ModelSource | None = None

    def current(self) -> Predictor:
        """Return the model.

        Raises:
            ServiceError: it is still being loaded.
        """
        if self._source is None:
            raise ServiceError("El modelo se está cargando: pregunte dentro de un segundo.")
        return self._source.current()

    def refresh(self) -> None:
        """Look for another model; one that cannot be loaded is logged and counted."""
        before = self.current()
        try:
            assert self._source is not None
            self._source.refresh()
        except Exception as error:
            self._metrics.load_failed()
            # What is no user's error has a trace that someone will want.
            _log.error("El nuevo campeón no se puede cargar: %s", error,
                       exc_info=not isinstance(error, UserError))  # fmt: skip
        if self.current() is not before:
            self._metrics.loaded(self.current().name)

    def run(self, stop: threading.Event) -> None:
        """Make the source, then look for another model until ``stop`` is set.

        Raises:
            InputError, IntegrityError: there is no model, or it is not what its hashes say.
        """
        source = self._make()
        gc.collect()
        interpreter.keep_what_is_here()
        self._metrics.loaded(source.current().name)
        self._source = source
        while not stop.wait(LOOK_SECONDS):
            self.refresh()


def _checked(predictor: Predictor) -> Predictor:
    """Return the model once it has answered: healthy means that and no less."""
    predictor.predict_array(np.zeros((1, len(predictor.features))))
    return predictor


def _fetched(uri: str) -> Path:
    """Return the folder of a bundle: itself, or a copy that keeps its name, the version.

    Raises:
        ServiceError: the bucket does not answer, or does not let us read.
        IntegrityError: an object's name leads out of the folder.
    """
    if not uri.startswith("gs://"):
        return Path(uri.removeprefix("file://"))
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]

    bucket, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
    folder = Path(tempfile.mkdtemp(prefix="spotify-mlops-model-"))
    folder /= files.check_name(prefix.rpartition("/")[2] or "model")
    folder.mkdir(exist_ok=True)
    try:
        for blob in storage.Client().list_blobs(bucket, prefix=f"{prefix}/"):
            name = blob.name.removeprefix(f"{prefix}/")
            if name and "/" not in name:
                blob.download_to_filename(str(folder / files.check_name(name)))
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise ServiceError(
            f"No se puede leer el modelo de {uri}: {error}. Revise AIP_STORAGE_URI y los permisos."
        ) from error
    return folder
