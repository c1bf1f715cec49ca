"""What a request may ask and what is wrong with it when it may not. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ..events import COUNTRIES
from ..labels import LEVELS
from ..model.metrics import PROBABILITIES

LOOKUP_FIELDS = ("country", "track_id")
MAX_INSTANCES = 10_000


class RequestError(Exception):
    """A request that cannot be answered: an HTTP status and a message for its sender (Spanish)."""

    def __init__(
        self, message: str, *, status: int = 400, instance: int | None = None,
        field: str | None = None,
    ) -> None:  # fmt: skip
        """Keep what is wrong, and where: index of the instance, name of the field."""
        super().__init__(message)
        self.status = status
        self.instance = instance
        self.field = field


@dataclass(frozen=True)
class Lookup:
    """An instance that names a track: its latest features are in the online store."""

    country: str
    track_id: str

    @property
    def key(self) -> str:
        """Return the ``_id`` of the track's document."""
        return f"{self.country}:{self.track_id}"


def parse_body(body: Any) -> list[Any]:
    """Return the instances of a request's JSON.

    Raises:
        RequestError: it is not ``{"instances": [...]}``, or it has too many.
    """
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise RequestError('Se espera un objeto JSON {"instances": [...]}.', field="instances")
    instances = body["instances"]
    if not instances:
        raise RequestError("«instances» está vacía.", field="instances")
    if len(instances) > MAX_INSTANCES:
        raise RequestError(
            f"Hay {len(instances)} instancias; el máximo es {MAX_INSTANCES}. Divida la petición.",
            status=413,
            field="instances",
        )
    return instances


def parse_instance(index: int, instance: Any, features: Sequence[str]) -> Lookup | list[float]:
    """Return what an instance asks: a track, or values in the order of ``features``.

    Raises:
        RequestError: a field is missing, unknown, not a number, or not finite.
    """
    if not isinstance(instance, Mapping):
        raise RequestError(f"La instancia {index} no es un objeto JSON.", instance=index)
    if set(instance) & set(LOOKUP_FIELDS):
        return _parse_lookup(index, instance)
    for name in features:
        if name not in instance:
            raise _wrong(index, name, "falta")
    if len(instance) > len(features):
        known = set(features)
        name = next(str(name) for name in instance if name not in known)
        raise _wrong(index, name, "no es una variable del modelo")
    return [_number(index, name, instance[name]) for name in features]


def _parse_lookup(index: int, instance: Mapping[str, Any]) -> Lookup:
    for name in LOOKUP_FIELDS:
        if name not in instance:
            raise _wrong(index, name, "falta")
        if not isinstance(instance[name], str) or not instance[name]:
            raise _wrong(index, name, "debe ser un texto")
    for name in instance:
        if name not in LOOKUP_FIELDS:
            raise _wrong(index, str(name), "sobra junto a «country» y «track_id»")
    if instance["country"] not in COUNTRIES:
        raise _wrong(index, "country", "no es un código de país ISO 3166-1 de dos letras")
    return Lookup(instance["country"], instance["track_id"])


def _number(index: int, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(index, name, "debe ser un número")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(index, name, "debe ser un número finito")
    return number


def stored_values(
    index: int, lookup: Lookup, document: Any, features: Sequence[str]
) -> list[float]:
    """Return a track's stored features in the model's order.

    Raises:
        RequestError: 404 without a document; 409 when it lacks an input of this model.
    """
    if document is None:
        raise RequestError(
            f"Instancia {index}: no se conoce la canción «{lookup.track_id}» en {lookup.country}.",
            status=404,
            instance=index,
            field="track_id",
        )
    values = document.get("features") or {}
    for name in features:
        if not isinstance(values.get(name), int | float):
            raise RequestError(
                f"Instancia {index}: las variables guardadas de «{lookup.key}» no tienen "
                f"«{name}», que este modelo necesita.",
                status=409,
                instance=index,
                field=name,
            )
    return [float(values[name]) for name in features]


def answers(predicted: pl.DataFrame, model: str) -> list[dict[str, Any]]:
    """Return the predictions as they are sent, in order."""
    columns = [predicted[name].to_list() for name in ("level", "score", *PROBABILITIES)]
    return [
        {
            "level": level,
            "score": score,
            "probabilities": dict(zip(LEVELS, p, strict=True)),
            "model": model,
        }
        for level, score, *p in zip(*columns, strict=True)
    ]


def as_matrix(values: list[list[float]]) -> np.ndarray:
    """Return parsed instances as an array (instances, features)."""
    return np.array(values, dtype=np.float64)


def _wrong(index: int, name: str, problem: str) -> RequestError:
    return RequestError(
        f"Instancia {index}, campo «{name}»: {problem}.", instance=index, field=name
    )
