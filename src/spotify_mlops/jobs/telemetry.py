"""What a running streaming job tells BigQuery of itself: its lag, and how fresh its windows are.

It is told by a thread of its own, and what cannot be told is dropped with a warning: no reason
to hold up the job or to end it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import polars as pl

from .. import tables
from ..errors import UserError
from ..features.schema import Schema
from ..params import Params
from ..pipeline.progress import Progress, WrittenWindow
from ..warehouse import Appender
from . import lag
from .lag import Lag

INTERVAL_SECONDS = 5.0
_DEADLINE = timedelta(seconds=5)
"""For BigQuery to take the rows: after it, the next ones say more."""

_TIME = pl.Datetime("us", "UTC")
LAG_SCHEMA: Schema = {
    "measured_at": _TIME,
    "log_partition": pl.Int64,
    "records": pl.Int64,
    "unread": pl.Int64,
    "seconds": pl.Float64,
    "pending_windows": pl.Int64,
}
FRESHNESS_SCHEMA: Schema = {
    "window_start": _TIME,
    "closed_at": _TIME,
    "written_at": _TIME,
    "seconds": pl.Float64,
}

_log = logging.getLogger(__name__)


@contextmanager
def told(params: Params, progress: Progress) -> Iterator[None]:
    """Tell of a job for as long as the block runs, and once more at its end."""
    ended = threading.Event()
    teller = threading.Thread(
        target=_tell, args=(params, progress, ended), name="telemetry", daemon=True
    )
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join(_DEADLINE.total_seconds())  # a service that is away must not hold up the end


def lag_rows(measured: Lag, at: datetime) -> pl.DataFrame:
    """Return a lag as rows of ``spotify_lag``, one a partition (``LAG_SCHEMA``)."""
    rows = [
        (at, item.partition, item.records, item.unread, item.seconds, measured.pending)
        for item in measured.partitions
    ]
    return pl.DataFrame(rows, schema=LAG_SCHEMA, orient="row")


def freshness_rows(written: Sequence[WrittenWindow]) -> pl.DataFrame:
    """Return windows as rows of ``spotify_freshness`` (``FRESHNESS_SCHEMA``)."""
    rows = [
        (w.window_start, w.closed_at, w.written_at, (w.written_at - w.closed_at).total_seconds())
        for w in written
    ]
    return pl.DataFrame(rows, schema=FRESHNESS_SCHEMA, orient="row")


def _tell(params: Params, progress: Progress, ended: threading.Event) -> None:
    patient = params.model_copy(update={"sink_deadline": _DEADLINE})
    with Appender(patient, tables.LAG) as lags, Appender(patient, tables.FRESHNESS) as windows:
        last = False
        while not last:
            last = ended.wait(INTERVAL_SECONDS)
            try:
                written = progress.take_written()
                if written:
                    windows.append(freshness_rows(written))
                lags.append(lag_rows(lag.measure(params), datetime.now(UTC)))
            except UserError as error:  # Kafka or BigQuery is away
                _log.warning("telemetry: %s", error)
