"""From where a job reads the log again: a query on what it wrote.

Where a partition reaches a window is a row of ``spotify_crossings``. How far the job had come is in
its saved position; on an engine with workers of its own, that says only where the run began: the
windows that it has written since are rows of ``spotify_written``, and what the raw sinks have is
what the archive has, which is the last of them.
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
    """Return the position after all that the job of ``saved`` has written.

    It is exact whenever it is asked: while the job works, and after any death.

    Args:
        params: whose job.
        saved: what was saved of it, or what this returned of it before.

    Raises:
        ServiceError: BigQuery does not answer.
        IntegrityError: the archive is not whole.
    """
    held = saved.held
    if saved.job is not None:
        archived = archive.coverage(params)
        held = {p: max(o, archived.get(p, 0)) for p, o in held.items()}
    before = log.last_crossings(params, held)
    if saved.job is not None:
        saved = _of_run(params, saved, saved.job, held, before)
    if saved.write_from is None:  # a partition has nothing yet: all of them are read again
        return saved
    return written_from(params, saved, saved.write_from, before) or saved


def _of_run(
    params: Params, begun: Position, job: str, held: dict[int, int], before: pl.DataFrame
) -> Position:
    """Return how far a run has come by what it wrote; ``offsets`` and ``marks`` stay."""
    since = {p: o for p, o in before.select("log_partition", "log_offset").iter_rows()}
    start = begun.write_from
    return replace(
        begun,
        acknowledged=held,
        acknowledged_marks=log.marks(params, held, since),
        witnesses=dict(begun.witnesses) | log.last_records(params, held, since),
        write_from=None if start is None else _written_until(params, job, start),
    )


def written_from(
    params: Params, position: Position, start: datetime, before: pl.DataFrame
) -> Position | None:
    """Return from where the windows that begin at ``start`` or later are written.

    None where the tables do not say: an earlier version wrote them, or some of them.

    Args:
        params: whose job.
        position: what the raw sinks have.
        start: of a window, UTC.
        before: what ``log.last_crossings`` gives of that.
    """
    known = set(before["log_partition"])
    if any(mark is not None and p not in known for p, mark in position.held_marks.items()):
        return None
    needed = start - params.windows.window * max(params.windows.lags, default=0)
    reaching = log.first_crossings(params, needed)
    # Of the first there is, the mark was in an earlier window; else there was one before it.
    if (reaching["mark"] >= needed).any():
        return None
    offsets, marks = places(reaching, position.held, before)
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
