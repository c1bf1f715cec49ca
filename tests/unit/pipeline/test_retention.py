"""Which events the operational store keeps: a function of the watermark alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spotify_mlops.domain.windows import EPOCH
from spotify_mlops.pipeline.sinks.mongo import kept_from

times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
retentions = st.timedeltas(timedelta(seconds=10), timedelta(days=400))


@given(times, retentions)
def test_at_least_the_retention_is_kept_and_at_most_a_tenth_more(
    watermark: datetime, retention: timedelta
) -> None:
    oldest = kept_from(watermark, retention)
    assert oldest <= max(watermark - retention, EPOCH)
    assert oldest == EPOCH or oldest > watermark - retention - retention / 10


@given(times, times, retentions)
def test_it_only_moves_on(one: datetime, other: datetime, retention: timedelta) -> None:
    first, second = sorted((one, other))
    assert kept_from(first, retention) <= kept_from(second, retention)


def test_without_a_watermark_all_are_kept() -> None:
    assert kept_from(None, timedelta(hours=6)) == EPOCH
