"""From where a job on an engine with workers of its own reads again: a query on what it wrote.

The windows that a run has written are rows of ``spotify_written``; what the raw sinks have is
what the archive has, which is the last of them; and where a partition reaches a window is a row of
``spotify_crossings``. The saved position says where the run began.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from ..config.params import Params
from ..io.bigquery import log
from ..io.bigquery.clients import query
from ..pipeline.crossings import places
from ..pipeline.position import Position
from ..pipeline.sinks import archive


def resumed(params: Params, saved: Position) -> Position:
    """Return the position after all that the run which began at ``saved`` has written.

    It is exact whenever it is asked: while the job works, and after any death.

    Args:
        params: whose job.
        saved: where the run began, or what this returned of it before. It comes back as it is
            where no run on such an engine began there.

    Raises:
        ServiceError: BigQuery does not answer.
        IntegrityError: the archive is not whole.
    """
    if saved.job is None:
        return saved
    archived = archive.coverage(params)
    held = {p: max(o, archived.get(p, 0)) for p, o in saved.held.items()}
    before = log.last_crossings(params, held)
    since = {p: o for p, o in before.select("log_partition", "log_offset").iter_rows()}
    found = replace(
        saved,
        acknowledged=held,
        acknowledged_marks=log.marks(params, held, since),
        witnesses=dict(saved.witnesses) | log.last_records(params, held, since),
    )
    if saved.write_from is None:  # a partition has nothing yet: all of them are read again
        return found
    write_from = _written_until(params, saved.job, saved.write_from)
    return written_from(params, found, write_from, before)


def written_from(
    params: Params, position: Position, start: datetime, before: pl.DataFrame
) -> Position:
    """Return from where the windows that begin at ``start`` or later are written.

    Args:
        params: whose job.
        position: what the raw sinks have.
        start: of a window, UTC.
        before: what ``log.last_crossings`` gives of that.
    """
    needed = start - params.windows.window * max(params.windows.lags, default=0)
    offsets, marks = places(log.first_crossings(params, needed), position.held, before)
    return replace(position, offsets=offsets, marks=marks, write_from=start)


def _written_until(params: Params, job: str, start: datetime) -> datetime:
    """Return the first window from ``start`` on that a run has not written in all its shards."""
    written = query(
        params,
        "SELECT window_start FROM `{dataset}.spotify_written_rows` "
        "WHERE job = @job AND window_start >= @start GROUP BY window_start "
        "HAVING COUNT(DISTINCT shard) = MAX(shards) ORDER BY window_start",
        job=job,
        start=start,
    )["window_start"]
    length = params.windows.window
    expected = pl.datetime_range(
        start, start + length * written.len(), length, closed="left", eager=True
    )
    return start + length * int((written == expected).cum_min().sum())
