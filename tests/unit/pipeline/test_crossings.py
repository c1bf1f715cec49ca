"""From where a partition reaches a window, the window can be read again, and gives the same."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from agreement import settings_of, shape_of
from drawn import logs
from logs import BASE, ends_of, event_log, random_events, run_graph
from oracle import Rules
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline.crossings import crossings, places
from spotify_mlops.pipeline.position import Position
from thorough import examples

RULES = Rules()
WINDOWING = Windowing(RULES.window, RULES.window_offset)


def extremes(rows: pl.DataFrame, first: bool) -> pl.DataFrame:
    ordered = rows.sort("log_offset", descending=not first)
    return ordered.unique("log_partition", keep="first", maintain_order=True)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 1000]), st.integers(1, 30))
@examples(8)
def test_what_is_read_from_a_crossing_on_gives_the_same_rows(
    data: st.DataObject, partitions: int, bucket: int, batch: int
) -> None:
    log = data.draw(logs(partitions))
    settings, cut = settings_of(RULES, batch), shape_of(RULES, 2, bucket)
    whole = run_graph(log, settings, cut, partitions)
    found = pl.concat([crossings(marked, WINDOWING) for marked in whole.batches])
    hours = data.draw(st.integers(-3, 80), "window")
    start = WINDOWING.start(BASE) + hours * RULES.window
    ends = ends_of(log, partitions)
    held = {p: data.draw(st.integers(0, end), f"held of {p}") for p, end in ends.items()}
    needed = start - max(RULES.lags) * RULES.window
    reaching = extremes(found.filter(pl.col("window_start") >= needed), first=True)
    below = pl.col("log_partition").replace_strict(held, return_dtype=pl.Int64)
    before = extremes(found.filter(pl.col("log_offset") <= below), first=False)
    offsets, marks = places(reaching, held, before)
    assert all(offsets[p] <= held[p] for p in held)
    position = Position(offsets, marks, acknowledged=held, write_from=start)
    again = run_graph(log, settings, cut, partitions, start=position)
    wanted = pl.col("window_start") >= start
    assert again.features.equals(whole.features.filter(wanted))
    assert again.counters.equals(whole.counters.filter(wanted))
    assert again.records.equals(
        whole.records.filter(pl.col("offset") >= pl.col("partition").replace_strict(held))
    )


def test_the_batches_decide_nothing() -> None:
    log = event_log(random_events(500, 8 * 3600, seed=1), BASE + timedelta(hours=9), 2)
    found = []
    for size in (1, 7, 1000):
        marks: dict = dict.fromkeys(range(2))
        rows = []
        for batch in log.sort("partition", "offset").iter_slices(size):
            decoded = decode(batch, Ahead.of(settings_of(RULES, size).windows))
            marked, marks = mark(decoded, marks, RULES.lateness)
            rows.append(crossings(marked, WINDOWING))
        found.append(pl.concat(rows).sort("log_partition", "log_offset"))
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])
    assert found[0].select("log_partition", "window_start").is_unique().all()
    assert found[0].group_by("log_partition").first()["mark"].null_count() == 2
