"""The ``_id`` of events in MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.domain.events import DUPLICATE_KEY
from spotify_mlops.pipeline.sinks.mongo import event_ids

_TEXT = st.text('a",\\ñ{}:', max_size=3)
_TIMES = st.integers(0, 2).map(
    lambda step: datetime(2026, 1, 5, tzinfo=UTC) + step * timedelta(microseconds=1)
)
_KEYS = st.lists(st.tuples(_TEXT, _TIMES, _TEXT, _TEXT), min_size=1, max_size=8)


def frame(keys: list[tuple[str, datetime, str, str]]) -> pl.DataFrame:
    schema = {name: pl.String for name in DUPLICATE_KEY} | {
        "event_time": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(keys, schema=schema, orient="row")


@given(_KEYS)
def test_ids_are_equal_where_the_four_fields_are(
    keys: list[tuple[str, datetime, str, str]],
) -> None:
    ids = event_ids(frame(keys))
    assert len(set(ids)) == len(set(keys))
    assert ids == [event_ids(frame([key]))[0] for key in keys]  # whatever stands beside it


@given(_KEYS)
def test_ids_are_in_the_order_of_event_times(keys: list[tuple[str, datetime, str, str]]) -> None:
    by_id = sorted(zip(event_ids(frame(keys)), keys, strict=True))
    times = [key[1] for _, key in by_id]
    assert times == sorted(times)
