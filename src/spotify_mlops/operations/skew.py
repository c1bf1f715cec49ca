"""Whether live job, replay, notebook and endpoint have the same values for each row key.

The graph is run over the log again; what it computes is what every other place must hold, bit
for bit: the features that the live job stored, those that the notebooks learn from, those that
the endpoint looks up, and the predictions wherever they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Literal

import polars as pl

from ..config.errors import InputError, ServiceError
from ..config.params import Params
from ..config.progress import Progress
from ..config.sections import Windows
from ..domain import schemas
from ..domain.labels import LEVELS
from ..io import bigquery, mongo, retry
from ..io.bigquery import tables
from ..io.mongo.store import OnlineStore
from ..model import client, dataset
from ..model.endpoint import Endpoint
from ..model.promotions import PromotionHistory
from ..pipeline.sinks.mongo import model_inputs
from . import bounded
from .compare import Differences, Extent, content, differences, within

TRACK = ("country", "track_id")
PREDICTED = tuple(schemas.ANSWER_SCHEMA)
EXAMPLES = 3
_BATCH = 1000
"""Tracks asked for at once."""
_TRACK_SCHEMA = schemas.KEY_SCHEMA.only(*TRACK, "window_start")


@dataclass(frozen=True)
class Computed:
    """What the graph makes of the log: the values that every place must hold."""

    features: pl.DataFrame
    predictions: pl.DataFrame
    extent: Extent
    records: int


class NotAsked(StrEnum):
    """Why a place was not compared."""

    NO_MODEL = "no_model"
    """No model is deployed."""
    DOWN = "down"
    REFUSED = "refused"
    """It answers, but not this."""


@dataclass(frozen=True)
class Example:
    """A difference, its values in full as Python writes them."""

    key: tuple[str, ...]
    problem: Literal["differs", "missing", "extra"]
    column: str = ""
    expected: str = ""
    found: str = ""


@dataclass(frozen=True)
class Place:
    """One place compared with what was computed.

    Attributes:
        name: of the place, in code.
        compared: rows of a key that was computed; some copies of a key may be among them.
        different: those of them in which some value differs.
        missing: keys computed that the place does not have.
        extra: rows of the place whose key was not computed.
        apart: rows that cannot be compared: of a later window than was computed, or predicted
            by the endpoint's champion for a window of an earlier one.
        columns: how many rows differ in each column that differs.
        examples: the first differences.
        not_asked: why nothing was compared, where that is so.
        refusal: the words with which it refused.
    """

    name: str
    compared: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    apart: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    not_asked: NotAsked | None = None
    refusal: str = ""

    @property
    def holds(self) -> bool:
        """Whether no difference was found."""
        return not (self.different or self.missing or self.extra)


@dataclass(frozen=True)
class SkewReport:
    """The finding for all places."""

    records: int
    closed_until: datetime | None
    places: tuple[Place, ...]

    @property
    def holds(self) -> bool:
        """Whether all places hold what was computed."""
        return all(place.holds for place in self.places)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "holds": self.holds,
            "records": self.records,
            "closed_until": self.closed_until and self.closed_until.isoformat(),
            "places": [asdict(place) | {"holds": place.holds} for place in self.places],
        }


def skew(params: Params, wait: float = 30.0, say: Progress = lambda _: None) -> SkewReport:
    """Run the graph over the log and compare every place with what it gives.

    Args:
        params: which log, tables, store and endpoint.
        wait: seconds that a running job is given to write what it has read.
        say: takes a line of progress in Spanish.

    Raises:
        ServiceError: Kafka, BigQuery or MongoDB does not answer.
    """
    computed = compute(params, say)
    say("Comparando fila a fila")
    return retry.until(lambda: check(params, computed), lambda report: report.holds, wait)


def compute(params: Params, say: Progress = lambda _: None) -> Computed:
    """Run the graph over the whole log, in files that go at once."""
    with bounded.computed(params, say) as made:
        features = made.staging.read("spotify_features")
        predictions = made.staging.read("spotify_predictions")
    empty = pl.DataFrame(schema=schemas.features_schema(model_inputs(params.windows)))
    return Computed(
        empty if features is None else features,
        pl.DataFrame(schema=schemas.PREDICTION_SCHEMA) if predictions is None else predictions,
        Extent(made.ends, made.watermark),
        made.records,
    )


def check(params: Params, computed: Computed) -> SkewReport:
    """Compare every place with what was computed."""
    before = _tracks(params)
    looked_up = OnlineStore(params)
    stored: dict[str, Any] = {}
    for keys in _batches(list(before)):
        stored |= looked_up(keys)
    endpoint = _asked(params, before)
    after = _tracks(params)
    # What a running job replaced meanwhile was asked for at different times.
    steady = {k: t for k, t in before.items() if k in after and after[k][:3] == t[:3]}
    places = (
        _features_stored(params, computed),
        _features_notebook(params, computed),
        _features_store(params.windows, computed, steady, stored),
        _predictions_stored(params, computed),
        _predictions_store(params.windows, computed, steady),
        _predictions_endpoint(params, computed, steady, endpoint),
    )
    return SkewReport(computed.records, computed.extent.closed_until, places)


def _features_stored(params: Params, computed: Computed) -> Place:
    """Look at every row that was written, the copies that a restart wrote too."""
    table = tables.features(params.windows)
    rows = bigquery.query(params, f"SELECT * FROM `{{dataset}}.{table.rows}`")
    rows = rows.filter(within(rows, computed.extent, params.windows))
    columns = (*schemas.DESCRIPTIVE_SCHEMA, *model_inputs(params.windows))
    return _place("features_stored", computed.features, rows, schemas.ROW_KEY, columns)


def _features_notebook(params: Params, computed: Computed) -> Place:
    """Look at the matrix that a model learns from."""
    rows = dataset.read_features(params)
    rows = rows.filter(within(rows, computed.extent, params.windows))
    inputs = model_inputs(params.windows)
    values = pl.DataFrame(dataset.matrix(rows, inputs), schema=dict.fromkeys(inputs, pl.Float64))
    found = rows.select(schemas.ROW_KEY).hstack(values)
    return _place("features_notebook", computed.features, found, schemas.ROW_KEY, inputs)


_Tracks = dict[str, tuple[str, str, datetime, dict[str, Any] | None]]
"""Country, track, window and prediction of each document of ``tracks``, by ``_id``."""


def _tracks(params: Params) -> _Tracks:
    wanted = dict.fromkeys(("country", "track_id", "window_start", "prediction"), True)
    found = mongo.database(params)["tracks"].find({}, wanted)
    return {
        d["_id"]: (d["country"], d["track_id"], d["window_start"], d.get("prediction"))
        for d in found
    }


def _features_store(
    windows: Windows, computed: Computed, tracks: _Tracks, stored: Mapping[str, Any]
) -> Place:
    inputs = model_inputs(windows)
    found = pl.DataFrame(
        [
            (*track[:3], *((stored[key].get("features") or {}).get(name) for name in inputs))
            for key, track in tracks.items()
            if key in stored
        ],
        schema=_TRACK_SCHEMA | dict.fromkeys(inputs, pl.Float64),
        orient="row",
    )
    columns = ("window_start", *inputs)
    return _latest("features_store", computed.features, found, windows, computed, columns)


def _predictions_stored(params: Params, computed: Computed) -> Place:
    found = content(params, tables.PREDICTIONS, computed.extent)
    columns = (*PREDICTED, "horizon")
    return _place("predictions_stored", computed.predictions, found, schemas.ROW_KEY, columns)


def _predictions_store(windows: Windows, computed: Computed, tracks: _Tracks) -> Place:
    given = {k: t[3] for k, t in tracks.items() if t[3] is not None}
    found = _predictions(tracks, given)
    columns = ("window_start", *PREDICTED)
    return _latest("predictions_store", _of_latest(computed), found, windows, computed, columns)


def _of_latest(computed: Computed) -> pl.DataFrame:
    """Return the predictions of each track's latest row."""
    return computed.predictions.join(_newest(computed.features), on=schemas.ROW_KEY, how="semi")


