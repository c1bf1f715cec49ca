"""Send the streaming job back in the log, so that a new champion predicts from its first window."""

from __future__ import annotations

from datetime import datetime

from ..config.errors import ServiceError
from ..config.params import Params
from ..io import bigquery
from ..io.bigquery import log
from ..pipeline.position import Position
from ..pipeline.sinks import positions


def rewind(params: Params, start: datetime) -> Position:
    """Save a position from which the job writes the windows that begin at ``start`` or later.

    The log is read from the first record that such a window, or a lag of one, needs. Records
    that the raw sinks hold are not written to them again; rows of windows are, with the same
    keys. Where the job had not come as far as ``start``, its position stays.

    Args:
        params: whose job.
        start: of a window, UTC.

    Raises:
        ServiceError: the log has never been processed, a service does not answer, or the
            streaming job is running.
    """
    with positions.exclusive(params):
        saved = positions.load(params)
        if saved is None:
            raise ServiceError(
                f"El tema {params.kafka.topic} no se ha procesado todavía: ejecuta antes el "
                "cuaderno 03."
            )
        if saved.write_from is None or saved.write_from <= start:
            return saved
        position = _position(params, saved, start)
        positions.save(params, position)
        return position


def _position(params: Params, saved: Position, start: datetime) -> Position:
    needed = start - params.windows.window * max(params.windows.lags, default=0)
    firsts = bigquery.query(
        params,
        """
        SELECT log_partition, MIN(log_offset) AS log_offset
        FROM `{dataset}.spotify_events_rows`
        WHERE NOT late AND window_start >= @needed
        GROUP BY 1
        """,
        needed=needed,
    )
    # What comes after is not in the warehouse, or not all of it.
    held = dict(saved.acknowledged) or dict(saved.offsets)
    found = dict(firsts.iter_rows())
    offsets = {p: min(following, found.get(p, following)) for p, following in held.items()}
    return Position(
        offsets,
        log.marks(params, offsets),
        acknowledged=held,
        write_from=start,
        log=saved.log,
        witnesses=saved.witnesses,
    )
