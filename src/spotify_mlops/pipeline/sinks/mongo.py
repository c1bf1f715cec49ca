"""The operational store: recent events as they came, and the latest of each track."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import bson
import msgspec
import polars as pl
from pymongo import ReplaceOne
from pymongo.database import Database
from pymongo.errors import AutoReconnect, BulkWriteError

from ...config.errors import ServiceError, one_line
from ...config.params import Params
from ...config.sections import Stream, Windows
from ...domain.events import DUPLICATE_KEY, EVENT_COLUMNS, NULLABLE, Kind
from ...domain.features import Inputs
from ...domain.schemas import ANSWER_SCHEMA, NAME_SCHEMA, ROW_KEY
from ...domain.windows import EPOCH, Windowing
from ...io import mongo, retry
from ..job import Job
from .buffered import Buffer, BufferedDoFn

_T = TypeVar("_T")
_BULK = 1_000
"""Operations a command: the local server runs one at a time, and a track must not wait long."""
_WRITERS = 2
"""Threads that insert: one makes documents while another's are written."""
_DUPLICATE_KEY = 11000
"""MongoDB's error code of an insert whose ``_id`` is there already."""


_decode = msgspec.json.Decoder().decode
_CONTRACT = frozenset({"schema_version", *EVENT_COLUMNS})
_MAX_BYTES = 16 << 20
"""Of a document, as MongoDB has it."""
_ALWAYS_FITS = 1 << 20
"""JSON of fewer bytes never makes a document that is too large: ``,0`` becomes at most 15 bytes."""
_AS_TEXT = "un documento no puede contener sus campos desconocidos: van como texto en «original»"
_TOO_LARGE = "no cabe en un documento: el registro entero está en el archivo"


def event_ids(events: pl.DataFrame) -> list[str]:
    """Return the ``_id`` of each event: a digest of the four fields that decide duplicates.

    The event time stands before it, in microseconds: recent events are then neighbours in the
    index, and a batch changes a few of its pages in place of one for each event.
    """
    numbered = events.select(DUPLICATE_KEY).with_columns(pl.col("event_time").dt.epoch("us"))
    texts = numbered.select(pl.struct(DUPLICATE_KEY).struct.json_encode()).to_series()
    return [
        _prefix(at) + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        for at, text in zip(numbered["event_time"].to_list(), texts.to_list(), strict=True)
    ]


def _prefix(microseconds: int) -> str:
    """Return what the ``_id`` of an event begins with: text in the order of event times."""
    return f"{microseconds:016x}"


def _document(row: tuple[str, datetime, bytes]) -> dict[str, Any]:
    """Return the original document, unknown fields too, with ``_id`` and a real date.

    JSON can hold what a document cannot: names with dots, integers of more than 64 bits, a field
    ``_id``. Of such a record the known fields are as always, and the whole is text in
    ``original``; ``note`` says so.
    """
    name, event_time, value = row
    fields = _as_fields(value) or _as_text(value)
    return {"_id": name, **fields, "event_time": event_time}


def _as_fields(value: bytes) -> dict[str, Any] | None:
    """Return the record as it is; None if a document cannot hold it."""
    try:
        fields: dict[str, Any] = _decode(value)
    except msgspec.ValidationError:  # a number that is out of all range
        return None
    if not all(_is_plain(fields.get(name)) or _holds(name, fields[name]) for name in NULLABLE):
        return None
    if not _CONTRACT.issuperset(fields):
        unknown = fields.keys() - _CONTRACT
        if "_id" in unknown or not all(_holds(name, fields[name]) for name in unknown):
            return None
    if len(value) > _ALWAYS_FITS and len(bson.encode(fields)) > _MAX_BYTES - _ALWAYS_FITS:
        return None
    return fields


def _is_plain(value: object) -> bool:
    """Tell whether any document can have a value; nearly all are text or absent."""
    return value is None or type(value) is str


