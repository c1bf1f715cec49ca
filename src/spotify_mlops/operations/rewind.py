"""Send the streaming job back in the log, so that a new champion predicts from its first window."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ..config.errors import ServiceError
from ..config.params import Params
from ..io.bigquery import log
from ..pipeline.position import Position
from ..pipeline.sinks import positions
from .resume import written_from


def rewind(params: Params, start: datetime) -> Position:
    """Save a position from which the job writes the windows that begin at ``start`` or later.

    The log is read from the first record that such a window, or a lag of one, needs. Records
    that the raw sinks hold are not written to them again; rows of windows are, with the same
    keys. Where the job had not come as far as ``start``, its position stays.

    Args:
        params: whose job.
        start: of a window, UTC.

    Raises:
        ServiceError: the log has never been processed, or by an earlier version, a service does
            not answer, or the streaming job is running.
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
    # What a run had written from there on is to be written again.
    begun = replace(saved, acknowledged=saved.held, job=None)
    found = written_from(params, begun, start, log.last_crossings(params, saved.held))
    if found is None:
        raise ServiceError(
            f"Las tablas de {params.kafka.topic} son de una versión anterior y no dicen dónde "
            "empieza cada ventana (spotify_crossings): ejecuta antes el cuaderno 03."
        )
    return found
