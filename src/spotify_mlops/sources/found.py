"""What the files of a source hold, and how its rows become events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ..config.params import Params
from ..config.progress import Progress
from ..domain.events import EVENT_COLUMNS


@dataclass(frozen=True)
class Found:
    """What a source of files gives to be published."""

    frames: list[pl.DataFrame]
    """``EVENT_COLUMNS``, in event-time order across all of them; at least one event."""
    identity: list[str] | None = None
    """The same files, the same identity: they are published once. None takes the events' ids."""
    told: dict[str, Any] = field(default_factory=dict)
    """What the answer of ``ingest`` says besides."""


Reader = Callable[[Params, Sequence[str | Path], Progress], Found]
"""A source of files is a module of this package with such a ``read``: params, paths, progress."""


def as_events(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """Return rows (at least ``event_time``, ``country``, ``track_id``) as ``EVENT_COLUMNS``.

    They are in event-time order. What a row does not say is null; it is one play, and its
    identifier is its time, country and track: the same row is the same event whenever it is read.
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
    return rows.select(**columns).sort("event_time", maintain_order=True)
