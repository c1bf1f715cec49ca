"""Marks, lateness and watermark against the definitions, a record at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import BASE
from spotify_mlops.domain.watermark import mark, rows_until, watermark

LATENESS = timedelta(seconds=5)
KINDS = ("event", "heartbeat", "dead_letter")

records = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from(KINDS), st.integers(0, 60)), max_size=60
)


def batch(rows: list[tuple[int, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (p, kind, None if kind == "dead_letter" else BASE + timedelta(seconds=s))
            for p, kind, s in rows
        ],
        schema={
            "partition": pl.Int32,
            "kind": pl.String,
            "event_time": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def by_definition(
    rows: list[tuple[int, str, int]],
) -> tuple[list[bool], dict[int, datetime | None]]:
    marks: dict[int, datetime | None] = {0: None, 1: None}
    late = []
    for partition, kind, seconds in rows:
        time, held = BASE + timedelta(seconds=seconds), marks[partition]
        late.append(kind == "event" and held is not None and time < held - LATENESS)
        if kind != "dead_letter" and (held is None or time > held):
            marks[partition] = time
    return late, marks


@given(records, st.lists(st.integers(0, 60), max_size=4))
def test_any_split_into_batches_gives_what_the_definition_says(
    rows: list[tuple[int, str, int]], cuts: list[int]
) -> None:
    marks: dict[int, datetime | None] = {0: None, 1: None}
    late: list[bool] = []
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for start, end in pairwise(edges):
        marked, marks = mark(batch(rows[start:end]), marks, LATENESS)
        late += marked["late"].to_list()
    assert (late, marks) == by_definition(rows)


def test_the_watermark_waits_for_every_partition() -> None:
    assert watermark({0: BASE, 1: None}, LATENESS) is None
    assert watermark({0: BASE, 1: BASE + timedelta(hours=1)}, LATENESS) == BASE - LATENESS


@settings(deadline=None)
@given(records, st.integers(0, 70))
def test_rows_until_is_where_the_watermark_gets_there(
    rows: list[tuple[int, str, int]], seconds: int
) -> None:
    limit = BASE + timedelta(seconds=seconds) - LATENESS
    before: dict[int, datetime | None] = {0: None, 1: BASE}
    expected, marks = len(rows), dict(before)
    for number in range(len(rows)):
        _, marks = mark(batch(rows[number : number + 1]), marks, LATENESS)
        reached = watermark(marks, LATENESS)
        if reached is not None and reached >= limit:
            expected = number + 1
            break
    marked, _ = mark(batch(rows), before, LATENESS)
    assert rows_until(marked, before, LATENESS, limit) == expected
