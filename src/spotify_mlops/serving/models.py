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
from .board import Board
from .metrics import Metrics

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks for a new champion."""


class ModelSource(Protocol):
    """Gives the model that answers now."""

    def current(self) -> Predictor:
        """Return a checked model at once, without I/O; raise ServiceError while there is none."""


class ChangingModel(ModelSource, Protocol):
    """Gives another model after `refresh`, if there is one."""

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


class ChampionWatch:
    """Which version is the champion."""

    def __init__(self, promotions: PromotionHistory) -> None:
        """Look for the first time.

        Raises:
            InputError, IntegrityError: there is no champion, or the record has been changed.
        """
        self._promotions = promotions
        self._stamp = promotions.stamp()
        self.version = self._found()

    def look(self) -> bool:
        """Tell whether there was a promotion since the last look; ``version`` is the champion.

        Raises:
            InputError, IntegrityError: as when it looked first. It is raised once a promotion.
        """
        stamp = self._promotions.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.version = self._found()
        return True

    def _found(self) -> str:
        version = self._promotions.champion()
        if version is None:
            raise InputError(
                f"No hay modelo campeón en {self._promotions.uri}: ejecuta el cuaderno 06 o "
                "promociona una versión."
            )
        return version


class ChampionModel:
    """The champion."""

    def __init__(self, promotions: PromotionHistory) -> None:
        """Load and check the champion.

        Raises:
            InputError, IntegrityError: there is no champion, its files have changed, or the
                features are not those that it learned from.
        """
        self._promotions = promotions
        self._watch = ChampionWatch(promotions)
        self._predictor = load_version(promotions, self._watch.version)

    def current(self) -> Predictor:
        """Return the champion as it was at the last look."""
        return self._predictor

    def refresh(self) -> None:
        """Load the champion if there was a promotion since the last look.

        Raises:
            InputError, IntegrityError: the new one cannot be loaded. It does not take the place
                of one that answers, and is not tried again before the next promotion.
        """
        if self._watch.look():
            self._predictor = load_version(self._promotions, self._watch.version)


def load_version(promotions: PromotionHistory, version: str) -> Predictor:
    """Return a version that is kept, once it has answered.

    Raises:
        InputError, IntegrityError: its files have changed, or the features are not those that it
            learned from.
    """
    kept = promotions.bundle(version)
    kept.check_inputs(promotions.windows)
    return _checked(Predictor.load(kept))


class Generations:
    """The models that one of several processes holds, by generation (see `swap`).

    Which of them answers is on the board: the same for all processes at any moment.
    """

    def __init__(self, board: Board, load: Callable[[str | None], Predictor]) -> None:
        """Begin with none; ``load`` makes the model of a version."""
        self._board = board
        self._load = load
        self._held: dict[int, Predictor] = {}

    def current(self) -> Predictor:
        """Return the model of the generation that answers.

        Raises:
            ServiceError: there is none yet, or it is not here: another one is no substitute.
        """
        model = self._held.get(self._board.generation)
        if model is None:
            raise _loading()
        return model

    def load(self, generation: int, version: str | None) -> None:
        """Load and check the model of a generation, and hold it beside the one that answers.

        Raises:
            UserError: it cannot be loaded.
        """
        model = self._load(version)
        now = self._board.generation
        self._held = {number: held for number, held in self._held.items() if number == now}
        self._held = {**self._held, generation: model}


class Background:
    """A model source that a thread makes and keeps up to date: no request waits for a model."""

    def __init__(self, make: Callable[[], ChangingModel], metrics: Metrics) -> None:
        """Remember how the source is made; `run` makes it."""
        self._make = make
        self._metrics = metrics
        self._source: ChangingModel | None = None

    def current(self) -> Predictor:
        """Return the model.

        Raises:
            ServiceError: it is still being loaded.
        """
        if self._source is None:
            raise _loading()
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
            self._metrics.loaded()

    def run(self, stop: threading.Event) -> None:
        """Make the source, then look for another model until ``stop`` is set.

        Raises:
            InputError, IntegrityError: there is no model, or it is not what its hashes say.
        """
        source = self._make()
        gc.collect()
        interpreter.keep_what_is_here()
        self._metrics.loaded()
        self._source = source
        while not stop.wait(LOOK_SECONDS):
            self.refresh()


def _loading() -> ServiceError:
    return ServiceError("El modelo se está cargando: pregunte dentro de un segundo.")


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
