"""JSON records to columns and back.

The fast path decodes each record into a typed struct, then validates whole columns. Only a
record that fails there is looked at again, alone, to say why it is a dead letter. Should the code
itself raise, the batch is halved until the record at fault is alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np
import polars as pl

from ...config.params import Params
from .schema import (
    COUNTRIES,
    EARLIEST_TIME,
    EVENT_COLUMNS,
    EVENT_TYPES,
    LATEST_TIME,
    MAX_COUNT,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    SCHEMA_VERSION,
    SCHEMA_VERSIONS,
    UTC_MICROSECONDS,
    Kind,
    Reason,
)
from .withheld import original, said

_HEARTBEAT = "heartbeat"
_NotHeartbeat = Annotated[str, msgspec.Meta(pattern=rf"^(?!{_HEARTBEAT}\Z)")]
"""Fails the typed decoder: a heartbeat is one whatever fields of an event it has."""


class _Record(msgspec.Struct, gc=False):
    schema_version: int
    event_id: str
    event_time: str
    event_type: str
    country: str
    track_id: str
    source: str
    track_name: str | None = None
    artist_name: str | None = None
    count: int = 1
    popularity: int | None = None
    artist_id: str | None = None
    album_name: str | None = None
    release_date: str | None = None
    control: _NotHeartbeat | int | float | bool | list[Any] | dict[str, Any] | None = None


_REQUIRED = tuple(f.name for f in msgspec.structs.fields(_Record) if f.required)
_OPTIONAL_TEXT = ("track_name", "artist_name", "artist_id", "album_name", "release_date")
_TEXT = (*_REQUIRED[1:], *_OPTIONAL_TEXT)
_decode_record = msgspec.json.Decoder(_Record).decode
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?", re.ASCII)
_CANONICAL_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(\.\d{1,6})?Z$"
_SIX_DIGITS, _ANY_DIGITS = "%Y-%m-%dT%H:%M:%S.%6fZ", "%Y-%m-%dT%H:%M:%S%.fZ"
_TEXT_IN_JSON = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SHALLOW_BYTES = 2 * MAX_DEPTH + 100
"""An event that is shorter cannot be too deep: its required fields alone take 100 bytes."""

DECODED_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "reason": pl.String,
    "detail": pl.String,
} | EVENT_COLUMNS


@dataclass(frozen=True)
class Ahead:
    """How far beyond its append time a record's time may be; what is further is a dead letter."""

    event: timedelta
    heartbeat: timedelta
    """A source's last heartbeat closes the window of an event that may be that far ahead."""

    @classmethod
    def of(cls, params: Params) -> Ahead:
        """Return what the params allow: for a heartbeat a window and its lateness more."""
        closing = params.windows.window + params.windows.allowed_lateness
        return cls(params.windows.clock_skew, params.windows.clock_skew + closing)


def decode(batch: pl.DataFrame, ahead: Ahead) -> pl.DataFrame:
    """Turn the records of a batch into columns; every record comes out, in the same order.

    Args:
        batch: ``LOG_COLUMNS``.
        ahead: how far beyond its append time a record's time may be.

    Returns:
        The batch with ``kind`` (see `Kind`), ``reason`` and ``detail`` (of a dead letter) and
        ``EVENT_COLUMNS``. A heartbeat has only ``event_time``: the time it vouches for.

    Raises:
        Exception: what the code raised over the batch, if a good record alone makes it raise.
    """
    try:
        return _decode(batch, ahead)
    except (MemoryError, OSError):
        raise  # the machine's fault, not a record's
    except (Exception, pl.exceptions.PanicException) as error:
        if batch.height > 1:
            half = batch.height // 2
            return pl.concat([decode(batch[:half], ahead), decode(batch[half:], ahead)])
        if batch.is_empty():
            raise
        _decode(_known_good(batch), ahead)  # raises if the fault is not the record's
        return _ordered(_poisoned(batch, error))


