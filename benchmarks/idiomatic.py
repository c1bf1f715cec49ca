"""The baseline: the same job as one writes it first in Beam, one element per event.

Plain Beam of the textbook kind (``json.loads``, ``Map``, tagged outputs, ``CombinePerKey``,
``GroupByKey``), nothing slowed down on purpose. It reads the same records from the same topic
with the same client, sends bad ones to a dead-letter output, drops duplicates, counts by window,
country and track, ranks within the country, looks up the lags, makes a dictionary of features a
row and predicts batches of rows with the same model. It looks for no late events and makes fewer
features than the project's graph (no calendar, artist or other-country inputs; the model gets
zeros in their place): both are in its favour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from confluent_kafka import Consumer, TopicPartition

from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import COUNTRIES, EVENT_TYPES, SCHEMA_VERSIONS
from spotify_mlops.io import kafka
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import PromotionHistory

DEAD, DUPLICATES = "dead", "duplicates"


class ReadKafka(beam.DoFn):
    """Yields a record's bytes, one element a record, up to the given ends."""

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._config = config
        self._topic = topic

    def process(self, extent: tuple[int, int, int]) -> Iterator[bytes]:
        partition, low, high = extent
        consumer = Consumer(self._config | {"group.id": "idiomatic", "enable.auto.commit": False})
        consumer.assign([TopicPartition(self._topic, partition, low)])
        left = high - low
        while left > 0:
            for message in consumer.consume(4000, 1.0):
                offset = message.offset()
                if message.error() is None and offset is not None and offset < high:
                    left -= 1
                    yield message.value() or b""  # a record may have none
        consumer.close()


class Parse(beam.DoFn):
    """Decodes and validates a record; what is no event goes to the dead-letter output."""

    REQUIRED = ("event_id", "event_time", "event_type", "country", "track_id", "source")

    def process(self, value: bytes) -> Iterator[Any]:
        try:
            event = json.loads(value)
            if event.get("control") == "heartbeat":
                return
            if event["schema_version"] not in SCHEMA_VERSIONS:
                raise ValueError("schema_version")
            if not all(isinstance(event[name], str) and event[name] for name in self.REQUIRED):
                raise ValueError("required fields")
            if event["country"] not in COUNTRIES or event["event_type"] not in EVENT_TYPES:
                raise ValueError("unknown code")
            count = event.get("count", 1)
            if not isinstance(count, int) or count < 1:
                raise ValueError("count")
            popularity = event.get("popularity")
            if popularity is not None and not 0 <= popularity <= 100:
                raise ValueError("popularity")
            time = datetime.fromisoformat(event["event_time"]).timestamp()
            if time > 4_000_000_000:
                raise ValueError("future")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield beam.pvalue.TaggedOutput(DEAD, (value, str(error)))
            return
        yield TimestampedValue(event, time)


class First(beam.DoFn):
    """Keeps one of equal events; the rest go to an output of their own."""

    def process(self, element: tuple[Any, Iterable[dict[str, Any]]]) -> Iterator[Any]:
        events = iter(element[1])
        yield next(events)
        for event in events:
            yield beam.pvalue.TaggedOutput(DUPLICATES, event)


class CountEvents(beam.CombineFn):
    """Counts a row's events by type."""

    def create_accumulator(self) -> dict[str, int]:
        return {}

    def add_input(self, counts: dict[str, int], event: dict[str, Any]) -> dict[str, int]:
        kind = event["event_type"]
        counts[kind] = counts.get(kind, 0) + event.get("count", 1)
        return counts

    def merge_accumulators(self, several: Iterable[dict[str, int]]) -> dict[str, int]:
        merged: dict[str, int] = {}
        for counts in several:
            for kind, number in counts.items():
                merged[kind] = merged.get(kind, 0) + number
        return merged

    def extract_output(self, counts: dict[str, int]) -> dict[str, int]:
        return counts


