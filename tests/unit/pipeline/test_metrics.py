"""What the steps count, as a runner reports it, against what the sinks got."""

from __future__ import annotations

from datetime import timedelta

import apache_beam as beam
import polars as pl
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from agreement import settings_of, shape_of
from hostile import BAD
from logs import BASE, collecting, ends_of, random_events, to_log
from oracle import Rules
from spotify_mlops.domain.events import encode
from spotify_mlops.pipeline import graph, metrics
from spotify_mlops.pipeline.position import start_of_log

RULES = Rules()


def test_each_step_counts_what_goes_through_it() -> None:
    events = random_events(300, 3600, seed=3)
    early = events[:5].with_columns(pl.col("event_time").dt.offset_by("-3h"))
    bad = [value for value, _ in BAD[:20]]
    values = [*encode(events), *encode(events[280:]), *bad, *encode(early)]
    log = to_log(values, [0] * len(values), BASE + timedelta(hours=2), 1)
    shape = shape_of(RULES, shards=2, bucket=3)
    start = start_of_log({0: 0})
    settings = settings_of(RULES, 50)
    with collecting(log, settings, shape, start) as (source, sinks, run):
        pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions([]))
        graph.build(pipeline, source, start, sinks, ends_of(log, 1))
        result = pipeline.run()
        result.wait_until_finish()
        counted = metrics.read(result)
        assert counted == {
            "records_read": log.height,
            "events": 325,
            "dead_letters": 20,
            "late": int(run.records["late"].sum()),
            "duplicates": int(run.counters["duplicates"].sum()),
            "windows": run.features["window_start"].n_unique(),
            "rows": run.features.height,
            "predictions": 0,  # no model is champion here
        }
        assert counted["late"] > 5
        assert counted["duplicates"] == 20 - (counted["late"] - 5)  # a late copy is late alone
        assert counted["rows"] > counted["windows"] > 1