def _asked(params: Params, tracks: _Tracks) -> dict[str, dict[str, Any]] | Place:
    """Ask the endpoint for every track that has a prediction; say why, where it does not answer."""
    unasked = partial(Place, "predictions_endpoint")
    answers: dict[str, dict[str, Any]] = {}
    try:
        if not Endpoint(params).traffic():
            return unasked(not_asked=NotAsked.NO_MODEL)
        for keys in _batches([key for key, track in tracks.items() if track[3] is not None]):
            asked = [dict(zip(TRACK, tracks[key][:2], strict=True)) for key in keys]
            answers |= zip(keys, client.predict(params, asked), strict=True)
    except ServiceError:
        return unasked(not_asked=NotAsked.DOWN)
    except InputError as refused:
        return unasked(not_asked=NotAsked.REFUSED, refusal=str(refused))
    return answers


def _predictions_endpoint(
    params: Params,
    computed: Computed,
    tracks: _Tracks,
    answers: dict[str, dict[str, Any]] | Place,
) -> Place:
    if isinstance(answers, Place):
        return answers
    found = _predictions(tracks, {key: answers[key] for key in tracks if key in answers})
    expected = _of_latest(computed)
    # The endpoint answers with today's champion; the latest row may be an earlier one's.
    champion = f"{params.model.name}@{PromotionHistory(params).champion()}"
    others = expected.filter(pl.col("model") != champion)
    expected = expected.filter(pl.col("model") == champion)
    found = found.join(others, on=TRACK, how="anti")
    name = "predictions_endpoint"
    place = _latest(name, expected, found, params.windows, computed, PREDICTED)
    return replace(place, apart=place.apart + others.height)


