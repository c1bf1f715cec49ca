"""The streaming job on an engine, from the saved position, for ever or until caught up."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from ..config.errors import IntegrityError, ServiceError, is_full_disk, is_outage
from ..config.params import Params
from ..config.progress import Progress, silent
from ..domain.watermark import Marks, watermark
from ..io import kafka
from ..io.bigquery import warehouse
from ..io.local import health
from ..model.promotions import PromotionHistory
from ..pipeline import graph
from ..pipeline.position import Position, start_of_log
from ..pipeline.sinks import positions, rows, same_log
from ..pipeline.sinks.archive import ArchiveSink
from ..pipeline.sinks.dead_letters import DeadLettersSink
from ..pipeline.sinks.mongo import OperationalSink
from ..pipeline.sinks.warehouse import AppendSink
from ..pipeline.sinks.windows import LiveWindows
from .engines.attempt import Attempt, JobError, Order
from .engines.on_prism import PrismAttempt
from .engines.on_workers import WorkersAttempt

FLUSH_SECONDS = 1.0
"""Raw sinks write this often: rows of less than a second would be many small appends."""
ATTEMPTS = 5
"""Failures in a row, with no window written between them, before the job gives up."""
BACKOFF_SECONDS = 15.0
"""The longest pause before a job that failed again and again is started once more."""


@dataclass(frozen=True)
class StreamSummary:
    """What a streaming run did before it stopped."""

    windows: int
    records: int
    watermark: datetime | None
    restarts: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"watermark": self.watermark and self.watermark.isoformat()}


def live_sinks(params: Params) -> graph.Sinks:
    """Return all sinks of the live job; the archive is the commit record, and so the last."""
    return graph.Sinks(
        [
            DeadLettersSink(params, FLUSH_SECONDS),
            *(AppendSink(params, FLUSH_SECONDS, each) for each in rows.of_records(params.windows)),
            OperationalSink(params, FLUSH_SECONDS),
            ArchiveSink(params, FLUSH_SECONDS),
        ],
        LiveWindows(params),
    )


def run(
    params: Params,
    *,
    until_caught_up: bool = False,
    say: Progress = silent,
    sinks: graph.Sinks | None = None,
) -> StreamSummary:
    """Run until a signal (or, with ``until_caught_up``, until the log of now is answered for).

    A job that fails is started again from the saved position. One that goes on for ever waits
    as long as a service is away or a sink refuses; what else fails, and what fails on the way to
    being caught up, is tried ``ATTEMPTS`` times without headway.

    Raises:
        ServiceError: a service does not answer at the start, the job failed as said, or another
            process writes the same tables.
        IntegrityError: the log has lost records that are still to be read, or is another one
            than the position and the archive speak of.
    """
    with positions.exclusive(params):
        kafka.ensure_topic(params)
        warehouse.ensure_dataset(params, fills=True)
        # Refused here it is one line, and in a worker Beam's traceback.
        PromotionHistory(params).periods()
        ends = {p: high for p, (_, high) in kafka.offsets(params).items()}
        target = ends if until_caught_up else None
        return _run(params, target, _where_possible(say), sinks or live_sinks(params))


def _where_possible(say: Progress) -> Progress:
    """Say what can be said: a log may be on the disk that is full, which is no reason to end."""

    def attempt(message: str) -> None:
        try:
            say(message)
        except OSError as error:
            if not is_full_disk(error):
                raise

    return attempt


def _run(
    params: Params, ends: Mapping[int, int] | None, say: Progress, sinks: graph.Sinks
) -> StreamSummary:
    began = time.monotonic()
    start = _starting_position(params)
    offsets: Mapping[int, int] = start.held
    marks: Marks = start.held_marks
    stop = threading.Event()
    windows = restarts = failures = 0
    while not stop.is_set():
        attempt = _attempt(Order(params, sinks, ends), restarts)
        try:
            attempt.run(_starting_position(params) if restarts else start, stop, say)
            break
        except IntegrityError:
            with suppress(ServiceError):
                same_log.check(params)  # of another log it says more than that records are gone
            raise
        except Exception as failure:
            outage = failure.outage if isinstance(failure, JobError) else is_outage(failure)
            if not (outage or isinstance(failure, JobError)):
                raise
            failures = 0 if attempt.windows else failures
            failures += 1
            lasting = ends is None and outage
            if failures >= ATTEMPTS and not lasting:
                raise ServiceError(f"La tarea de streaming falló: {failure}") from failure
            restarts += 1
            say(
                f"La tarea falló ({failure}); se reanuda desde el registro. "
                f"{health.shortage()}".rstrip()
            )
            stop.wait(min(2.0**failures / 4, BACKOFF_SECONDS))
        finally:
            windows += attempt.windows
            offsets, marks = attempt.reached or (offsets, marks)
    return StreamSummary(
        windows,
        sum(offsets.values()) - sum(start.held.values()),
        watermark(marks, params.windows.allowed_lateness),
        restarts,
        time.monotonic() - began,
    )


def _attempt(order: Order, number: int) -> Attempt:
    on_prism = order.params.engine.runner == "prism"
    return PrismAttempt(order, number) if on_prism else WorkersAttempt(order)


def _starting_position(params: Params) -> Position:
    log = same_log.check(params)
    lows = {p: low for p, (low, _) in kafka.offsets(params).items()}
    saved = positions.load(params)
    if saved is None:
        return start_of_log(lows, log)
    if set(saved.offsets) != set(lows):
        raise ServiceError(
            f"El tema {params.kafka.topic} tiene {len(lows)} particiones y la posición "
            f"guardada {len(saved.offsets)}. Procésalo entero: «spotify-mlops replay»."
        )
    return replace(saved, log=log)
