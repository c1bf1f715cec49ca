"""What a request may ask and what is wrong with it when it may not. No I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from ..config.spanish import number
from ..domain.events import COUNTRIES
from ..domain.labels import LEVELS

T = TypeVar("T")

LOOKUP_FIELDS = ("country", "track_id")
MAX_INSTANCES = 10_000
MAX_INSTANCE_BYTES = 1 << 16
SMALL_BODY = 1 << 15
"""Bytes up to which a body is decoded in one go."""


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


class Lookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instance that names a track: its latest features are in the online store."""

    country: str
    track_id: str

    @property
    def key(self) -> str:
        """Return the ``_id`` of the track's document."""
        return f"{self.country}:{self.track_id}"


@dataclass(frozen=True)
class Asked:
    """The instances of a request."""

    values: np.ndarray
    """float64 (instances, features); the rows of ``lookups`` are still to be filled."""
    lookups: dict[int, Lookup]
    """By index of the instance."""

    def keys(self) -> list[str]:
        """Return the ``_id`` of every track that is named."""
        return [lookup.key for lookup in self.lookups.values()]


class Probabilities(msgspec.Struct, gc=False, rename="pascal"):
    """Probability of each level, with six decimals."""

    alta: float
    media: float
    baja: float


class Prediction(msgspec.Struct, gc=False):
    """The answer to one instance."""

    level: str
    score: float
    """Probability of the level."""
    probabilities: Probabilities
    model: str
    """``name@version`` of the model that made it."""


class _Request(msgspec.Struct, Generic[T]):
    instances: list[T]


_split = msgspec.json.Decoder(_Request[msgspec.Raw])
_lookup = msgspec.json.Decoder(Lookup)