def _predictions(tracks: _Tracks, given: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    rows = []
    for key, answer in given.items():
        p = answer["probabilities"]
        values = (answer["level"], answer["score"], *(p[level] for level in LEVELS))
        rows.append((*tracks[key][:3], *values, answer["model"]))
    schema = _TRACK_SCHEMA | schemas.ANSWER_SCHEMA
    return pl.DataFrame(rows, schema=schema, orient="row")


def _newest(features: pl.DataFrame) -> pl.DataFrame:
    return features.group_by(TRACK).agg(pl.col("window_start").max())


def _latest(
    name: str,
    expected: pl.DataFrame,
    found: pl.DataFrame,
    windows: Windows,
    computed: Computed,
    columns: Sequence[str],
) -> Place:
    """Compare the latest of each track, but for those that have a later one than was computed."""
    newest = expected.join(_newest(expected), on=schemas.ROW_KEY, how="semi")
    later = found.filter(~within(found, computed.extent, windows))
    place = _place(
        name,
        newest.join(later, on=TRACK, how="anti"),
        found.join(later, on=TRACK, how="anti"),
        TRACK,
        columns,
    )
    return replace(place, apart=later.height)


def _place(
    name: str,
    expected: pl.DataFrame,
    found: pl.DataFrame,
    key: Sequence[str],
    columns: Sequence[str],
) -> Place:
    wrong = differences(expected, found, key, columns)
    return Place(
        name,
        compared=wrong.compared,
        different=wrong.found.height,
        missing=wrong.missing.height,
        extra=wrong.extra.height,
        columns=wrong.columns,
        examples=_examples(wrong, key),
    )


def _examples(wrong: Differences, key: Sequence[str]) -> tuple[Example, ...]:
    examples = []
    pairs = zip(
        wrong.expected.head(EXAMPLES).iter_rows(named=True),
        wrong.found.head(EXAMPLES).iter_rows(named=True),
        strict=True,
    )
    for expected, found in pairs:
        names = [name for name in wrong.columns if repr(expected[name]) != repr(found[name])]
        examples += [
            Example(_where(found, key), "differs", name, _shown(expected[name]),
                    _shown(found[name]))
            for name in names[:1]
        ]  # fmt: skip
    kinds: tuple[tuple[pl.DataFrame, Literal["missing", "extra"]], ...]
    kinds = (wrong.missing, "missing"), (wrong.extra, "extra")
    for rows, problem in kinds:
        shown = rows.head(EXAMPLES).iter_rows(named=True)
        examples += [Example(_where(row, key), problem) for row in shown]
    return tuple(examples[:EXAMPLES])


def _where(row: Mapping[str, Any], key: Sequence[str]) -> tuple[str, ...]:
    return tuple(_shown(row[name]).strip("'") for name in key)


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