def _holds(name: str, value: object) -> bool:
    """Tell whether a document can have such a field; lists are looked into."""
    if not name or name[0] == "$" or "." in name or "\0" in name:
        return False
    if isinstance(value, dict):
        return all(_holds(inner, item) for inner, item in value.items())
    if isinstance(value, list):
        return all(_holds(name, item) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _as_text(value: bytes) -> dict[str, Any]:
    """Return the known fields of a record, and all of it as text if that fits."""
    content = json.loads(value, parse_int=lambda digits: int(digits) if len(digits) < 20 else None)
    document = {
        name: item if _holds(name, item) else None
        for name, item in content.items()
        if name in _CONTRACT
    }
    if len(value) + len(bson.encode(document)) > _MAX_BYTES - _ALWAYS_FITS:
        return document | {"note": _TOO_LARGE}
    return document | {"original": value.decode(), "note": _AS_TEXT}


def insert_events(database: Database[dict[str, Any]], events: pl.DataFrame) -> None:
    """Insert events that are not there; a duplicate changes nothing.

    Raises:
        pymongo.errors.PyMongoError: the server refuses one for another reason, or is away.
    """
    # In the order of ``_id``, so that a command changes a few pages of the store, and each once.
    firsts = events.unique(DUPLICATE_KEY, keep="first").sort("event_time")
    # Without a zone, as BSON has dates: PyMongo would ask each one for its distance from UTC.
    times = firsts["event_time"].dt.replace_time_zone(None).to_list()
    rows = list(zip(event_ids(firsts), times, firsts["value"].to_list(), strict=True))
    parts = [rows[start : start + _BULK] for start in range(0, len(rows), _BULK)]
    with ThreadPoolExecutor(_WRITERS) as writers:
        for _ in writers.map(partial(_insert, database), parts):
            pass  # raises what a part raised


def _insert(
    database: Database[dict[str, Any]], rows: Iterable[tuple[str, datetime, bytes]]
) -> None:
    with _but_duplicates():
        database["events"].insert_many(map(_document, rows), ordered=False)


def prune_events(database: Database[dict[str, Any]], before: datetime) -> int:
    """Delete the events older than ``before``; return how many.

    By ``_id``, which begins with the event time: an index that every server has.
    """
    oldest = _prefix((before - EPOCH) // timedelta(microseconds=1))
    return database["events"].delete_many({"_id": {"$lt": oldest}}).deleted_count


def track_documents(
    features: pl.DataFrame, predictions: pl.DataFrame, inputs: Sequence[str]
) -> Iterable[dict[str, Any]]:
    """Yield a document of ``tracks`` for each row: latest features and prediction."""
    wanted = predictions.select(*ROW_KEY, *ANSWER_SCHEMA)
    predicted = {
        tuple(key): {
            "level": level,
            "score": score,
            "probabilities": {"Alta": alta, "Media": media, "Baja": baja},
            "model": model,
        }
        for *key, level, score, alta, media, baja, model in wanted.iter_rows()
    }
    named = features.select(*ROW_KEY, *NAME_SCHEMA).iter_rows()
    values = features.select(inputs).iter_rows()
    for (window, country, track, title, artist), row in zip(named, values, strict=True):
        yield {
            "_id": f"{country}:{track}",
            "country": country,
            "track_id": track,
            "track_name": title,
            "artist_name": artist,
            "window_start": window,
            "features": dict(zip(inputs, row, strict=True)),
            "prediction": predicted.get((window, country, track)),
        }


def latest(features: pl.DataFrame, predictions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return, of rows of several windows, those of each track's last."""
    last = features.sort("window_start").unique(ROW_KEY[1:], keep="last", maintain_order=True)
    return last, predictions.join(last, on=ROW_KEY, how="semi")


def replace_tracks(
    database: Database[dict[str, Any]],
    inputs: Sequence[str],
    features: pl.DataFrame,
    predictions: pl.DataFrame,
) -> None:
    """Replace each track's document unless that of a later window is there already.

    Each track has one row (see ``latest``). The server decides, whoever else writes meanwhile: of
    a later window the filter finds no document, and the insert that follows is a duplicate.

    Raises:
        pymongo.errors.PyMongoError: the server refuses one for another reason, or is away.
    """
    documents = list(track_documents(features, predictions, inputs))
    for start in range(0, len(documents), _BULK):
        replacing = [
            ReplaceOne(
                {"_id": new["_id"], "window_start": {"$lte": new["window_start"]}},
                new,
                upsert=True,
            )
            for new in documents[start : start + _BULK]
        ]
        with _but_duplicates():
            database["tracks"].bulk_write(replacing, ordered=False)


@contextmanager
def _but_duplicates() -> Iterator[None]:
    """Let a command fail as it does, but where only documents are refused that are there."""
    try:
        yield
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        others = [failure for failure in failures if failure["code"] != _DUPLICATE_KEY]
        if others or error.details["writeConcernErrors"]:
            raise


def kept_from(watermark: datetime | None, retention: timedelta) -> datetime:
    """Return the event time from which on events are kept.

    It moves in steps of a tenth of the retention, on a fixed grid: what is kept at the end is a
    function of the log, whenever a job last deleted something.
    """
    if watermark is None:
        return EPOCH
    return max(Windowing(retention / 10).start(watermark - retention), EPOCH)


def persistently(stream: Stream, write: Callable[[], _T]) -> _T:
    """Call again what may be repeated, as long as the server is away, up to ``sink_deadline``.

    Raises:
        ServiceError: it stayed away.
    """
    patience = stream.sink_deadline.total_seconds()
    try:
        return retry.again(write, lambda error: isinstance(error, AutoReconnect), patience)
    except AutoReconnect as error:
        reason = one_line(error, 160)
        raise ServiceError(f"MongoDB no aceptó los documentos: {reason}.") from error


class _WriteEventsDoFn(BufferedDoFn):
    def __init__(self, job: Job, params: Params, interval: float) -> None:
        super().__init__(job, "Operational", interval)
        self._params = params

    def setup(self) -> None:
        self._database = mongo.database(self._params)
        self._oldest = EPOCH

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return marked.filter(pl.col("kind") == Kind.EVENT).select(*DUPLICATE_KEY, "value")

    def advance(self, job: Job) -> None:
        oldest = kept_from(job.watermark, self._params.windows.operational_retention)
        if oldest > self._oldest:
            persistently(self._params.stream, lambda: prune_events(self._database, oldest))
            self._oldest = oldest

    def write(self, rows: pl.DataFrame) -> None:
        kept = rows.filter(pl.col("event_time") >= self._oldest)
        persistently(self._params.stream, lambda: insert_events(self._database, kept))


@dataclass(frozen=True)
class OperationalSink:
    """Keeps the last ``operational_retention`` of events, by event time, in Mongo."""

    params: Params
    interval: float
    name: str = "Operational"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _WriteEventsDoFn(job, self.params, self.interval)


class _WriteLatestDoFn(_WriteEventsDoFn):
    """Lets go of what retention has passed before anything is written."""

    def _flush(self, buffer: Buffer) -> None:
        if buffer.job.finishing.is_set() or not buffer.waiting:
            super()._flush(buffer)
            return
        oldest = kept_from(buffer.job.watermark, self._params.windows.operational_retention)
        rows = pl.concat(buffer.waiting).filter(pl.col("event_time") >= oldest)
        buffer.waiting, buffer.rows, buffer.bytes = [rows], 0, 0


@dataclass(frozen=True)
class LatestEventsSink:
    """As `OperationalSink`, for a bounded run: only what is recent at its end is written."""

    params: Params
    name: str = "Operational"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _WriteLatestDoFn(job, self.params, 0)


def model_inputs(windows: Windows) -> list[str]:
    """Return the names of the features that ``tracks`` holds."""
    return Inputs.of(windows).names()