class Form:
    """Reads requests for a model with certain inputs.

    A sound instance is decoded straight into a structure of floats. Only one that is not sound
    is looked at value by value, to say what is wrong with it.
    """

    def __init__(self, features: Sequence[str]) -> None:
        """Make the decoders of a model's instances; ``features`` are its inputs in order."""
        self._features = tuple(features)
        # A name need not be an identifier: the fields are numbered and renamed.
        names = {f"x{i}": name for i, name in enumerate(features)}
        instance = msgspec.defstruct(
            "Instance",
            [(field, float) for field in names],
            rename=names,
            forbid_unknown_fields=True,
            gc=False,
        )
        self._request = msgspec.json.Decoder(_Request[instance])  # type: ignore[valid-type]
        # An instance has at least two fields, those of a lookup. With more commas than these
        # there are too many instances, or one that is not sound.
        self._most_commas = MAX_INSTANCES * max(len(self._features), len(LOOKUP_FIELDS))
        self._instance = msgspec.json.Decoder(instance)

    def read(self, body: bytes | bytearray) -> Asked:
        """Return what a request's JSON asks.

        A large body is decoded instance by instance, so that a thread that does it lets others
        run in between. It is not decoded at all when it cannot have a right number of instances:
        their list may take many times the memory of the body.

        Raises:
            RequestError: it is not ``{"instances": [...]}``, or has too many, or one has a
                field that is missing, unknown, not a number, or not finite.
        """
        if len(body) <= SMALL_BODY:
            try:
                instances = self._request.decode(body).instances
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # a lookup, or something wrong
            else:
                if 0 < len(instances) <= MAX_INSTANCES:
                    rows = [msgspec.structs.astuple(instance) for instance in instances]
                    return Asked(np.array(rows, dtype=np.float64), {})
        elif body.count(b",") > self._most_commas:
            raise RequestError(
                f"Hay más de {number(MAX_INSTANCES)} instancias, o más valores de los que caben "
                "en ellas. Divida la petición.",
                status=413,
                field="instances",
            )
        return self._read_each(_instances(body))

    def _read_each(self, instances: list[msgspec.Raw]) -> Asked:
        values = np.empty((len(instances), len(self._features)))
        lookups = {}
        for i, raw in enumerate(instances):
            parsed = self._parse(i, raw)
            if isinstance(parsed, Lookup):
                lookups[i] = parsed
            else:
                values[i] = parsed
        return Asked(values, lookups)

    def _parse(self, index: int, raw: msgspec.Raw) -> Lookup | Sequence[float]:
        size = memoryview(raw).nbytes
        if size > MAX_INSTANCE_BYTES:
            raise RequestError(
                f"La instancia {index} ocupa {number(size)} bytes; el máximo es "
                f"{number(MAX_INSTANCE_BYTES)}.",
                status=413,
                instance=index,
            )
        try:
            return msgspec.structs.astuple(self._instance.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            return _known(index, _lookup.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _parse_instance(index, _loads(index, raw), self._features)


def _instances(body: bytes | bytearray) -> list[msgspec.Raw]:
    """Return the instances of a request's JSON, each still as it was sent.

    Raises:
        RequestError: it is not ``{"instances": [...]}``, or it has too many.
    """
    try:
        instances = _decoded(body).instances
    except msgspec.ValidationError as error:
        raise RequestError(
            'Se espera un objeto JSON {"instances": [...]}.', field="instances"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("El cuerpo de la petición no es JSON válido.") from error
    if not instances:
        raise RequestError("«instances» está vacía.", field="instances")
    if len(instances) > MAX_INSTANCES:
        raise RequestError(
            f"Hay {number(len(instances))} instancias; el máximo es {number(MAX_INSTANCES)}. "
            "Divida la petición.",
            status=413,
            field="instances",
        )
    return instances


def _decoded(body: bytes | bytearray) -> _Request[msgspec.Raw]:
    """Decode a body, even if it has what some writers put for numbers that JSON has not.

    NaN and the infinities become a number out of all range: so the instance and the field that
    have it can be named.
    """
    try:
        return _split.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _split.decode(body.replace(b"NaN", b"1e999").replace(b"Infinity", b"1e999"))


def _parse_instance(index: int, instance: Any, features: Sequence[str]) -> Lookup | list[float]:
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
        if not isinstance(instance[name], str):
            raise _wrong(index, name, "debe ser un texto")
    for name in instance:
        if name not in LOOKUP_FIELDS:
            raise _wrong(index, str(name), "sobra junto a «country» y «track_id»")
    return _known(index, Lookup(instance["country"], instance["track_id"]))


def _known(index: int, lookup: Lookup) -> Lookup:
    if lookup.country not in COUNTRIES:
        raise _wrong(index, "country", "no es un código de país ISO 3166-1 de dos letras")
    if not lookup.track_id:
        raise _wrong(index, "track_id", "no puede estar vacío")
    return lookup


def _number(index: int, name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise _wrong(index, name, "debe ser un número")
    if not math.isfinite(value):
        raise _wrong(index, name, "debe ser un número finito")
    return value


def _loads(index: int, raw: msgspec.Raw) -> Any:
    """Decode one instance with Python's own reader; every number, of any size, as a float."""
    try:
        return json.loads(bytes(raw), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"La instancia {index} no es JSON válido.", instance=index) from error


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
        value = values.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise RequestError(
                f"Instancia {index}: las variables guardadas de «{lookup.key}» no tienen "
                f"«{name}», que este modelo necesita.",
                status=409,
                instance=index,
                field=name,
            )
    return [float(values[name]) for name in features]


def predictions(levels: np.ndarray, probabilities: np.ndarray, model: str) -> list[Prediction]:
    """Return the graph's outputs as they are sent, in order."""
    return [
        Prediction(LEVELS[level], p[level], Probabilities(*p), model)
        for level, p in zip(levels.tolist(), probabilities.tolist(), strict=True)
    ]


def _wrong(index: int, name: str, problem: str) -> RequestError:
    return RequestError(
        f"Instancia {index}, campo «{name}»: {problem}.", instance=index, field=name
    )
