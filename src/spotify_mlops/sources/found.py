"""What the files of a source hold, and how its rows become events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..config.params import Params
from ..config.progress import Progress
from ..domain.events import EVENT_COLUMNS
from .account import Account


@dataclass(frozen=True)
class Found:
    """What a source of files gives to be published."""

    frames: Iterable[pl.DataFrame]
    """``EVENT_COLUMNS``, in any order; also ``_where`` (text: which row of its file each is) and
    ``_order`` (integer: of events of one time and country). It may be read but once."""
    account: Account | None = None
    """What becomes of the rows, kept while the frames are read. None, and every row is an event."""


Reader = Callable[[Params, Sequence[str | Path], Progress], Found]
"""A source of files is a module of this package with such a ``read``: params, paths, progress."""


def as_events(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return rows as `as_columns` does, in event-time order."""
    return as_columns(rows, source).sort("event_time", maintain_order=True)


def as_columns(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return rows (at least ``event_time``, ``country``, ``track_id``) as ``EVENT_COLUMNS``.

    What a row does not say is null; it is one play, and its identifier is its time, country and
    track: the same row is the same event whenever it is read. Columns that begin with ``_`` stay.
    """
    said = {
        "event_id": pl.format(source + ":{}:{}:{}", "event_time", "country", "track_id"),
        "event_type": pl.lit("play"),
        "count": pl.lit(1),
        "source": pl.lit(source),
    }
    columns = {
        name: (pl.col(name) if name in rows.columns else said.get(name, pl.lit(None))).cast(kind)
        for name, kind in EVENT_COLUMNS.items()
    }
    return rows.select(*(name for name in rows.columns if name[0] == "_"), **columns)