def _decode(batch: pl.DataFrame, ahead: Ahead) -> pl.DataFrame:
    records: list[_Record | None] = []
    append = records.append
    values = batch["value"].to_list()
    for value in values:
        try:
            append(_decode_record(value))
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            append(None)
    # Each event opens one object at least; so few more in the whole batch, and none is too deep.
    events = len(records) - records.count(None)
    shallow = _opened(b"".join(filter(None, values))) < events + MAX_DEPTH
    large = batch["value"].bin.size("b") > (MAX_TEXT_BYTES if shallow else _SHALLOW_BYTES)
    for row in large.fill_null(False).arg_true().to_list():
        value = values[row]
        if _depth(value) > MAX_DEPTH or _has_long_text(records[row], len(value)):
            records[row] = None
    frame = batch.with_columns(_columns(records)).with_columns(
        _valid=_is_valid(ahead.event), kind=pl.lit(Kind.EVENT.value)
    )
    frame = frame.with_columns(_valid=pl.col("_valid") & _is_text(frame))
    if frame["_valid"].all():
        return _ordered(frame)
    return _ordered(_explain_failures(frame, ahead))


def _known_good(batch: pl.DataFrame) -> pl.DataFrame:
    """Return the one record of a batch with an event that is beyond doubt in its place."""
    event = _Record(SCHEMA_VERSION, "e", "2000-01-01T00:00:00Z", EVENT_TYPES[0], "ES", "t", "s")
    value = msgspec.json.encode(event)
    return batch.with_columns(value=pl.lit(value, pl.Binary))


def _poisoned(batch: pl.DataFrame, error: BaseException) -> pl.DataFrame:
    """Return the one record of a batch as a dead letter that names what the code raised."""
    detail = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return batch.with_columns(
        pl.lit(Kind.DEAD_LETTER.value).alias("kind"),
        pl.lit(Reason.POISON.value).alias("reason"),
        pl.lit(detail).alias("detail"),
        *(pl.lit(None, dtype).alias(name) for name, dtype in EVENT_COLUMNS.items()),
    )


def encode(events: pl.DataFrame) -> list[bytes]:
    """Write events (``EVENT_COLUMNS``; nulls are left out) as JSON records, one a row."""
    times = events["event_time"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_list()
    columns = {name: events[name].to_list() for name in EVENT_COLUMNS if name in events.columns}
    columns["event_time"] = times
    names = tuple(columns)
    write = msgspec.json.Encoder().encode
    return [
        write(
            {"schema_version": SCHEMA_VERSION}
            | {name: value for name, value in zip(names, row, strict=True) if value is not None}
        )
        for row in zip(*columns.values(), strict=True)
    ]


def encode_heartbeat(event_time: datetime) -> bytes:
    """Write the control record that says: event time here is at least ``event_time``."""
    return msgspec.json.encode(
        {
            "schema_version": SCHEMA_VERSION,
            "control": _HEARTBEAT,
            "event_time": event_time.astimezone(UTC),
        }
    )


def _columns(records: list[_Record | None]) -> list[pl.Series]:
    blank = _Record(0, "", "1970-01-01T00:00:00.000000Z", "", "", "", "")
    rows = [blank if record is None else record for record in records]

    def column(
        name: str, values: Iterable[object], dtype: pl.DataType | type[pl.DataType]
    ) -> pl.Series:
        return pl.Series(name, values, dtype=dtype, strict=True)

    versions = _integers("_supported", [r.schema_version for r in rows])
    popularity = _integers("popularity", [r.popularity for r in rows])
    times = column("event_time", [r.event_time for r in rows], pl.String)
    released = column("release_date", [r.release_date for r in rows], pl.String)
    return [
        column("event_id", [r.event_id for r in rows], pl.String),
        _parse_times(times),
        column("event_type", [r.event_type for r in rows], pl.String),
        column("country", [r.country for r in rows], pl.String),
        column("track_id", [r.track_id for r in rows], pl.String),
        column("track_name", [r.track_name for r in rows], pl.String),
        column("artist_name", [r.artist_name for r in rows], pl.String),
        _integers("count", [r.count for r in rows]),
        column("source", [r.source for r in rows], pl.String),
        popularity.clip(-1, 101).cast(pl.Int16),  # out of range stays so
        column("artist_id", [r.artist_id for r in rows], pl.String),
        column("album_name", [r.album_name for r in rows], pl.String),
        *_parse_dates(released),
        versions.is_in(SCHEMA_VERSIONS),
    ]


def _integers(name: str, values: Sequence[int | None]) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=pl.Int64, strict=True)
    except (OverflowError, pl.exceptions.PolarsError, TypeError):
        # One of more than 64 bits: out of range, found again for the record alone.
        held = [v if v is None else min(max(v, -1), MAX_COUNT + 1) for v in values]
        return pl.Series(name, held, dtype=pl.Int64, strict=True)


