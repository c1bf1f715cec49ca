"""Publishing the events of files: what is new, once, whatever the log has had before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ..config.errors import InputError
from ..config.params import Params
from ..config.progress import Progress
from ..config.spanish import number
from ..domain.events import encode
from ..domain.hashing import partition_of
from ..domain.windows import Windowing
from ..io.kafka import Journal, Publisher, offsets
from ..io.kafka.publishing import PublishingProgress, heartbeat_records
from ..io.local import state
from . import standing
from .ahead import ahead
from .manifest import Tally
from .standing import Standing

Frames = Callable[[], Iterator[pl.DataFrame]]
"""Gives the events (``EVENT_COLUMNS``), in order of time, each time that it is called."""


@dataclass
class Published:
    """What became of the events of an ingest: they add up to ``events``."""

    published: int = 0
    """New in the log, late ones too."""
    skipped: int = 0
    """Published before by the same source."""
    late: int = 0
    """Of the published, those whose windows the log had closed: the job counts them so."""
    late_left_out: int = 0
    """Those that were late and not published for it."""
    heartbeats: int = 0
    closed_until: datetime | None = None
    """Windows that end by then are closed; None where nobody asked for it."""
    manifest: dict[str, dict[str, int]] | None = None
    """All that the source has in the log, as `Tally.by_partition`."""
    seconds: float = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        assert self.manifest is not None
        return {
            "published": self.published,
            "skipped": self.skipped,
            "late": self.late,
            "late_left_out": self.late_left_out,
            "heartbeats": self.heartbeats,
            "seconds": round(self.seconds, 3),
            "closed_until": self.closed_until and self.closed_until.isoformat(),
            "in_log": Tally(self.manifest).totals(),
            "partitions": self.manifest,
        }


def publish_new(
    params: Params,
    source: str,
    frames: Frames,
    *,
    last: datetime,
    expected: int,
    close: bool,
    progress: Progress | None,
    vouched: datetime | None = None,
) -> Published:
    """Publish the events that this source has not published yet.

    Interrupted, it is done again: what is in the log is known by then.

    Args:
        params: the log; ``late_events`` says what is done with what is late.
        source: the ``source`` of the events.
        frames: the events.
        last: the time of the last of them.
        expected: how many there are.
        close: also vouch that nothing more comes of the last window, so that it closes.
        progress: told how far it is, in Spanish.
        vouched: a time before which nothing more comes; without it nobody vouches for one.

    Raises:
        InputError: some are late, and ``late_events`` refuses them.
        ServiceError: Kafka does not answer.
    """
    began = time.monotonic()
    journal = Journal(params)
    # Not the simulator's lock, which its live part holds for weeks: what it writes is told apart.
    with state.locked(f"ingest-files-{params.kafka.topic}"):
        entries = journal.entries()
        log = Standing.read(params, source, entries)
        run = _Run(params, source, log)
        if params.sources.late_events == "refuse":
            run.refuse_late(frames)
        entry: dict[str, Any] = entries.get(source, {})
        starts = {str(p): end for p, end in log.ends.items()}
        tally = Tally(entry.get("manifest"))
        for partition, is_late in log.unsettled.iter_rows():
            tally.add_one(partition, "late" if is_late else "events")
        entry = {
            "state": "publishing",
            "start": entry.get("start", starts),
            "run": starts,
            "manifest": tally.by_partition(),
            "ends": starts,
            "marks": standing.as_text(log.marks),
        }
        journal.write(source, entry)
        with Publisher(params) as publisher:
            report = PublishingProgress(progress, expected)
            for fresh in ahead(map(run.fresh, frames())):
                publisher.send(fresh)
                tally.add(fresh.select("partition", injected=pl.when("late").then(pl.lit("late"))))
                report(publisher)
            if close:
                run.close(publisher, tally, last)
            elif vouched is not None:
                run.vouch(publisher, tally, vouched)
        done = run.done
        done.manifest = tally.by_partition()
        journal.write(source, entry | run.reached(done.manifest))
        done.seconds = time.monotonic() - began
        return done


class _Run:
    """One run of a source."""

    def __init__(self, params: Params, source: str, log: Standing) -> None:
        self._params = params
        self._source = source
        self._log = log
        self._lateness = params.windows.allowed_lateness
        self._marks = dict(log.marks)
        self._sent: Counter[int] = Counter()
        self.done = Published()

    def refuse_late(self, frames: Frames) -> None:
        """Look for late events before the first is published.

        Raises:
            InputError: there are some.
        """
        threshold = self._log.threshold(self._lateness)
        count, first = 0, None
        for frame in frames() if threshold is not None else ():
            if frame["event_time"][0] >= threshold:
                break
            placed = self._placed(frame)
            late = placed.filter(~self._log.is_known(placed) & placed["late"])
            first = first or (late["event_time"][0] if late.height else None)
            count += late.height
        if count:
            raise InputError(
                f"{number(count)} eventos, desde el {first:%Y-%m-%d}, son de ventanas que el tema "
                f"{self._params.kafka.topic} ya ha cerrado (va por el {threshold:%Y-%m-%d}) y "
                "llegarían tarde. Con «--set late_events=publish» se publican y constan como "
                "tardíos; con leave_out se dejan fuera; para contarlos, usa otro topic."
            )

    def fresh(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return those to publish of some events: ``RECORD_COLUMNS`` and ``late``."""
        placed = self._placed(frame)
        known = self._log.is_known(placed)
        self.done.skipped += int(known.sum())
        placed = placed.filter(~known)
        late = int(placed["late"].sum())
        if late and self._params.sources.late_events == "leave_out":
            self.done.late_left_out += late
            placed = placed.filter(~pl.col("late"))
            late = 0
        self.done.late += late
        self.done.published += placed.height
        reached = placed.group_by("partition").agg(pl.len(), pl.col("event_time").max())
        for partition, count, mark in reached.iter_rows():
            self._move(partition, count, mark)
        return placed.select("partition", pl.col("track_id").alias("key"), encode(placed), "late")

    def close(self, publisher: Publisher, tally: Tally, last: datetime) -> None:
        """Close the window of the last event, unless it is closed or not over yet."""
        windowing = Windowing.of(self._params.windows)
        end = windowing.start(last) + windowing.length
        # Nobody vouches for what may still come; beyond the skew it would be a dead letter.
        self.vouch(
            publisher,
            tally,
            min(end + self._lateness, datetime.now(UTC) + self._params.windows.clock_skew),
        )

    def vouch(self, publisher: Publisher, tally: Tally, time: datetime) -> None:
        """Say in each partition that is behind that event time is at least so late."""
        behind = [p for p, mark in self._marks.items() if mark is None or mark < time]
        beats = heartbeat_records(self._params.kafka, time)
        publisher.send(beats.filter(pl.col("partition").is_in(behind)))
        for partition in behind:
            tally.add_one(partition, "heartbeats")
            self._move(partition, 1, time)
        self.done.heartbeats = len(behind)
        self.done.closed_until = min(mark for mark in self._marks.values() if mark) - self._lateness

    def reached(self, manifest: dict[str, dict[str, int]]) -> dict[str, Any]:
        """Return what the journal keeps of a run that has come to its end."""
        known = [mark for mark in self._marks.values() if mark is not None]
        entry: dict[str, Any] = {"state": "complete", "manifest": manifest}
        ends = {p: end + self._sent[p] for p, end in self._log.ends.items()}
        # Where somebody else wrote meanwhile, the marks are those that were true before.
        if ends == {p: high for p, (_, high) in offsets(self._params).items()}:
            entry["ends"] = {str(p): end for p, end in ends.items()}
            entry["marks"] = standing.as_text(self._marks)
        if known:
            entry["closed_until"] = (max(known) - self._lateness).isoformat()
        return entry

    def _placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        partition = partition_of(frame["track_id"], self._params.kafka.partitions)
        placed = frame.with_columns(partition)
        return placed.with_columns(self._log.is_late(placed, self._lateness))

    def _move(self, partition: int, sent: int, time: datetime) -> None:
        self._sent[partition] += sent
        mark = self._marks.get(partition)
        self._marks[partition] = time if mark is None else max(mark, time)
