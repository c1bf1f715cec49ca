"""Records of the log to columns.

Records that are written alike are read by columns (`shapes`), each of the others into a typed
struct; then whole columns are validated. Only a record that fails there is looked at again, to say
what it is. Should the code itself raise, the batch is halved until the record at fault is alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from ...config.errors import one_line
from . import contract, shapes
from .contract import EVENT_COLUMNS, UNREAD, Record
from .refusals import Ahead, Verdict, dead, examine, opened, too_deep
from .schema import (
    EVENT_TYPES,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    SCHEMA_VERSION,
    UTC_MICROSECONDS,
    Kind,
    Reason,
)
from .shapes import ROW
from .values import LATEST, Fault

_decode_record = msgspec.json.Decoder(Record).decode
_SHALLOW_BYTES = 2 * MAX_DEPTH + 100
"""An event that is shorter cannot be too deep: its required fields alone take 100 bytes."""

_Seen = dict[int, Verdict | dict[str, Any]]
"""By row what ``examine`` says of a record."""

DECODED_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "reason": pl.String,
    "detail": pl.String,
} | EVENT_COLUMNS


def decode(batch: pl.DataFrame, ahead: Ahead) -> pl.DataFrame:
    """Turn the records of a batch into columns; every record comes out, in the same order.

    >>> from datetime import UTC, datetime, timedelta
    >>> from spotify_mlops.domain.events import LOG_COLUMNS, encode_heartbeat
    >>> play = {"schema_version": 1, "event_id": "a", "event_time": "2026-01-05T10:00:00Z",
    ...         "event_type": "play", "country": "CO", "track_id": "t", "source": "doc"}
    >>> values = [msgspec.json.encode(event) for event in (play, play | {"country": "Mars"})]
    >>> values.append(encode_heartbeat(datetime(2026, 1, 5, 11, tzinfo=UTC)))
    >>> appended = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> rows = [(0, offset, appended, value) for offset, value in enumerate(values)]
    >>> batch = pl.DataFrame(rows, schema=LOG_COLUMNS, orient="row")
    >>> frame = decode(batch, Ahead(event=timedelta(days=1), heartbeat=timedelta(days=1)))
    >>> for row in frame.select("offset", "kind", "reason", "detail", "count").iter_rows():
    ...     print(row)
    (0, 'event', None, None, 1)
    (1, 'dead_letter', 'unknown_country', 'Mars', None)
    (2, 'heartbeat', None, None, None)

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
    columns, refused, seen = _read(batch, ahead)
    frame = batch.with_columns(
        *columns, (pl.col("append_time") + ahead.event).alias(LATEST)
    ).with_columns(kind=pl.lit(Kind.EVENT.value), _valid=contract.valid() & pl.col("_text"))
    doubtful = (~frame["_valid"]).arg_true()
    if doubtful.is_empty():
        return _ordered(frame)
    rows = doubtful.to_list()
    seen |= _examined(batch, [row for row in rows if row not in seen], ahead)
    verdicts: dict[int, Verdict] = {}
    for row, flags in zip(rows, contract.held(frame[doubtful]).iter_rows(), strict=True):
        found = seen[row]
        if isinstance(found, Verdict):
            verdicts[row] = found
        elif fault := contract.broken(found, flags) or refused.get(row):
            verdicts[row] = dead(fault)
    return _ordered(_judged(frame, verdicts))


def _read(batch: pl.DataFrame, ahead: Ahead) -> tuple[list[pl.Series], dict[int, Fault], _Seen]:
    """Read a batch: most records by their shape, the others one by one.

    Returns:
        What `contract.columns` makes of each record and ``_text``, whether it is UTF-8; and by
        row what the typed decoder has against some, and what ``examine`` says of those.
    """
    alike = shapes.read(batch["value"]).with_columns(_text=True)
    if alike.height == batch.height:
        return _columns(alike), {}, {}
    rows = _missing(alike[ROW], batch.height)
    others = batch[rows]
    records, refused = _typed(others)
    seen = _examined(others, list(refused), ahead)
    for place, found in seen.items():
        records[place] = UNREAD if isinstance(found, Verdict) else contract.leniently(found)
    # The typed decoder passes over unknown fields without looking at their bytes.
    singly = contract.written(records).with_columns(rows, _text=shapes.is_text(others["value"]))
    both = pl.concat([alike, singly.select(alike.columns)]).sort(ROW)
    refused = {rows[place]: fault for place, fault in refused.items()}
    return _columns(both), refused, {rows[place]: found for place, found in seen.items()}