def _parse_times(text: pl.Series) -> pl.Series:
    # With six digits in most of them, as `encode` writes, polars is five times faster.
    six = (text.str.len_bytes() == len("2000-01-01T00:00:00.000000Z")).sum()
    times = text.str.to_datetime(
        _SIX_DIGITS if 2 * six > len(text) else _ANY_DIGITS,
        time_unit="us",
        time_zone="UTC",
        strict=False,
    )
    other = (times.is_null() | ~text.str.contains(_CANONICAL_TIME)).arg_true()
    if other.is_empty():
        return times
    parsed = [_parse_time(item) for item in text.gather(other).to_list()]
    return times.scatter(other, pl.Series(parsed, dtype=UTC_MICROSECONDS))


def _parse_time(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone
    leap = clock.endswith(":60")
    clock = clock[:-2] + "59" if leap else clock
    try:
        parsed = datetime.fromisoformat(f"{day}T{clock}{(fraction or '')[:7]}{zone}")
        parsed = parsed.astimezone(UTC) + timedelta(seconds=leap)
    except ValueError:
        return None
    except OverflowError:  # before the year 1 or after 9999: out of range in any case
        return (
            datetime.min.replace(tzinfo=UTC) if zone[0] == "+" else datetime.max.replace(tzinfo=UTC)
        )
    # A leap second ends a month of UTC. It counts as the second after it, as in POSIX time.
    ends_month = (parsed.day, parsed.hour, parsed.minute, parsed.second) == (1, 0, 0, 0)
    return parsed if ends_month or not leap else None


def _parse_dates(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the dates and whether each text was one (a null is)."""
    if text.null_count() == len(text):
        return text.cast(pl.Date), pl.Series("_dated", [True], dtype=pl.Boolean).new_from_index(
            0, len(text)
        ).alias("_dated")
    parts = text.str.len_bytes()
    padded = (
        pl.when(parts == 4)
        .then(text + "-01-01")
        .when(parts == 7)
        .then(text + "-01")
        .otherwise(text)
    )
    frame = text.to_frame().select(
        dates=padded.str.to_date("%Y-%m-%d", strict=False),
        shaped=pl.col(text.name).str.contains(f"^(?:{_DATE.pattern})$"),
    )
    dates = frame["dates"].alias(text.name)
    held = dates.dt.year().fill_null(0) > 0  # no store has a year 0
    dated = text.is_null() | (frame["shaped"].fill_null(False) & held)
    return dates, dated.alias("_dated")


def _is_valid(clock_skew: timedelta) -> pl.Expr:
    return (
        pl.col("_supported")
        & (pl.col("event_time") >= EARLIEST_TIME).fill_null(False)
        & (pl.col("event_time") <= pl.col("append_time") + clock_skew)
        & pl.col("event_type").is_in(EVENT_TYPES)
        & pl.col("country").is_in(sorted(COUNTRIES))
        & (pl.col("event_id") != "")
        & (pl.col("track_id") != "")
        & pl.col("count").is_between(1, MAX_COUNT)
        & pl.col("popularity").is_between(0, 100).fill_null(True)
        & pl.col("_dated")
    )


def _is_text(frame: pl.DataFrame) -> pl.Series | pl.Expr:
    """Return which valid records are UTF-8 throughout.

    The typed decoder passes over unknown fields without looking at their bytes.
    """
    try:
        frame.filter("_valid")["value"].cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series([_is_utf8(value) for value in frame["value"].to_list()], dtype=pl.Boolean)
    return pl.lit(True)


def _has_long_text(record: _Record | None, size: int) -> bool:
    if record is None or size <= MAX_TEXT_BYTES:
        return False
    return any(len((getattr(record, name) or "").encode()) > MAX_TEXT_BYTES for name in _TEXT)


def _opened(value: bytes) -> int:
    """Return how many objects and arrays begin, at the most."""
    return value.count(b"{") + value.count(b"[")


def _depth(value: bytes) -> int:
    """Return how many objects and arrays are open at once; 0 when there are few at all."""
    if _opened(value) <= MAX_DEPTH:
        return 0
    marks = np.frombuffer(_TEXT_IN_JSON.sub(b"", value), np.uint8)
    opened = np.isin(marks, (ord("{"), ord("["))).astype(np.int64)
    closed = np.isin(marks, (ord("}"), ord("]"))).astype(np.int64)
    return int((opened - closed).cumsum().max(initial=0))


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _explain_failures(frame: pl.DataFrame, ahead: Ahead) -> pl.DataFrame:
    failed = (~frame["_valid"]).arg_true()
    rows = [
        (index, *_explain(value, append_time, ahead))
        for index, value, append_time in zip(
            failed.to_list(),
            frame["value"].gather(failed).to_list(),
            frame["append_time"].gather(failed).to_list(),
            strict=True,
        )
    ]
    explained = pl.DataFrame(
        rows,
        schema={
            "_row": pl.UInt32,
            "_kind": pl.String,
            "_time": UTC_MICROSECONDS,
            "reason": pl.String,
            "detail": pl.String,
        },
        orient="row",
    )
    return (
        frame.with_row_index("_row")
        .join(explained, on="_row", how="left", maintain_order="left")
        .with_columns(pl.when("_valid").then(pl.col(name)).alias(name) for name in EVENT_COLUMNS)
        .with_columns(
            kind=pl.coalesce("_kind", "kind"), event_time=pl.coalesce("event_time", "_time")
        )
    )


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    for name in ("reason", "detail"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, pl.String).alias(name))
    originals = [name for name in frame.columns if name[0] != "_" and name not in DECODED_COLUMNS]
    return frame.select(*originals, *DECODED_COLUMNS)


def _explain(
    value: bytes | None, append_time: datetime, ahead: Ahead
) -> tuple[str, datetime | None, str | None, str | None]:
    """Return kind, heartbeat time, reason and detail of a record that is not a valid event."""

    def dead(reason: Reason, detail: str) -> tuple[str, None, str, str]:
        return Kind.DEAD_LETTER.value, None, reason.value, detail

    if value is None or not value.strip():
        return dead(Reason.EMPTY, "the record has no value")
    noted = said(value)
    if noted is not None:
        return dead(*noted)
    value = original(value) or b""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        return dead(Reason.NOT_UTF8, f"byte {error.start}: {error.reason}")
    if _depth(value) > MAX_DEPTH:
        return dead(Reason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")
    try:
        content = msgspec.json.decode(value)
    except msgspec.ValidationError:  # it came to a number that is out of all range
        try:
            content = json.loads(value, parse_int=_saturated)
        except ValueError as error:
            return dead(Reason.NOT_JSON, str(error))
    except msgspec.DecodeError as error:
        return dead(Reason.NOT_JSON, str(error))
    if not isinstance(content, dict):
        return dead(Reason.WRONG_TYPE, f"expected an object, got {type(content).__name__}")
    if "schema_version" not in content:
        return dead(Reason.MISSING_FIELD, "schema_version")
    version = content["schema_version"]
    if type(version) is not int:
        return dead(Reason.WRONG_TYPE, "schema_version: expected an integer")
    if version not in SCHEMA_VERSIONS:
        return dead(Reason.UNSUPPORTED_SCHEMA_VERSION, f"schema_version {version}")
    if content.get("control") == _HEARTBEAT:
        time = content.get("event_time")
        parsed = _parse_time(time) if isinstance(time, str) else None
        if parsed is None:
            return dead(Reason.WRONG_TYPE, "heartbeat without a valid event_time")
        if not EARLIEST_TIME <= parsed <= LATEST_TIME:
            return dead(Reason.OUT_OF_RANGE, f"heartbeat of {parsed.isoformat()}")
        if parsed > append_time + ahead.heartbeat:
            return dead(Reason.FUTURE_HEARTBEAT, f"heartbeat of {parsed.isoformat()}")
        return Kind.HEARTBEAT.value, parsed, None, None
    return dead(*(_explain_fields(content, append_time + ahead.event) or _refused(value)))


def _saturated(digits: str) -> int:
    """Return an integer, or one beyond every limit: Python does not read thousands of digits."""
    return int(digits) if len(digits) < 40 else int(digits[0] + "9" * 39)


def _refused(value: bytes) -> tuple[Reason, str]:
    """Say what the typed decoder does not like in a record whose fields are all right.

    It reads every occurrence of a repeated field; the last one alone counts.
    """
    try:
        _decode_record(value)
    except msgspec.DecodeError as error:
        return Reason.WRONG_TYPE, str(error)
    raise AssertionError("refused without a reason")


def _explain_fields(content: dict[str, object], latest: datetime) -> tuple[Reason, str] | None:
    """Return what is wrong with the fields of an event; None when nothing is."""
    for name in _REQUIRED:
        if name not in content or content[name] is None:
            return Reason.MISSING_FIELD, name
    for name in _REQUIRED[1:]:
        if not isinstance(content[name], str):
            return Reason.WRONG_TYPE, f"{name}: expected text, got {type(content[name]).__name__}"
    for name in _OPTIONAL_TEXT:
        if not isinstance(content.get(name), str | None):
            return Reason.WRONG_TYPE, f"{name}: expected text, got {type(content[name]).__name__}"
    for name in _TEXT:
        text = content.get(name)
        if isinstance(text, str) and len(text.encode()) > MAX_TEXT_BYTES:
            return Reason.OUT_OF_RANGE, f"{name} is longer than {MAX_TEXT_BYTES} bytes"
    for name in ("event_id", "track_id"):
        if content[name] == "":
            return Reason.OUT_OF_RANGE, f"{name} is empty"
    for name, low, high in (("count", 1, MAX_COUNT), ("popularity", 0, 100)):
        number = content.get(name, low)
        if number is None and name == "popularity":
            continue
        if type(number) is not int:
            return Reason.WRONG_TYPE, f"{name}: expected an integer"
        if not low <= number <= high:
            return Reason.OUT_OF_RANGE, f"{name}: {str(number)[:40]} is not in {low}..{high}"
    if content["event_type"] not in EVENT_TYPES:
        return Reason.UNKNOWN_EVENT_TYPE, str(content["event_type"])[:100]
    if content["country"] not in COUNTRIES:
        return Reason.UNKNOWN_COUNTRY, str(content["country"])[:100]
    time = _parse_time(str(content["event_time"]))
    if time is None:
        return Reason.WRONG_TYPE, "event_time: expected RFC 3339 with a time zone"
    if time < EARLIEST_TIME:
        return Reason.OUT_OF_RANGE, f"event_time {time.isoformat()}"
    if time > latest:
        return Reason.FUTURE_EVENT_TIME, f"event_time {time.isoformat()}"
    released = content.get("release_date")
    if isinstance(released, str) and not _is_date(released):
        return Reason.WRONG_TYPE, "release_date: expected YYYY, YYYY-MM or YYYY-MM-DD"
    return None


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat((text + "-01-01")[:10] if len(text) != 7 else text + "-01")
    except ValueError:
        return False
    return True
