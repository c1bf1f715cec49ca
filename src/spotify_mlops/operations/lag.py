"""How far the streaming job is behind the log: in records and in event time, per partition.

What the job has answered for is read from one of two places. A running job leaves a report in
the state directory of its machine every second. Without one (the job has ended, or runs
elsewhere) there is its saved position, which moves with the windows that it writes. Neither is
newer than it says: whoever reads the lag is told the age.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

from ..config import paths
from ..config.params import Params
from ..domain.events import LOG_COLUMNS, Ahead, Kind, decode
from ..io import files, kafka
from ..io.local import processes, running, state
from ..pipeline.job import Unreadable
from ..pipeline.position import Position
from ..pipeline.sinks import positions

REPORT_SECONDS = 1.0
_LAST_RECORDS = 200
"""How many records of a partition's end are looked at for its newest event time."""

_log = logging.getLogger(__name__)


class LagReport(msgspec.Struct, frozen=True):
    """What a running job says of itself."""

    pid: int
    identity: str | None
    """Tells this process from a later one with the same pid."""
    written_at: datetime
    position: Position
    read: dict[int, int] | None = None
    """Per partition, the next record to read; None where workers elsewhere read."""
    pending: int | None = None
    """Windows that are closed and not yet written, where that is known."""
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True)
class PartitionLag:
    """One partition's lag; event times are UTC."""

    partition: int
    end: int
    """The offset after the log's last record."""
    records: int
    """Records of the log that are not in every raw sink."""
    unread: int | None
    """Of them, those that a running job has not read."""
    newest: datetime | None
    """The newest event time (or heartbeat) at the log's end; None if it has only dead letters."""
    mark: datetime | None
    """The event time up to which the records are in every raw sink."""
    seconds: float | None
    """Of event time from ``mark`` to ``newest``: 0 when there is no record to wait for."""


@dataclass(frozen=True)
class Lag:
    """What is known, from where, and how old it is."""

    source: Literal["job", "position", "none"]
    age_seconds: float | None
    written_until: datetime | None
    """Windows that start before this are written."""
    pending: int | None
    """Windows that a running job has closed and not yet written."""
    partitions: tuple[PartitionLag, ...]
    unreadable: tuple[Unreadable, ...] = ()
    """The partitions that a running job cannot read for now."""

    @property
    def records(self) -> int:
        """Return how many records are not answered for yet."""
        return sum(partition.records for partition in self.partitions)

    @property
    def seconds(self) -> float | None:
        """Return the largest lag in event time; None when a partition's is not known."""
        known = [partition.seconds for partition in self.partitions]
        return max((s for s in known if s is not None), default=0.0) if None not in known else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"records": self.records, "seconds": self.seconds}


def write_report(
    params: Params,
    position: Position,
    *,
    read: dict[int, int] | None = None,
    pending: int | None = None,
    unreadable: tuple[Unreadable, ...] = (),
) -> None:
    """Leave the report of the job that this process runs or watches (see `LagReport`).

    A report that cannot be written is a lag that cannot be read: no reason to end the job.
    """
    pid = os.getpid()
    report = LagReport(
        pid,
        running.identity(pid),
        datetime.now(UTC),
        position,
        read,
        pending,
        unreadable,
    )
    path = _report_file(params)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_bytes(msgspec.json.encode(report))
        partial.replace(path)
    except OSError as error:
        _log.warning("%s: %s", path, error)


def measure(params: Params) -> Lag:
    """Return the lag of the params' streaming job, running or not.

    Raises:
        ServiceError: Kafka does not answer, or there is no such topic.
        IntegrityError: the saved position is damaged.
    """
    report = _running(params)
    ends = {p: high for p, (_, high) in kafka.offsets(params).items()}
    last = newest(params, ends)
    now = datetime.now(UTC)
    if report is not None:
        age = (now - report.written_at).total_seconds()
        return _lag("job", max(age, 0.0), report.position, ends, last, report)
    position = positions.load(params)
    if position is None:
        return _lag("none", None, Position({}, {}), ends, last)
    written = files.modified(positions.position_file(params)) or now.timestamp()
    age = now.timestamp() - written
    return _lag("position", max(age, 0.0), position, ends, last)


def _lag(
    source: Literal["job", "position", "none"],
    age: float | None,
    position: Position,
    ends: Mapping[int, int],
    tails: Mapping[int, datetime],
    report: LagReport | None = None,
) -> Lag:
    partitions = []
    for partition, end in sorted(ends.items()):
        records = max(end - position.acknowledged.get(partition, 0), 0)
        read = report.read if report else None
        unread = None if read is None else max(end - read.get(partition, 0), 0)
        mark, last = position.acknowledged_marks.get(partition), tails.get(partition)
        seconds = None if mark is None or last is None else max((last - mark).total_seconds(), 0.0)
        partitions.append(
            PartitionLag(partition, end, records, unread, last, mark, seconds if records else 0.0)
        )
    pending = report.pending if report else None
    unreadable = report.unreadable if report else ()
    return Lag(source, age, position.write_from, pending, tuple(partitions), unreadable)


def _running(params: Params) -> LagReport | None:
    """Return the report of a job that runs on this machine now."""
    try:
        report = msgspec.json.decode(_report_file(params).read_bytes(), type=LagReport)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    record = state.Record("stream", pid=report.pid, identity=report.identity)
    return report if processes.is_alive(record) else None


def _report_file(params: Params) -> Path:
    return paths.state_dir() / "run" / f"{params.kafka.topic}-{params.bigquery.dataset}.report.json"


def newest(params: Params, ends: Mapping[int, int]) -> dict[int, datetime]:
    """Return the newest event time among the last records of each partition."""
    first = {p: max(end - _LAST_RECORDS, 0) for p, end in ends.items()}
    rows = [
        (partition, offset, message.timestamp()[1] * 1000, message.value())
        for records in kafka.read(params, first)
        for partition, offset, message in records
    ]
    batch = pl.DataFrame(rows, schema=LOG_COLUMNS, orient="row")
    events = decode(batch, Ahead.of(params.windows)).filter(pl.col("kind") != Kind.DEAD_LETTER)
    return dict(events.group_by("partition").agg(pl.col("event_time").max()).iter_rows())