def _missing(rows: pl.Series, count: int) -> pl.Series:
    """Return those of the first ``count`` rows that are not among some."""
    missing = pl.repeat(True, count, eager=True).scatter(rows, False)
    return missing.arg_true().cast(rows.dtype).alias(rows.name)


def _columns(written: pl.DataFrame) -> list[pl.Series]:
    return [*contract.columns(written), written["_text"]]


def _typed(batch: pl.DataFrame) -> tuple[list[Record], dict[int, Fault]]:
    """Return what the typed decoder makes of each record, and by row what it has against some.

    It looks at every occurrence of a repeated field; for all else the last one alone counts.
    """
    records: list[Record] = []
    refused: dict[int, Fault] = {}
    append = records.append
    values = batch["value"].to_list()
    for value in values:
        try:
            append(_decode_record(value))
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            found = _mended(value)
            if isinstance(found, Fault):
                refused[len(records)] = found
                found = UNREAD
            append(found)
    # Each event opens one object at least; so few more in the whole batch, and none is too deep.
    events = len(records) - len(refused)
    shallow = opened(b"".join(filter(None, values))) < events + MAX_DEPTH
    large = batch["value"].bin.size("b") > (MAX_TEXT_BYTES if shallow else _SHALLOW_BYTES)
    for row in large.fill_null(False).arg_true().to_list():
        value = values[row]
        if too_deep(value) or (
            len(value) > MAX_TEXT_BYTES and contract.overlong(msgspec.structs.asdict(records[row]))
        ):
            records[row] = UNREAD
    return records, refused


def _mended(value: bytes | None) -> Record | Fault:
    """Return the record of which only something optional cannot be read, or what is wrong."""
    try:
        return contract.mended(value or b"")
    except (ValueError, RecursionError) as error:
        return Fault(Reason.WRONG_TYPE, str(error))


def _examined(batch: pl.DataFrame, rows: list[int], ahead: Ahead) -> _Seen:
    """Return by row what ``examine`` says of some records."""
    values, append_times = (batch[name].gather(rows) for name in ("value", "append_time"))
    return {
        row: examine(value, append_time, ahead)
        for row, value, append_time in zip(rows, values, append_times, strict=True)
    }


def _known_good(batch: pl.DataFrame) -> pl.DataFrame:
    """Return the one record of a batch with an event that is beyond doubt in its place."""
    event = Record(
        schema_version=SCHEMA_VERSION,
        event_id="e",
        event_time="2000-01-01T00:00:00Z",
        event_type=EVENT_TYPES[0],
        country="ES",
        track_id="t",
        source="s",
    )
    value = msgspec.json.encode(event)
    return batch.with_columns(value=pl.lit(value, pl.Binary))


def _poisoned(batch: pl.DataFrame, error: BaseException) -> pl.DataFrame:
    """Return the one record of a batch as a dead letter that names what the code raised."""
    detail = f"{type(error).__name__}: {one_line(error)}"[:300]
    return batch.with_columns(
        pl.lit(Kind.DEAD_LETTER.value).alias("kind"),
        pl.lit(Reason.POISON.value).alias("reason"),
        pl.lit(detail).alias("detail"),
        *(pl.lit(None, dtype).alias(name) for name, dtype in EVENT_COLUMNS.items()),
    )


def _judged(frame: pl.DataFrame, verdicts: dict[int, Verdict]) -> pl.DataFrame:
    """Return the batch with what the verdicts say; a record without one is an event."""
    explained = pl.DataFrame(
        [(row, *verdict) for row, verdict in verdicts.items()],
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
        .with_columns(
            pl.when(pl.col("_kind").is_null()).then(pl.col(name)).alias(name)
            for name in EVENT_COLUMNS
        )
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
