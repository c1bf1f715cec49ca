"""The steps of the graph as pure functions on columns.

``transforms.py`` wraps each in a PTransform of the same name. All of them take many windows at
once and give what they would give for one window at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from ..config.errors import IntegrityError
from ..config.sections import Windows
from ..domain import features
from ..domain.events import Kind
from ..domain.events.schema import UTC_MICROSECONDS
from ..domain.hashing import crc32
from ..domain.schemas import COUNTED_SCHEMA, Schema
from ..domain.windows import EPOCH, Windowing

_SLIM = (
    "window_start",
    "event_id",
    "event_time",
    "event_type",
    "country",
    "track_id",
    "track_name",
    "artist_name",
    "count",
    "popularity",
    "release_date",
    "partition",
    "offset",
)
"""What of an event the window branch needs."""

SLOTS = 64
"""A shard has the tracks of some slots. Records are counted by slot, so that the counters do not
depend on the number of shards either."""
CLOSING_SCHEMA: Schema = {
    "source": pl.Int32,
    "closed_until": UTC_MICROSECONDS,
    "window_start": UTC_MICROSECONDS,  # null where the source sent nothing
    "sent": pl.Int64,
}


@dataclass(frozen=True)
class Buckets:
    """Stretches of some windows each, and from a moment on of one.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> buckets = Buckets(Windowing(timedelta(hours=1)), windows=5, single_from=noon)
    >>> for hour in (7, 11, 12):
    ...     start = buckets.start(noon.replace(hour=hour, minute=30))
    ...     print(f"{start:%H:%M} to {buckets.end(start):%H:%M}")
    07:00 to 12:00
    07:00 to 12:00
    12:00 to 13:00
    """

    windowing: Windowing
    windows: int = 1
    single_from: datetime | None = None
    """The start of a window, at which a stretch ends; None for stretches only."""

    def at(self, time: datetime) -> Windowing:
        """Return how long buckets are where ``time`` is, and where they begin."""
        single = self.single_from is not None and time >= self.single_from
        return self.windowing if single else self._stretches

    def start(self, time: datetime) -> datetime:
        """Return the start of the bucket that holds ``time``."""
        return self.at(time).start(time)

    def end(self, start: datetime) -> datetime:
        """Return the end of the bucket that begins at ``start``."""
        return start + self.at(start).length

    def start_expr(self, column: str) -> pl.Expr:
        """Return the bucket starts of a UTC microsecond datetime column."""
        stretches, single = self._stretches, self.windowing
        return self._either(column, stretches.start_expr(column), single.start_expr(column))

    def number_expr(self, column: str) -> pl.Expr:
        """Return numbers (Int64) that neighbours of one length have one after the other."""
        start = self.start_expr(column).dt.epoch("us")
        window = self.windowing.length // timedelta(microseconds=1)
        return self._either(column, start // (window * self.windows), start // window)

    def _either(self, column: str, stretches: pl.Expr, single: pl.Expr) -> pl.Expr:
        if self.single_from is None:
            return stretches
        return pl.when(pl.col(column) >= self.single_from).then(single).otherwise(stretches)

    @property
    def _stretches(self) -> Windowing:
        length, offset = self.windowing.length * self.windows, self.windowing.offset
        if self.single_from is not None:
            offset = (self.single_from - EPOCH) % length
        return Windowing(length, offset)


@dataclass(frozen=True)
class Shape:
    """How the work is cut. The results depend on ``windowing`` and ``inputs`` alone."""

    windowing: Windowing
    inputs: features.Inputs
    shards: int
    windows_per_element: int = 1
    """Windows in one element: 1 in the live job, many in a bounded run."""
    sources: int = 1
    """Source elements, each with partitions of its own."""
    single_from: datetime | None = None
    """Windows that start here or later are elements of their own: what came before is a backlog."""

    @classmethod
    def of(cls, windows: Windows, windows_per_element: int = 1, sources: int = 1) -> Shape:
        """Return how the params cut the work."""
        windowing, inputs = Windowing.of(windows), features.Inputs.of(windows)
        return cls(windowing, inputs, windows.shards, windows_per_element, sources)

    @property
    def lags(self) -> tuple[int, ...]:
        """Return the earlier windows that a row is sent on from."""
        return self.inputs.lags

    @property
    def buckets(self) -> Buckets:
        """Return the buckets: the windows of an element, by which Beam groups."""
        return Buckets(self.windowing, self.windows_per_element, self.single_from)

    def bucket_time(self, start: datetime) -> int:
        """Return a bucket's last microsecond since the epoch: the timestamp of its elements.

        It lies in the bucket's last window, which is the one that Beam knows it by.
        """
        return (self.buckets.end(start) - EPOCH) // timedelta(microseconds=1) - 1


class Piece(NamedTuple):
    """A part of a frame for one key, in one bucket."""

    key: int
    bucket: datetime
    frame: pl.DataFrame


def slot_of(track_ids: pl.Series) -> pl.Series:
    """Return the slot of each track (Int64)."""
    return (crc32(track_ids) % SLOTS).cast(pl.Int64)


def _pieces(frame: pl.DataFrame, key: pl.Expr | pl.Series, shape: Shape) -> Iterator[Piece]:
    keyed = frame.with_columns(_key=key, _bucket=shape.buckets.start_expr("window_start"))
    for (name, bucket), part in keyed.partition_by(
        ["_key", "_bucket"], as_dict=True, include_key=False
    ).items():
        yield Piece(name, bucket, part)


def events(marked: pl.DataFrame, windowing: Windowing) -> pl.DataFrame:
    """Return the events of a marked batch, late ones too, with ``window_start``."""
    return marked.filter(pl.col("kind") == Kind.EVENT).with_columns(
        window_start=windowing.start_expr("event_time")
    )


def at_or_after(batch: pl.DataFrame, offsets: Mapping[int, int]) -> pl.DataFrame:
    """Return the records at or after their partition's offset; all of a partition without one."""
    if not offsets:
        return batch
    first = pl.col("partition").replace_strict(list(offsets), list(offsets.values()), default=0)
    return batch.filter(pl.col("offset") >= first)


