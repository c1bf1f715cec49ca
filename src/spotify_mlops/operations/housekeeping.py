"""What a streaming job does now and then so that nothing it writes grows without bound.

A thread of its own merges the archive's files and removes old rows of what was observed. It
works a quarter of the time at most. What fails is told, and tried again later: no reason to
hold up the job or to end it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial

from ..config.params import Params
from ..io import bigquery
from ..io.archive.compaction import Compactor
from ..io.bigquery import tables
from . import beside

COMPACT_SECONDS = 30.0
FORGET_SECONDS = 3600.0
_REST = 3.0
"""Times as long as a merge took, before the next one."""
_END_SECONDS = 5.0
"""How long the end of the job waits for a merge under way: it may be killed at any moment."""
_PASSING = {
    tables.LAG: "TRUE",
    tables.FRESHNESS: "TRUE",
    tables.WRITTEN: "TRUE",
    tables.CLOSED: "closed_until < (SELECT MAX(closed_until) FROM `{dataset}.spotify_closed_rows`)",
}
"""Tables that grow with time alone, whatever happens, and which rows say nothing once old."""

_log = logging.getLogger(__name__)


def kept(params: Params) -> AbstractContextManager[None]:
    """Keep house for as long as the block runs."""
    return beside.running("housekeeping", partial(_keep, params), _END_SECONDS)


def forget(params: Params, now: datetime) -> None:
    """Remove rows of the tables that only tell of a passing state, once they are old."""
    for table, needless in _PASSING.items():
        bigquery.query(
            params,
            f"DELETE FROM `{{dataset}}.{table.rows}` WHERE {table.day} < @before AND {needless}",
            before=now - params.stream.observed_retention,
        )


def _keep(params: Params, ended: threading.Event) -> None:
    compactor = Compactor(params)
    forgotten: float | None = None
    while not ended.wait(COMPACT_SECONDS):
        _tried("archivo", lambda: _compact(compactor, ended))
        if forgotten is None or time.monotonic() - forgotten >= FORGET_SECONDS:
            forgotten = time.monotonic()
            _tried("filas antiguas", lambda: forget(params, datetime.now(UTC)))


def _compact(compactor: Compactor, ended: threading.Event) -> None:
    began = time.monotonic()
    for _ in compactor.compact(stop=ended.is_set):
        if ended.wait(_REST * (time.monotonic() - began)):
            return
        began = time.monotonic()


def _tried(what: str, chore: Callable[[], None]) -> None:
    try:
        chore()
    except Exception as error:  # whatever it is, the job has nothing to do with it
        _log.error("Mantenimiento (%s): %s: %s", what, type(error).__name__, error)
