"""Records that a consumer cannot read, in a real Kafka: none stops a job, each is answered for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from confluent_kafka import Producer
from worlds import catch_up, command, make

from hostile import changed
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import withheld
from spotify_mlops.io import kafka
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.kafka import damaged
from spotify_mlops.io.local import state
from spotify_mlops.operations import audit, bounded, compare, lag
from spotify_mlops.pipeline.kafka_reader import KafkaReader

BOMB = b"x" * 300_000_000
LESSER = b"x" * (damaged.RECEIVE_BYTES + 10_000_000)
HARMED = b"harmed"


def event(number: int) -> bytes:
    return changed(event_id=f"e{number}")


def put(settings: Params, values: list[bytes], codec: str = "none") -> None:
    """Publish values to the first partition as one batch, if they fit in one."""
    producer = Producer(
        kafka.client_config(settings)
        | {
            "compression.type": codec,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
            "linger.ms": 1_000,
        }
    )
    for value in values:
        producer.produce(settings.kafka.topic, value, partition=0)
    assert producer.flush(120) == 0


def harm(settings: Params) -> None:
    """Change a byte of the records that say so, as a bad disk would."""
    (file,) = (state.folder("kafka") / "data" / f"{settings.kafka.topic}-0").glob("*.log")
    content = file.read_bytes()
    assert HARMED in content
    file.write_bytes(content.replace(HARMED, b"Harmed"))


def filled(settings: Params, bomb: bytes) -> Params:
    """Publish all that cannot be read, between events."""
    kafka.ensure_topic(settings)
    put(settings, [event(n) for n in range(3)], "lz4")
    put(settings, [event(3), bomb, event(4), event(5)], "zstd")
    put(settings, [event(6)], "lz4")
    put(settings, [event(7), HARMED, event(8)])
    put(settings, [HARMED])
    put(settings, [event(9), bomb, event(10)], "gzip")
    put(settings, [event(11), bomb], "zstd")
    put(settings, [event(12)])
    harm(settings)
    kafka.publish_heartbeats(settings, datetime(2026, 1, 6, tzinfo=UTC))
    return settings


@pytest.fixture(scope="module")
def settings(services: dict[str, state.Record]) -> Params:
    """A log with all that cannot be read, between events."""
    return filled(make(partitions=1), BOMB)


DIGEST = hashlib.sha256(BOMB).hexdigest()
TOO_LARGE, UNREADABLE = {4, 13, 16}, {8, 9, 10, 11}


def test_everything_is_answered_for_live_and_from_kafka_and_archive(settings: Params) -> None:
    assert sum(high for _, high in kafka.offsets(settings).values()) == 19
    assert catch_up(settings)["restarts"] == 0
    letters = compare.content(settings, tables.DEAD_LETTERS)
    found = dict(letters.select("log_offset", "reason").iter_rows())
    assert found == dict.fromkeys(TOO_LARGE, "too_large") | dict.fromkeys(UNREADABLE, "unreadable")
    assert letters["value"].null_count() == len(found)
    large = letters.filter(reason="too_large")["detail"]
    assert set(large) == {f"{len(BOMB)} bytes, SHA-256 {DIGEST}: only in the log"}
    events = compare.content(settings, tables.EVENTS)
    assert set(events["event_id"]) == {f"e{n}" for n in range(13)} - {"e7", "e8"}
    report = audit.audit(settings)
    assert report.holds, report.differences
    assert lag.measure(settings).records == 0

    for from_archive in (False, True):
        again = settings.replace(dataset=f"{settings.bigquery.dataset}_{from_archive}")
        bounded.run(again, replay=True, from_archive=from_archive)
        assert [table.name for table in compare.compare(settings, again) if not table.equal] == []
    listed = command(settings, "dead-letters", "replay", "--dry-run")
    assert listed.returncode == 0, listed.stderr


def batches(settings: Params, offset: int, end: int) -> Iterator[pl.DataFrame]:
    reader = KafkaReader(settings, {0: offset})
    try:
        while offset < end:
            batch = reader.poll()
            offset = batch["offset"].max() + 1 if batch.height else offset
            yield batch
    finally:
        reader.close()


@pytest.fixture(scope="module")
def smaller(services: dict[str, state.Record]) -> Params:
    """The same log with bombs that are hardly larger than what a consumer takes at once."""
    return filled(make(partitions=1), LESSER)


@pytest.mark.parametrize("first", [0, 4, 5, 9, 11, 14, 16])
def test_wherever_reading_begins_the_same_comes(smaller: Params, first: int) -> None:
    settings = smaller
    whole = pl.concat(batches(settings, first, 19))
    assert whole["offset"].to_list() == list(range(first, 19))
    noted = {o for o, v in whole.select("offset", "value").rows() if withheld.said(v)}
    assert noted == {o for o in TOO_LARGE | UNREADABLE if o >= first}
    assert whole["append_time"].null_count() == 0


def test_what_is_read_alone_is_bounded(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a batch gives some of it at once, and the rest when asked again."""
    monkeypatch.setattr(damaged, "_GIVEN_BYTES", 1)
    first = damaged._read_alone(settings, 0, 3)
    assert first.following == 4
    assert first.records["offset"].to_list() == [3]
    assert damaged._read_alone(settings, 0, 18).following == 18  # nothing is wrong there
