"""What the log has when a source of files begins to publish: its marks, and what is known.

A mark is the highest event time (or heartbeat) of a partition: an event older than it less
``allowed_lateness`` is late. Known is what this source has published before, whoever is between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..config.params import Params
from ..domain.events import LOG_COLUMNS, Ahead, Kind, decode
from ..domain.watermark import Marks, mark
from ..io.kafka import offsets, read


class _Named(msgspec.Struct, gc=False):
    event_id: str
    source: str


_decode_name = msgspec.json.Decoder(_Named).decode


@dataclass
class Standing:
    """The state of the log at its end of now.

    Attributes:
        marks: by partition; None where it has nothing that sets one.
        ends: by partition, the offset after its last record.
        unsettled: of a run that was cut off, its records by partition, and how many were late.
    """

    marks: Marks
    ends: dict[int, int]
    unsettled: pl.DataFrame
    _known: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    @classmethod
    def read(
        cls, params: Params, source: str, entries: Mapping[str, Mapping[str, Any]]
    ) -> Standing:
        """Read what has to be known of the log.

        Args:
            params: which log.
            source: the ``source`` of the events that are asked for.
            entries: of the journal.

        Raises:
            ServiceError: Kafka does not answer.
        """
        extent = offsets(params)
        marked, marks = _checkpoint(entries, extent)
        ours = [entry for key, entry in entries.items() if key.split(":")[0] == source]
        began = _earliest([entry["start"] for entry in ours if "start" in entry], extent)
        cut_off = _earliest(
            [entry["run"] for entry in ours if entry["state"] == "publishing" and "run" in entry],
            extent,
        )
        # A run that was cut off is judged again from marks that were true before it.
        if any(cut_off[p] < marked[p] for p in extent):
            marked, marks = {p: low for p, (low, _) in extent.items()}, dict.fromkeys(extent)
        first = {p: min(marked[p], began[p]) for p in extent}
        known: list[NDArray[np.uint64]] = []
        unsettled: list[pl.DataFrame] = []
        for records in read(params, first):
            values = [message.value() or b"" for _, _, message in records]
            names = _names(source, values)
            keys = pl.Series([message.key() for _, _, message in records], dtype=pl.Binary)
            named = names.is_not_null()
            tracks = keys.filter(named).cast(pl.String, strict=False)
            known.append(digests(names.filter(named), tracks))
            if any(offset >= marked[partition] for partition, offset, _ in records):
                frame = _frame(records, values).with_columns(names.alias("name"))
                later, marks = _marked(params, _from(frame, marked), marks)
                unsettled.append(_from(later, cut_off).select("partition", "late"))
        nothing = pl.DataFrame(schema={"partition": pl.Int32, "late": pl.Boolean})
        digest = np.concatenate([np.empty(0, np.uint64), *known])
        digest.sort()
        ends = {p: high for p, (_, high) in extent.items()}
        return cls(marks, ends, pl.concat([nothing, *unsettled]), digest)

    def is_known(self, events: pl.DataFrame) -> pl.Series:
        """Return which events (``EVENT_COLUMNS``) this source has published before."""
        if not self._known.size:
            return pl.repeat(False, events.height, eager=True)
        found = digests(events["event_id"], events["track_id"])
        place = np.searchsorted(self._known, found)
        inside = place < self._known.size
        inside[inside] = self._known[place[inside]] == found[inside]
        return pl.Series(inside)

    def is_late(self, events: pl.DataFrame, allowed_lateness: timedelta) -> pl.Series:
        """Return which events (``partition``, ``event_time``; in order of time) come late."""
        threshold = self.threshold(allowed_lateness)
        if threshold is None or events.is_empty() or events["event_time"][0] >= threshold:
            return pl.repeat(False, events.height, eager=True).alias("late")
        placed = events.with_columns(kind=pl.lit(Kind.EVENT.value))
        return mark(placed, self.marks, allowed_lateness)[0]["late"]

    def threshold(self, allowed_lateness: timedelta) -> datetime | None:
        """Return the time from which on no event is late in any partition."""
        known = [mark for mark in self.marks.values() if mark is not None]
        return max(known) - allowed_lateness if known else None


def digests(names: pl.Series, keys: pl.Series) -> NDArray[np.uint64]:
    """Return digests of events by identifier and track; they are compared within one process."""
    return names.hash(1).to_numpy() ^ (keys.hash(2).to_numpy() >> np.uint64(1))


def _marked(params: Params, frame: pl.DataFrame, marks: Marks) -> tuple[pl.DataFrame, Marks]:
    """Say of records which are late events, and move the marks past them."""
    stamps = pl.col("append_time").cast(pl.Datetime("ms")).cast(pl.Datetime("us"))
    batch = frame.with_columns(append_time=stamps.dt.replace_time_zone("UTC")).select(
        *LOG_COLUMNS, "name"
    )
    decoded = decode(batch, Ahead.of(params.windows))
    judged, after = mark(decoded, marks, params.windows.allowed_lateness)
    return judged.filter(pl.col("name").is_not_null()), after


def _names(source: str, values: Iterable[bytes]) -> pl.Series:
    """Return the identifiers of the events of a source; null for other records."""
    names: list[str | None] = []
    for value in values:
        try:
            named = _decode_name(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            names.append(None)
        else:
            names.append(named.event_id if named.source == source else None)
    return pl.Series(names, dtype=pl.String)


def _frame(records: Sequence[tuple[int, int, Any]], values: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "partition": [partition for partition, _, _ in records],
            "offset": [offset for _, offset, _ in records],
            "value": values,
            "append_time": [message.timestamp()[1] for _, _, message in records],
        },
        schema={
            "partition": pl.Int32, "offset": pl.Int64, "value": pl.Binary, "append_time": pl.Int64,
        },
    )  # fmt: skip


def _from(frame: pl.DataFrame, starts: Mapping[int, int]) -> pl.DataFrame:
    """Return the records at or after some offsets."""
    first = pl.DataFrame(
        {"partition": list(starts), "_first": list(starts.values())},
        schema={"partition": pl.Int32, "_first": pl.Int64},
    )
    joined = frame.join(first, "partition", how="left", maintain_order="left")
    return joined.filter(pl.col("offset") >= pl.col("_first")).drop("_first")


def _checkpoint(
    entries: Mapping[str, Mapping[str, Any]], extent: Mapping[int, tuple[int, int]]
) -> tuple[dict[int, int], Marks]:
    """Return the latest offsets at which an entry says the marks, and the marks."""
    marked = {p: low for p, (low, _) in extent.items()}
    marks: Marks = dict.fromkeys(extent)
    for entry in entries.values():
        if "marks" not in entry:
            continue
        ends = {int(p): end for p, end in entry["ends"].items()}
        if ends.keys() == marked.keys() and all(ends[p] >= marked[p] for p in marked):
            marked = ends
            said = {int(p): text for p, text in entry["marks"].items()}
            marks = {p: text and datetime.fromisoformat(text) for p, text in said.items()}
    return marked, marks


def _earliest(
    starts: Iterable[Mapping[str, int]], extent: Mapping[int, tuple[int, int]]
) -> dict[int, int]:
    """Return the earliest of some offsets by partition; the log's end where there are none."""
    earliest = {p: high for p, (_, high) in extent.items()}
    for start in starts:
        for partition, offset in start.items():
            earliest[int(partition)] = min(earliest.get(int(partition), offset), offset)
    return {p: earliest[p] for p in extent}


def as_text(marks: Marks) -> dict[str, str | None]:
    """Return marks as the journal keeps them."""
    return {
        str(p): None if mark is None else mark.astimezone(UTC).isoformat()
        for p, mark in marks.items()
    }
