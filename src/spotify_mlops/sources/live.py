"""The simulator on a clock: the live part after the history, and a steady rate for benches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from ..config.errors import ParamsError
from ..config.params import Params
from ..config.progress import Progress
from ..domain.events import EVENT_COLUMNS
from ..io.kafka import Journal, Publisher, ensure_topic, event_records, offsets
from ..io.kafka.publishing import heartbeat_records
from ..io.local import state
from ..io.local.stopping import stopping
from .ingest import simulator_key
from .manifest import Tally
from .simulator import Simulator, records

TICK_SECONDS = 0.1
PACED_TICK_SECONDS = 0.01
CHECKPOINT_SECONDS = 5.0
REPORT_SECONDS = 30.0


def live(
    params: Params,
    start: datetime | None = None,
    progress: Progress | None = None,
    stop_event: threading.Event | None = None,
) -> dict[str, Any]:
    """Publish what comes after the history, ``live_clock`` simulated seconds a second.

    It begins where the history ended, or where the last live run stopped. It returns when
    ``stop_event`` is set (without one: at SIGTERM or SIGINT) or when ``live_duration`` is over;
    only then are the windows closed by heartbeats.

    Args:
        params: of the published history.
        start: simulated time to jump to when it is later than where it would begin.
        progress: told now and then how far it is, in Spanish.
        stop_event: ends the run within a tick.

    Returns:
        ``published``, ``skipped``, ``position`` (simulated time), ``state`` (stopped or
        complete) and the totals of the live manifest.

    Raises:
        ParamsError: the history was not published, or the source is not the simulator.
        ServiceError: Kafka does not answer.
    """
    if params.sources.source != "simulator":
        raise ParamsError("Sólo el simulador tiene parte en directo (source: simulator).")
    journal = Journal(params)
    history = journal.entries().get(simulator_key(params))
    if history is None or history["state"] != "complete":
        raise ParamsError(
            "Falta el historial de estos parámetros: ejecuta «spotify-mlops ingest simulator»."
        )
    with stopping(stop_event) as stop, state.locked(f"ingest-{params.kafka.topic}"):
        return _Live(params, journal, progress, stop).run(start)


class _Live:
    """One run of the live part."""

    def __init__(
        self,
        params: Params,
        journal: Journal,
        progress: Progress | None,
        stop: threading.Event,
    ) -> None:
        self.params = params
        self.journal = journal
        self.progress = progress
        self.stop = stop
        self.key = f"live:{simulator_key(params)}"
        self.simulator = Simulator(params)
        self.end = self.simulator.time(self.simulator.hours)
        self._hour = -1
        self._frame = pl.DataFrame()

    def run(self, start: datetime | None) -> dict[str, Any]:
        entry = self.journal.entries().get(self.key)
        position = self.simulator.world.end
        tally = Tally()
        with Publisher(self.params, linger_ms=5) as publisher:
            if entry is not None:
                position = datetime.fromisoformat(entry["position"])
                tally = Tally(entry["manifest"])
                if entry["state"] == "complete":
                    return self._summary(publisher, entry)
                publisher.resume({int(p): offset for p, offset in entry["start"].items()})
            if start is not None:
                position = max(position, start)
            self._checkpoint(publisher, position, tally, "publishing")
            position = self._follow_clock(publisher, position, tally)
            if position >= self.end:
                self._close(publisher, tally)
            entry = self._checkpoint(
                publisher, position, tally, "complete" if position >= self.end else "stopped"
            )
        return self._summary(publisher, entry)

    def _follow_clock(self, publisher: Publisher, position: datetime, tally: Tally) -> datetime:
        began, origin = time.monotonic(), position
        checkpoint, report, tick = began, began, began
        while position < self.end and not self.stop.is_set():
            now = time.monotonic()
            elapsed = timedelta(seconds=(now - began) * self.params.simulator.live_clock)
            # Simulated time that has overtaken the calendar goes on at its pace: what is further
            # ahead would be dead letters.
            latest = datetime.now(UTC) + self.params.windows.clock_skew
            target = max(min(origin + elapsed, self.end, latest), position)
            for rows in self._arrivals(position, target):
                publisher.send(records(rows))
                tally.add(rows)
            position = target
            if now - checkpoint >= CHECKPOINT_SECONDS:
                self._checkpoint(publisher, position, tally, "publishing")
                checkpoint = now
            if self.progress is not None and now - report >= REPORT_SECONDS:
                self.progress(f"En directo: {position:%Y-%m-%d %H:%M} (tiempo simulado)")
                report = now
            # The next tick is counted from the last one, so that ticks do not drift; after a
            # pause (a suspended laptop) it is counted from now.
            tick = max(tick + TICK_SECONDS, now)
            self.stop.wait(tick - time.monotonic() if tick > time.monotonic() else 0)
        return position

    def _arrivals(self, after: datetime, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield the rows that arrive in [after, until), an hour or less at a time."""
        hour = (after - self.simulator.world.start) // timedelta(hours=1)
        while self.simulator.time(hour) < until:
            if hour != self._hour:
                self._hour, self._frame = hour, self.simulator.hour(hour)
            arrival = self._frame["arrival"]
            first = arrival.search_sorted(after, side="left")
            last = arrival.search_sorted(until, side="left")
            if last > first:
                yield self._frame[first:last]
            hour += 1

    def _close(self, publisher: Publisher, tally: Tally) -> None:
        time = self.end + self.params.windows.allowed_lateness
        publisher.send(heartbeat_records(self.params.kafka, time))
        tally.heartbeats(self.params.kafka.partitions)

    def _checkpoint(
        self, publisher: Publisher, position: datetime, tally: Tally, reached: str
    ) -> dict[str, Any]:
        """Record that everything before ``position``, and nothing later, is in the log.

        While records of an interrupted run are still being recognised the old entry stays true:
        only a run that has passed them may move it.
        """
        publisher.flush()
        entry: dict[str, Any] = {
            "state": reached,
            "position": position.isoformat(),
            "start": {str(p): high for p, (_, high) in offsets(self.params).items()},
            "manifest": tally.by_partition(),
        }
        if publisher.recognising:
            return entry
        if reached == "complete":
            entry["closed_until"] = self.end.isoformat()
        self.journal.write(self.key, entry)
        return entry

    def _summary(self, publisher: Publisher, entry: dict[str, Any]) -> dict[str, Any]:
        return {
            "source": self.key,
            "state": entry["state"],
            "position": entry["position"],
            "published": publisher.published,
            "skipped": publisher.skipped,
            **Tally(entry["manifest"]).totals(),
        }


