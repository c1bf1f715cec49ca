"""From where a partition reaches a window, the window can be read again, and gives the same."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from agreement import settings_of, shape_of
from drawn import logs
from logs import BASE, ends_of, event_log, random_events, read_again, run_graph
from oracle import Rules
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.pipeline.crossings import crossings
from spotify_mlops.pipeline.position import Position
from thorough import examples

RULES = Rules()
WINDOWING = Windowing(RULES.window, RULES.window_offset)


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 1000]), st.integers(1, 30))
@examples(8)
def test_what_is_read_from_a_crossing_on_gives_the_same_rows(
    data: st.DataObject, partitions: int, bucket: int, batch: int
) -> None:
    log = data.draw(logs(partitions))
    settings, cut = settings_of(RULES, batch), shape_of(RULES, 2, bucket)
    whole = run_graph(log, settings, cut, partitions)
    hours = data.draw(st.integers(-3, 80), "window")
    start = WINDOWING.start(BASE) + hours * RULES.window
    ends = ends_of(log, partitions)
    held = {p: data.draw(st.integers(0, end), f"held of {p}") for p, end in ends.items()}
    begun = Position({}, {}, acknowledged=held, write_from=start)
    position = read_again(begun, whole.batches, cut)
    assert all(position.offsets[p] <= held[p] for p in held)
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