def keep_dead_letters(decoded: pl.DataFrame, known: pl.DataFrame | None) -> pl.DataFrame:
    """Make dead letters of the records that were answered for as such, whatever they are now.

    Args:
        decoded: what ``events.decode`` gives.
        known: ``partition``, ``offset``, ``reason`` and ``detail`` of them.
    """
    if known is None or known.is_empty() or decoded.is_empty():
        return decoded
    place = ["partition", "offset"]
    found = decoded.select(place).with_row_index("_row").join(known, on=place)
    if found.is_empty():
        return decoded
    kind = decoded["kind"].scatter(found["_row"], Kind.DEAD_LETTER.value)
    reason = decoded["reason"].scatter(found["_row"], found["reason"])
    detail = decoded["detail"].scatter(found["_row"], found["detail"])
    return decoded.with_columns(kind, reason, detail)


def by_shard(events: pl.DataFrame, shape: Shape) -> Iterator[Piece]:
    """Cut the events that are in time by shard and bucket.

    >>> from datetime import UTC
    >>> hour = datetime(2026, 1, 5, 10, tzinfo=UTC)
    >>> events = pl.DataFrame({"window_start": [hour] * 3, "track_id": ["t", "u", "v"],
    ...     "late": [False, False, True]}).with_columns(
    ...     pl.lit(None).alias(name) for name in _SLIM if name not in ("window_start", "track_id"))
    >>> shape = Shape(Windowing(timedelta(hours=1)), features.Inputs((1,), ("CO",)), shards=4)
    >>> for shard, bucket, frame in by_shard(events, shape):
    ...     print(shard, bucket, frame["track_id"].to_list(), frame["slot"].to_list())
    0 2026-01-05 10:00:00+00:00 ['t'] [40]
    2 2026-01-05 10:00:00+00:00 ['u'] [62]
    """
    timely = events.filter(~pl.col("late")).select(_SLIM)
    if timely.height:
        timely = timely.with_columns(slot=slot_of(timely["track_id"]))
        yield from _pieces(timely, pl.col("slot") % shape.shards, shape)


Sent = Mapping[datetime, Sequence[int]]
"""Per window, the events that were sent to each shard."""


def count_sent(pieces: Iterable[Piece], sent: Sent, shape: Shape) -> dict[datetime, list[int]]:
    """Add pieces of ``by_shard`` to what was sent before."""
    counted = {window: list(rows) for window, rows in sent.items()}
    buckets = shape.buckets
    for shard, bucket, frame in pieces:
        one = buckets.at(bucket) == shape.windowing
        for window, rows in (
            [(bucket, frame.height)] if one else frame.group_by("window_start").len().iter_rows()
        ):
            counted.setdefault(window, [0] * shape.shards)[shard] += rows
    return counted


def closing(
    sent: Sent, source: int, closed_until: datetime, shape: Shape, quiet: Iterable[datetime] = ()
) -> Iterator[Piece]:
    """Tell every shard up to when a source has closed the log, and how much it sent there.

    Args:
        sent: the windows that it closes now.
        source: which one.
        closed_until: the end of the last.
        shape: how the work is cut.
        quiet: buckets in which it may have nothing, and closes all the same.
    """
    by_bucket: dict[datetime, list[datetime]] = {bucket: [] for bucket in quiet}
    for window in sent:
        by_bucket.setdefault(shape.buckets.start(window), []).append(window)
    for bucket, windows in sorted(by_bucket.items()):
        for shard in range(shape.shards):
            said = {
                "source": source,
                "closed_until": closed_until,
                "window_start": windows or pl.Series([None]),
                "sent": [sent[window][shard] for window in windows] or [0],
            }
            yield Piece(shard, bucket, pl.DataFrame(said, CLOSING_SCHEMA))