def paced(
    params: Params,
    rate: float,
    seconds: float,
    stop_event: threading.Event | None = None,
) -> dict[str, Any]:
    """Publish ``rate`` events a second whose event time is the wall clock, in order.

    Nothing is injected and no heartbeat closes the log: it is for measuring freshness.

    Args:
        params: where to publish; countries and tracks are the simulator's.
        rate: events a second.
        seconds: how long.
        stop_event: ends the run within a tick.

    Returns:
        ``published``, ``seconds``, ``first`` and ``last`` event time (RFC 3339), and
        ``behind_seconds``, the most that a tick was behind its time.

    Raises:
        ServiceError: Kafka does not answer.
    """
    ensure_topic(params)
    simulator = Simulator(params)
    pool = pl.concat([simulator.hour(hour) for hour in range(24)])
    pool = pool.filter(pl.col("injected").is_null()).select(*EVENT_COLUMNS)
    pool = pool.sample(fraction=1.0, shuffle=True, seed=params.simulator.seed)
    run = f"paced:{time.time_ns():x}:"
    sent, behind = 0, 0.0
    with stopping(stop_event) as stop, Publisher(params, linger_ms=2) as publisher:
        began, first = time.monotonic(), time.time_ns() // 1000
        previous = 0.0
        while previous < seconds and not stop.is_set():
            now = min(time.monotonic() - began, seconds)
            due = int(now * rate) - sent
            if due > 0:
                times = first + (np.linspace(previous, now, due, endpoint=False) * 1e6).astype(int)
                publisher.send(event_records(params.kafka, _paced_events(pool, run, sent, times)))
                sent += due
            behind = max(behind, now - previous - PACED_TICK_SECONDS)
            previous = now
            stop.wait(max(PACED_TICK_SECONDS - (time.monotonic() - began - now), 0))
        elapsed = time.monotonic() - began
    stamp = [datetime.fromtimestamp(first / 1e6 + moment, UTC) for moment in (0.0, previous)]
    return {
        "published": sent,
        "seconds": round(elapsed, 3),
        "first": stamp[0].isoformat(),
        "last": stamp[1].isoformat(),
        "behind_seconds": round(behind, 3),
    }


def _paced_events(pool: pl.DataFrame, run: str, first: int, times: np.ndarray) -> pl.DataFrame:
    number = np.arange(first, first + len(times))
    return pool[number % len(pool)].with_columns(
        event_id=pl.lit(run) + pl.Series(number).cast(pl.String),
        event_time=pl.Series(times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    )
