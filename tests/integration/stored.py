"""Rows for tests of what is stored, and the death of who stores them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import psutil

from spotify_mlops.io.local import state

START = datetime(2026, 1, 5, tzinfo=UTC)


def predictions(count: int, start: int = 0) -> pl.DataFrame:
    index = range(start, start + count)
    return pl.DataFrame(
        {
            "track_id": [f"t{i}" for i in index],  # not in the table's order
            "window_start": [START + timedelta(hours=i % 5) for i in index],
            "country": ["CO" if i % 2 else "ES" for i in index],
            "level": ["Alta"] * count,
            "score": [i / 10 for i in index],
            "p_alta": [0.5] * count,
            "p_media": [0.25] * count,
            "p_baja": [0.25] * count,
            "model": ["m@1"] * count,
            "horizon": [24] * count,
            "written_at": [START] * count,
        }
    )


def kill(record: state.Record) -> None:
    process = psutil.Process(record.pid)
    process.kill()
    process.wait(60)