class RankCountry(beam.DoFn):
    """Ranks a country's tracks by plays, and copies each row to the windows that look back."""

    def __init__(self, lags: Sequence[int], length: float) -> None:
        self._lags = (0, *lags)
        self._length = length

    def process(
        self,
        element: tuple[str, Iterable[tuple[str, dict[str, int]]]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        country, rows = element
        tracks = list(rows)
        played = sorted(counts.get("play", 0) for _, counts in tracks if counts.get("play", 0))
        ranks: dict[int, list[int]] = {}
        for place, plays in enumerate(played, 1):
            ranks.setdefault(plays, []).append(place)
        start = float(window.start)
        for track, counts in tracks:
            places = ranks.get(counts.get("play", 0))
            score = 100 * sum(places) / len(places) / len(played) if places else 0.0
            for lag in self._lags:
                yield TimestampedValue(
                    ((country, track), (lag, score, counts)), start + lag * self._length
                )


class MakeFeatures(beam.DoFn):
    """Joins a row with its lags into one dictionary."""

    def __init__(self, lags: Sequence[int]) -> None:
        self._lags = lags

    def process(
        self,
        element: tuple[tuple[str, str], Iterable[tuple[int, float, dict[str, int]]]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[dict[str, Any]]:
        (country, track), rows = element
        found = {lag: (score, counts) for lag, score, counts in rows}
        if 0 not in found:
            return
        score, counts = found[0]
        total = sum(counts.values())
        features: dict[str, Any] = {
            "window_start": float(window.start),
            "country": country,
            "track_id": track,
            "n": total,
            "country_rank": score,
            "hour_of_day": window.start.to_utc_datetime().hour,
            "event_type_search_result": counts.get("search_result", 0) / total,
            "skip_rate": counts.get("skip", 0) / total,
        }
        for name in ("CO", "ES", "MX", "US"):
            features[f"country_{name}"] = float(country == name)
        for lag in self._lags:
            before = found.get(lag, (0.0, {}))[0]
            features[f"score_lag_{lag}"] = before
            features[f"momentum_{lag}"] = score - before
        yield features


class PredictLevels(beam.DoFn):
    """Adds the level to each row of a batch."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle

    def setup(self) -> None:
        self._predictor = Predictor.load(self._bundle)

    def process(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        names = self._predictor.features
        x = np.array([[row.get(name, 0.0) for name in names] for row in rows])
        predicted = self._predictor.predict_array(x)
        for row, level, score in zip(rows, predicted["level"], predicted["score"], strict=True):
            yield row | {"level": level, "score": score}


def key_of(event: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return the four fields that decide duplicates."""
    return event["event_id"], event["event_time"], event["country"], event["track_id"]


def build(
    pipeline: beam.Pipeline, params: Params, extents: Sequence[tuple[int, int, int]]
) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
    """Put the job into a pipeline; return rows with their levels, dead letters and duplicates.

    Args:
        pipeline: a Beam pipeline.
        params: where the log and the registered model are, and the times.
        extents: partition, first record and end of what is read.
    """
    promotions = PromotionHistory(params)
    bundle = promotions.bundle(promotions.periods()[0].version).path
    window = params.windows.window.total_seconds()
    records = (
        pipeline
        | beam.Create(list(extents))
        | "Read" >> beam.ParDo(ReadKafka(kafka.client_config(params), params.kafka.topic))
        | "Parse" >> beam.ParDo(Parse()).with_outputs(DEAD, main="events")
    )
    unique = (
        records.events
        | "Window" >> beam.WindowInto(FixedWindows(window))
        | "KeyForDuplicates" >> beam.Map(lambda event: (key_of(event), event))
        | "Duplicates" >> beam.GroupByKey()
        | "First" >> beam.ParDo(First()).with_outputs(DUPLICATES, main="events")
    )
    rows = (
        unique.events
        | "KeyByRow" >> beam.Map(lambda e: ((e["country"], e["track_id"]), e))
        | "Count" >> beam.CombinePerKey(CountEvents())
        | "KeyByCountry" >> beam.Map(lambda e: (e[0][0], (e[0][1], e[1])))
        | "Countries" >> beam.GroupByKey()
        | "Rank" >> beam.ParDo(RankCountry(params.windows.lags, window))
        | "WindowAgain" >> beam.WindowInto(FixedWindows(window))
        | "Rows" >> beam.GroupByKey()
        | "Features" >> beam.ParDo(MakeFeatures(params.windows.lags))
        | "Batch" >> beam.BatchElements(min_batch_size=500, max_batch_size=500)
        | "Predict" >> beam.ParDo(PredictLevels(bundle))
    )
    return rows, records[DEAD], unique[DUPLICATES]
