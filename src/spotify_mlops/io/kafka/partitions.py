"""Which partition holds a track: a function of its identifier, the same in every process."""

from __future__ import annotations

import zlib
from functools import lru_cache

import polars as pl


@lru_cache(maxsize=1 << 20)
def _digest(track_id: str) -> int:
    return zlib.crc32(track_id.encode())


def partition_of(track_ids: pl.Series, partitions: int) -> pl.Series:
    """Return the partition of each track: CRC-32 of its UTF-8 bytes, modulo ``partitions``.

    All records of a track share a partition, so they are read in the order of publishing.

    Args:
        track_ids: text, without nulls.
        partitions: number of partitions of the topic.

    Returns:
        Int32, as long as ``track_ids``.
    """
    unique = track_ids.unique()
    numbers = pl.Series([_digest(track_id) % partitions for track_id in unique], dtype=pl.Int32)
    return track_ids.replace_strict(unique, numbers, return_dtype=pl.Int32).alias("partition")
