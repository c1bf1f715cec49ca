"""Publishing: idempotent, acknowledged by all replicas, resumable to the record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from numpy.typing import NDArray

from ...config.errors import InputError, ServiceError, UserError
from ...config.params import Params
from ...config.progress import Progress
from ...config.sections import Kafka
from ...config.spanish import number, percent
from ...domain.events import encode, encode_heartbeat
from ...domain.hashing import partition_of
from .admin import ensure_topic
from .clients import client_config
from .journal import unanswered
from .reading import read
from .topics import MAX_RECORD_BYTES

RECORD_COLUMNS = {"partition": pl.Int32, "key": pl.String, "value": pl.Binary}
"""What is published: a null value is a tombstone; control records have no key."""
Headers = Sequence[tuple[str, bytes | None]]

_BUFFERED_KILOBYTES = 256 << 10
_REPORT_SECONDS = 2.0


class Publisher:
    """A producer of the log that knows what is already there.

    Use it as a context manager; leaving it flushes, unless an exception is on its way.

    Args:
        params: where the topic is.
        linger_ms: how long a batch waits to be filled; low for the live part.

    Raises (from any method):
        ServiceError: the broker did not take a record within ``service_timeout``.
        InputError: a record is larger than what the topic takes.
    """

    def __init__(self, params: Params, *, linger_ms: float = 20) -> None:
        self._params = params
        self._timeout = params.stream.service_timeout.total_seconds()
        self._errors: list[UserError] = []
        self._expected: dict[int, NDArray[np.uint64]] = {}
        self.published = 0
        self.skipped = 0
        self._producer = Producer(
            client_config(params)
            | {
                "log_level": 2,  # errors are raised; warnings of a start-up are noise
                "enable.idempotence": True,  # implies acks=all and order kept over retries
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "batch.size": 1 << 20,
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": _BUFFERED_KILOBYTES,
                "message.timeout.ms": int(self._timeout * 1000),
                "delivery.report.only.error": True,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()
            self._producer.flush(1)

    def resume(self, start: Mapping[int, int]) -> int:
        """Read the log from ``start`` (offset by partition): what is there is not sent again.

        `send` must then be given the same records in the same order. Of each partition the log
        has a prefix of them, because an idempotent producer keeps order; records of others in
        between are passed over.

        Returns:
            The number of records read.
        """
        self._expected = _read_digests(self._params, start)
        return sum(len(digests) for digests in self._expected.values())

    @property
    def recognising(self) -> bool:
        """Whether records that `resume` read are still to be met."""
        return bool(self._expected)

    def send(self, records: pl.DataFrame) -> None:
        """Queue records (``RECORD_COLUMNS``) in order, waiting while the queue is full."""
        if self._expected:
            records = self._without_published(records)
        produce = self._producer.produce
        topic = self._params.kafka.topic
        rows = zip(
            records["partition"].to_list(),
            records["key"].cast(pl.Binary).to_list(),
            records["value"].to_list(),
            strict=True,
        )
        for partition, key, value in rows:
            try:
                produce(topic, value, key, partition, self._on_error)
            except BufferError:
                self._produce(partition, key, value)
            except KafkaException as error:
                raise self._refused(error.args[0], partition, key, value) from error
        self.published += len(records)
        self._producer.poll(0)
        self._check()

    def send_with_headers(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Queue one record as it is, waiting while the queue is full."""
        self._produce(partition, key, value, headers)
        self.published += 1
        self._check()

    def flush(self) -> None:
        """Wait until the broker has acknowledged everything."""
        left = self._producer.flush(self._timeout + 5)
        self._check()
        if left:
            raise ServiceError(unanswered(self._params))

    def _on_error(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            record = (message.partition(), message.key(), message.value())
            self._errors.append(self._refused(error, *record))

    def _refused(
        self, error: KafkaError, partition: int | None, key: bytes | None, value: bytes | None
    ) -> UserError:
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return ServiceError(unanswered(self._params, error))
        name = (key or b"").decode(errors="replace")[:80]
        return InputError(
            f"Un registro no cabe en el tema {self._params.kafka.topic}: ocupa "
            f"{number(len(key or b'') + len(value or b''))} bytes y se admiten "
            f"{number(MAX_RECORD_BYTES)}, sobre incluido (partición {partition}, clave «{name}»)."
        )

    def _check(self) -> None:
        if self._errors:
            count, first = len(self._errors), self._errors[0]
            raise type(first)(f"{first} Registros sin entregar: {number(count)}.")

    def _produce(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    self._params.kafka.topic,
                    value,
                    key,
                    partition,
                    self._on_error,
                    headers=list(headers),
                )
                return
            except BufferError:
                self._producer.poll(0.1)  # returns when a delivery makes room, or fails
                self._check()
            except KafkaException as error:
                raise self._refused(error.args[0], partition, key, value) from error

    def _without_published(self, records: pl.DataFrame) -> pl.DataFrame:
        digests = _digests(records["key"].cast(pl.Binary), records["value"])
        partitions = records["partition"].to_numpy()
        fresh = np.ones(len(records), dtype=bool)
        for partition, expected in list(self._expected.items()):
            rows = np.flatnonzero(partitions == partition)
            matched, used = _match(digests[rows], expected)
            fresh[rows[:matched]] = False
            if matched < len(rows) or used == len(expected):
                del self._expected[partition]  # the end of what the log has of this source
            else:
                self._expected[partition] = expected[used:]
        self.skipped += int((~fresh).sum())
        return records.filter(pl.Series(fresh))


def publish(
    params: Params, batches: Iterable[pl.DataFrame], *, progress: Progress | None = None
) -> int:
    """Publish batches in order; returns when the broker has all of them.

    Args:
        params: where the topic is; it is made when it does not exist.
        batches: frames of ``EVENT_COLUMNS``, or of ``RECORD_COLUMNS`` ready to send.
        progress: told now and then how far it is, in Spanish.

    Returns:
        The number of records.

    Raises:
        ServiceError: Kafka does not answer, or did not take a record.
    """
    ensure_topic(params)
    report = PublishingProgress(progress)
    with Publisher(params) as publisher:
        for batch in batches:
            publisher.send(
                batch if "value" in batch.columns else event_records(params.kafka, batch)
            )
            report(publisher)
    return publisher.published


def event_records(kafka: Kafka, events: pl.DataFrame) -> pl.DataFrame:
    """Turn ``EVENT_COLUMNS`` into ``RECORD_COLUMNS``: JSON, keyed by track."""
    partition = partition_of(events["track_id"], kafka.partitions)
    return events.select(partition, pl.col("track_id").alias("key"), encode(events))


def heartbeat_records(kafka: Kafka, time: datetime) -> pl.DataFrame:
    """Return one heartbeat a partition that vouches for ``time``; ``RECORD_COLUMNS``."""
    value = encode_heartbeat(time)
    return pl.DataFrame(
        {
            "partition": range(kafka.partitions),
            "key": [None] * kafka.partitions,
            "value": [value] * kafka.partitions,
        },
        schema=RECORD_COLUMNS,
    )


def publish_heartbeats(params: Params, time: datetime) -> int:
    """Publish one heartbeat a partition: event time there is at least ``time``.

    Raises:
        ServiceError: Kafka does not answer.
    """
    return publish(params, [heartbeat_records(params.kafka, time)])


class PublishingProgress:
    """Says how far publishing is, at most every two seconds."""

    def __init__(self, progress: Progress | None, total: int | None = None) -> None:
        self._progress = progress
        self._total = total
        self._began = self._last = time.monotonic()

    def __call__(self, publisher: Publisher) -> None:
        now = time.monotonic()
        if self._progress is None or now - self._last < _REPORT_SECONDS:
            return
        self._last = now
        done = publisher.published + publisher.skipped
        share = f" ({percent(min(done / self._total, 1), 0)})" if self._total else ""
        rate = publisher.published / (now - self._began)
        self._progress(f"{number(done)} registros{share}, {number(rate)} por segundo")


def _digests(keys: pl.Series, values: pl.Series) -> NDArray[np.uint64]:
    digests: NDArray[np.uint64] = values.hash(1).to_numpy()
    return digests ^ (keys.hash(2).to_numpy() >> np.uint64(1))


def _match(ours: NDArray[np.uint64], log: NDArray[np.uint64]) -> tuple[int, int]:
    """Return how many of ``ours`` the log has, in order, and how much of the log they take."""
    same = min(len(ours), len(log))
    differs = np.flatnonzero(ours[:same] != log[:same])
    if differs.size == 0 and same == len(ours):
        return same, same
    at = int(differs[0]) if differs.size else same
    place = at
    for position in range(at, len(ours)):
        found = np.flatnonzero(log[place:] == ours[position])
        if found.size == 0:
            return position, len(log)
        place += int(found[0]) + 1
    return len(ours), place


def _read_digests(params: Params, start: Mapping[int, int]) -> dict[int, NDArray[np.uint64]]:
    """Return the digests of the log's records from ``start`` on, in offset order."""
    parts: dict[int, list[NDArray[np.uint64]]] = {p: [] for p in start}
    for records in read(params, start):
        taken: dict[int, list[Message]] = {}
        for partition, _, message in records:
            taken.setdefault(partition, []).append(message)
        for partition, rows in taken.items():
            keys = pl.Series([row.key() for row in rows], dtype=pl.Binary)
            values = pl.Series([row.value() for row in rows], dtype=pl.Binary)
            parts[partition].append(_digests(keys, values))
    return {p: np.concatenate(found) for p, found in parts.items() if found}
