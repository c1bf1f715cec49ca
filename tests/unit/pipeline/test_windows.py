"""What follows the source under TestStream: the pace of the watermark decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import apache_beam as beam
import polars as pl
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing import test_stream as beam_stream
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from agreement import assert_tables, settings_of, shape_of
from drawn import logs
from logs import Run, collecting, event_log, random_events
from oracle import Rules, expected
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark, watermark
from spotify_mlops.domain.windows import EPOCH
from spotify_mlops.pipeline import graph, steps
from spotify_mlops.pipeline.position import start_of_log
from spotify_mlops.pipeline.source import PIECES
from spotify_mlops.pipeline.transforms import ByKey, stamped, typed
from thorough import examples

RULES = Rules()
Told = list[tuple[str, Any]]
_told: Told = []
"""What the source of the pipeline that runs emits; the stream itself carries the places in it."""


class _TellDoFn(beam.DoFn):
    def process(self, place: int) -> Iterator[Any]:
        kind, value = _told[place]
        if kind == PIECES:
            yield beam.pvalue.TaggedOutput(PIECES, value)
        else:
            yield value


def run_stream(
    log: pl.DataFrame, rules: Rules, shape: steps.Shape, partitions: int, steps_behind: list[int]
) -> Run:
    """Run what follows the source over a log, in batches of 7.

    The watermark that Beam sees is behind the log's by the number of batches in ``steps_behind``.
    """
    settings = settings_of(rules, 7)
    start = start_of_log(dict.fromkeys(range(partitions), 0))
    with collecting(log, settings, shape, start) as (source, sinks, run):
        stream = beam_stream.TestStream()
        marks, offsets = dict(start.marks), dict(start.offsets)
        reached: list[datetime | None] = [None]
        sent: dict[datetime, list[int]] = {}
        shown = EPOCH
        _told.clear()

        def tell(kind: str, value: Any) -> None:
            _told.append((kind, value))
            stream.add_elements([TimestampedValue(len(_told) - 1, MIN_TIMESTAMP)])

        for number, batch in enumerate(log.iter_slices(7)):
            marked, marks = mark(decode(batch, Ahead.of(settings.windows)), marks, rules.lateness)
            offsets |= batch.group_by("partition").agg(pl.col("offset").max() + 1).iter_rows()
            timely = steps.events(marked, shape.windowing).filter(~pl.col("late"))
            run.progress.read(timely, offsets, marks)
            tell("marked", marked)
            pieces = list(steps.by_shard(timely, shape))
            sent = steps.count_sent(pieces, sent, shape)
            reached.append(watermark(marks, rules.lateness))
            if reached[-1] is not None:
                closed = {w: sent.pop(w) for w in run.progress.close(reached[-1])}
                pieces += steps.closing(closed, 0, reached[-1], shape)
            for piece in stamped(pieces, shape):
                tell(PIECES, piece)
            behind = steps_behind[number % len(steps_behind)]
            visible = reached[max(len(reached) - 1 - behind, 0)]
            if visible is not None and visible > shown:
                shown = visible
                milliseconds = (visible - EPOCH) // timedelta(milliseconds=1)
                stream.advance_watermark_to(Timestamp(micros=milliseconds * 1000))
        stream.advance_watermark_to_infinity()
        pipeline = beam.Pipeline(BundleBasedDirectRunner(), PipelineOptions(["--streaming"]))
        told = pipeline | stream | beam.ParDo(_TellDoFn()).with_outputs(PIECES, main="marked")
        told = typed(told, marked=pl.DataFrame, pieces=ByKey)
        graph.process(told.marked, told[PIECES], source, start, sinks)
        pipeline.run().wait_until_finish()
        return Run(list(run.batches), list(run.outputs), run.progress)


@given(
    st.data(),
    st.integers(1, 3),
    st.sampled_from([1, 2, 7]),
    st.integers(1, 3),
    st.lists(st.sampled_from([0, 0, 1, 3, 99]), min_size=1, max_size=5),
)
@examples(3)
def test_the_pace_of_the_watermark_decides_nothing(
    data: st.DataObject, shards: int, bucket: int, partitions: int, steps_behind: list[int]
) -> None:
    log = data.draw(logs(partitions))
    run = run_stream(log, RULES, shape_of(RULES, shards, bucket), partitions, steps_behind)
    assert_tables(run, expected(log, partitions, RULES), RULES)


@pytest.mark.parametrize("behind", [0, 99])
def test_sinks_get_rows_of_closed_windows_with_events_and_of_no_others(behind: int) -> None:
    events = random_events(100, 3600, seed=1)
    later = random_events(100, 3600, seed=2).with_columns(pl.col("event_time").dt.offset_by("3h"))
    # Two hours without events lie between: only copies reach their windows.
    # No heartbeat at its end: the last windows stay open, though the runner fires them.
    log = event_log(pl.concat([events, later]), None, 2)
    run = run_stream(log, RULES, shape_of(RULES, 2, 1), 2, [behind])
    tables = expected(log, 2, RULES)
    assert tables.watermark is not None
    told = [(output.shard, output.end) for output in run.outputs if output.counters.height]
    assert len(told) == len(set(told))
    ends = {end for _, end in told}
    assert ends == {start + RULES.window for start in tables.features["window_start"]}
    assert max(ends) <= tables.watermark
    assert not any(output.features.height for output in run.outputs if output.end not in ends)
    assert run.records.filter(pl.col("event_time") >= tables.watermark).height == 11
    assert_tables(run, tables, RULES)