def summarise(
    frames: Iterable[pl.DataFrame], shape: Shape
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Drop duplicates and aggregate the closed windows of a shard.

    Args:
        frames: pieces of ``by_shard`` and of ``closing``, in any order.
        shape: how the work is cut.

    Returns:
        The aggregates (one row a window, country and track) and the counters (one row a window,
        slot and partition: records counted and duplicates). A window that is not closed by all
        sources is in neither; None where none is.

    Raises:
        IntegrityError: of a closed window other rows have come than the sources sent.
    """
    parts: list[pl.DataFrame] = []
    closings: list[pl.DataFrame] = []
    for frame in frames:
        (closings if "closed_until" in frame.columns else parts).append(frame)
    closed_until = _closed_until(closings, shape.sources)
    if closed_until is None:
        return None
    is_closed = pl.col("window_start") + shape.windowing.length <= closed_until
    said = pl.concat(closings).filter(is_closed)
    closed = (pl.concat(parts) if parts else said.select("window_start").clear()).filter(is_closed)
    _check_all_came(closed, said)
    if closed.is_empty():
        return _NOTHING
    unique, duplicates = features.dedup(closed)
    counters = (
        pl.concat(
            [
                unique.select("window_start", "slot", "partition", counted=1, duplicates=0),
                duplicates.select("window_start", "slot", "partition", counted=0, duplicates=1),
            ]
        )
        .group_by("window_start", shard="slot", log_partition=pl.col("partition").cast(pl.Int64))
        .agg(pl.col("counted", "duplicates").sum().cast(pl.Int64))
        .select(*COUNTED_SCHEMA)
        .sort("window_start", "shard", "log_partition")
    )
    return features.aggregate(unique), counters


_NOTHING = (pl.DataFrame(schema=features.AGGREGATE_SCHEMA), pl.DataFrame(schema=COUNTED_SCHEMA))


def _closed_until(closings: Sequence[pl.DataFrame], sources: int) -> datetime | None:
    if not closings:
        return None
    last = pl.concat(closings).group_by("source").agg(pl.col("closed_until").max())
    earliest = last["closed_until"].min()
    return earliest if last.height == sources and isinstance(earliest, datetime) else None


def _check_all_came(closed: pl.DataFrame, said: pl.DataFrame) -> None:
    came = closed.group_by("window_start").agg(came=pl.len().cast(pl.Int64))
    sent = said.group_by("window_start").agg(pl.col("sent").sum())
    both = sent.join(came, on="window_start", how="full", coalesce=True).fill_null(0)
    other = both.filter(pl.col("sent") != pl.col("came")).sort("window_start")
    if other.height:
        window, sent_rows, came_rows = other.row(0)
        raise IntegrityError(
            f"De la ventana {window} llegaron {came_rows} eventos y las fuentes enviaron "
            f"{sent_rows}: el motor perdió o repitió filas. Reanuda la tarea desde el registro."
        )


def by_bucket(aggregates: pl.DataFrame, shape: Shape) -> Iterator[Piece]:
    """Cut the aggregates by bucket, its countries together; the next bucket has the next key.

    A country is ranked apart from the others, but its rows in a window are few: one element for
    each would cost four times as much. Workers share the buckets out by their keys.
    """
    if aggregates.height:
        number = shape.buckets.number_expr("window_start")
        yield from _pieces(aggregates, number % shape.shards, shape)


def rank(aggregates: pl.DataFrame, shape: Shape) -> Iterator[Piece]:
    """Rank each country's tracks, and send each row to its own window and on to its lags'.

    Yields:
        Pieces by shard: ranked rows (in their own bucket) and carried ones (with ``lag``).
    """
    ranked = features.rank(aggregates)
    if ranked.is_empty():
        return
    shards = slot_of(ranked["track_id"]) % shape.shards
    yield from _pieces(ranked, shards, shape)
    if shape.lags:
        carried = features.carry(ranked, list(shape.lags), shape.windowing)
        yield from _pieces(carried, pl.concat([shards] * len(shape.lags)), shape)


def build(
    frames: Iterable[pl.DataFrame], shape: Shape, write_from: datetime | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make the features of a shard's windows.

    Args:
        frames: pieces of ``rank`` and the counters of ``summarise``, in any order.
        shape: how the work is cut.
        write_from: earlier windows are left out: they are written already, and were read again
            only for the windows that look back at them.

    Returns:
        The features (one row a window, country and track) and the counters as they came.
    """
    own = [pl.DataFrame(schema=features.RANKED_SCHEMA)]
    carried = [pl.DataFrame(schema=features.CARRIED_SCHEMA)]
    counters = [pl.DataFrame(schema=COUNTED_SCHEMA)]
    for frame in frames:
        if "counted" in frame.columns:
            counters.append(frame)
        elif "lag" in frame.columns:
            carried.append(frame)
        else:
            own.append(frame)
    wanted = pl.lit(True) if write_from is None else pl.col("window_start") >= write_from
    built = features.build(
        pl.concat(own).filter(wanted), pl.concat(carried), shape.inputs, shape.windowing
    )
    return built, pl.concat(counters).filter(wanted).sort("window_start", "shard", "log_partition")
