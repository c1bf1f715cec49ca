"""Hostile records on real services: each is answered for, whole, and none stops the stream."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from datetime import UTC, datetime

import polars as pl
import pytest
from confluent_kafka import Producer
from worlds import catch_up, make

from hostile import BAD, ODD, with_field
from spotify_mlops.config.errors import InputError
from spotify_mlops.config.params import Params
from spotify_mlops.io import kafka, mongo
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.kafka import MAX_RECORD_BYTES, Publisher, dead_letter_topic
from spotify_mlops.io.local import state
from spotify_mlops.operations import audit, bounded, compare

ENVELOPE = 200
"""What Kafka adds to a batch of one record, at most."""
BEYOND = 20_000_000
"""Bytes of a record that a producer's compression takes below the topic's limit."""
NOISE = base64.b64encode(random.Random(1).randbytes(MAX_RECORD_BYTES))


def numbered(value: bytes, number: int) -> bytes:
    """Give an event an identifier of its own."""
    return value.replace(b'"event_id": "a"', b'"event_id": "e%d"' % number)


def filled(value: bytes, size: int, filler: bytes = NOISE) -> bytes:
    """Fill the gap that a record has for it up to ``size`` bytes."""
    return value.replace(b"@", filler[: size - len(value) + 1])


EVENTS = [
    *(numbered(value, number) for number, value in enumerate(ODD)),
    numbered(filled(with_field(b'"x": "@"'), MAX_RECORD_BYTES - ENVELOPE), 1000),
    numbered(with_field(b'"x": [' + b"0," * 2_000_000 + b"0]"), 1001),  # 26 MB as a document
]
LETTERS = [*BAD, (filled(with_field(b'"x": "@\xff"'), MAX_RECORD_BYTES - ENVELOPE), "not_utf8")]
OVERSIZED = (
    numbered(filled(with_field(b'"x": "@"'), BEYOND, b"y" * BEYOND), 1002),
    filled(with_field(b'"country": "XX", "x": "@"'), BEYOND, b"y" * BEYOND),
)


@pytest.fixture(scope="module")
def settings(services: dict[str, state.Record]) -> Params:
    return make(partitions=2, operational_retention="48h")


def publish(settings: Params, values: list[bytes | None]) -> None:
    columns = {"partition": [number % 2 for number in range(len(values))], "value": values}
    frame = pl.DataFrame(columns, schema={"partition": pl.Int32, "value": pl.Binary})
    with Publisher(settings) as publisher:
        publisher.send(frame.with_columns(key=pl.lit("t")))


def test_a_record_beyond_the_limit_is_named_and_not_published(settings: Params) -> None:
    kafka.ensure_topic(settings)
    for size in (MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES - 10):  # here, and by the broker
        with pytest.raises(InputError, match=r"no cabe en el tema .*8\.388.*clave «t»"):
            publish(settings, [filled(with_field(b'"x": "@"'), size)])
    assert set(kafka.offsets(settings).values()) == {(0, 0)}


def test_every_hostile_record_is_answered_for(settings: Params) -> None:
    kafka.ensure_topic(settings)
    values = [
        value for pair in zip(EVENTS, LETTERS, strict=False) for value in (pair[0], pair[1][0])
    ]
    values += [value for value, _ in LETTERS[len(EVENTS) :]]
    publish(settings, values)
    foreign = Producer(
        kafka.client_config(settings) | {"message.max.bytes": 64 << 20, "compression.type": "lz4"}
    )
    for value in OVERSIZED:
        foreign.produce(settings.kafka.topic, value, partition=0)
        assert foreign.flush(60) == 0
    kafka.publish_heartbeats(settings, datetime(2026, 1, 6, tzinfo=UTC))

    assert catch_up(settings)["restarts"] == 0

    events = compare.content(settings, tables.EVENTS)
    assert set(events["event_id"]) == {numbered_name(value) for value in EVENTS}
    assert_dead_letters(settings)
    assert_documents(settings, events)
    report = audit.audit(settings)
    assert report.holds, report.differences
    again = settings.replace(dataset=f"{settings.bigquery.dataset}_again")
    bounded.run(again, replay=True, from_archive=True)
    assert [table.name for table in compare.compare(settings, again) if not table.equal] == []


def numbered_name(value: bytes) -> str:
    return str(value.split(b'"event_id": "')[1].split(b'"')[0], "ascii")


def assert_dead_letters(settings: Params) -> None:
    """Check that each bad record is one letter with its reason, in table and topic.

    It is whole, or its digest and size are.
    """
    letters = compare.content(settings, tables.DEAD_LETTERS)
    expected = sorted([*LETTERS, *[(None, "too_large")] * len(OVERSIZED)], key=repr)
    assert sorted(letters.select("value", "reason").rows(), key=repr) == expected
    assert set(letters.filter(reason="too_large")["detail"]) == {
        f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}: only in the log"
        for value in OVERSIZED
    }
    of_letters = settings.replace(topic=dead_letter_topic(settings.kafka))
    published = [
        message.value() for batch in kafka.read(of_letters, {0: 0}) for _, _, message in batch
    ]
    assert sorted(published, key=repr) == [value for value, _ in expected]


def assert_documents(settings: Params, events: pl.DataFrame) -> None:
    """Check that each event is one document that has all of the record, or says where it is."""
    stored = {
        document["event_id"]: document for document in mongo.database(settings)["events"].find()
    }
    assert len(stored) == len(EVENTS)
    for value in EVENTS:
        document = stored[numbered_name(value)]
        if "note" in document:
            assert document["original"].encode() == value
            assert document["track_id"] == "t"
        else:
            own = {"_id": document["_id"], "event_time": document["event_time"]}
            assert document == json.loads(value) | own
    tracks = {document["_id"] for document in mongo.database(settings)["tracks"].find()}
    assert tracks == {f"CO:{track}" for track in events["track_id"]}
