"""The source's reader that is a batch ahead, and how long Beam keeps a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.domain.events import LOG_COLUMNS, encode_heartbeat
from spotify_mlops.pipeline.prefetch import Prefetcher

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
WHOLE = 4


class Log:
    """A reader that gives batches of these heights, then none."""

    def __init__(self, *heights: int) -> None:
        self._heights = iter(heights)

    def poll(self) -> pl.DataFrame:
        height = next(self._heights, 0)
        return pl.DataFrame(
            {
                "partition": [0] * height,
                "offset": range(height),
                "append_time": [NOON] * height,
                "value": [encode_heartbeat(NOON)] * height,
            },
            schema=LOG_COLUMNS,
        )

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def ahead() -> Iterator[Prefetcher]:
    reader = Prefetcher(Log(WHOLE, 3, 1), params.load("local", batch_records=WHOLE))
    yield reader
    reader.close()


def test_a_source_has_caught_up_when_nothing_is_left_to_read(ahead: Prefetcher) -> None:
    assert ahead.poll().height == WHOLE
    assert not ahead.caught_up  # the broker may have more
    short = ahead.poll()
    assert short.height == 3
    assert ahead.caught_up
    ahead.push_back(short[1:])
    assert not ahead.caught_up
    assert ahead.poll().height == 2
    assert ahead.poll().height == 1
    assert ahead.caught_up
