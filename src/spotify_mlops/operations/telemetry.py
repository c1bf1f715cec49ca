"""What a running streaming job tells BigQuery of itself: its lag, what is closed, how fresh it is.

It is told by a thread of its own, and what cannot be told is dropped with a warning: no reason
to hold up the job or to end it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import polars as pl

from ..config.errors import UserError
from ..config.params import Params
from ..io.bigquery import frames, tables
from ..io.bigquery.appending import Appender
from ..pipeline.checkpoint import WrittenWindow
from ..pipeline.sinks import rows
from . import beside, lag
from .lag import Lag

INTERVAL_SECONDS = 5.0
_DEADLINE = timedelta(seconds=5)
"""For BigQuery to take the rows: after it, the next ones say more."""

_log = logging.getLogger(__name__)


class Written(Protocol):
    """What is asked of a job."""

    @property
    def written_until(self) -> datetime | None:
        """All windows that end by then are written, those without a row too; None if unknown."""

    def take_written(self) -> Sequence[WrittenWindow]:
        """Return the windows that were written whole since the last time this was asked."""


def told(params: Params, progress: Written) -> AbstractContextManager[None]:
    """Tell of a job for as long as the block runs, and once more at its end."""
    return beside.running("telemetry", partial(_tell, params, progress), _DEADLINE.total_seconds())


def lag_rows(measured: Lag, at: datetime) -> pl.DataFrame:
    """Return a lag as rows of ``spotify_lag``, one a partition."""
    rows = [
        {
            "measured_at": at,
            "log_partition": item.partition,
            "records": item.records,
            "unread": item.unread,
            "seconds": item.seconds,
            "pending_windows": measured.pending,
        }
        for item in measured.partitions
    ]
    return frames.frame(tables.LAG, rows)


def freshness_rows(written: Sequence[WrittenWindow]) -> pl.DataFrame:
    """Return windows as rows of ``spotify_freshness``."""
    rows = [
        vars(window) | {"seconds": (window.written_at - window.closed_at).total_seconds()}
        for window in written
    ]
    return frames.frame(tables.FRESHNESS, rows)


def _tell(params: Params, progress: Written, ended: threading.Event) -> None:
    patient = params.replace(sink_deadline=_DEADLINE)
    with (
        Appender(patient, tables.LAG) as lags,
        Appender(patient, tables.FRESHNESS) as windows,
        Appender(patient, tables.CLOSED) as closed,
    ):
        last = False
        said = None
        while not last:
            last = ended.wait(INTERVAL_SECONDS)
            try:
                written = progress.take_written()
                if written:
                    windows.append(freshness_rows(written))
                until = progress.written_until
                if until != said:
                    closed.append(rows.closed_rows(until, datetime.now(UTC)))
                    said = until
                lags.append(lag_rows(lag.measure(params), datetime.now(UTC)))
            except UserError as error:  # Kafka or BigQuery is away
                _log.warning("telemetry: %s", error)
