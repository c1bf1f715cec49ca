"""Where batches come from: the topic, or the archive of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Protocol

import polars as pl
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from .. import clients
from ..errors import IntegrityError, ServiceError
from ..events import LOG_COLUMNS, encode_heartbeat
from ..params import Params
from .marks import Marks

POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """A source of batches in offset order within each partition."""

    def poll(self) -> pl.DataFrame:
        """Return the next records (``LOG_COLUMNS``), after a short wait perhaps none."""

    def close(self) -> None:
        """Let go of connections and files."""


class KafkaReader:
    """Reads assigned partitions of the topic from given offsets."""

    def __init__(self, params: Params, offsets: Mapping[int, int]) -> None:
        """Connect and seek; ``offsets`` is the first record of each partition."""
        self._params = params
        self._config = clients.kafka_config(params)
        self._consumer = Consumer(
            self._config
            | {
                "group.id": f"{params.profile}-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": 8 << 20,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 128 << 10,
                "check.crcs": False,
                "error_cb": self._on_error,
            }
        )
        self._consumer.assign(
            [TopicPartition(params.topic, p, offset) for p, offset in offsets.items()]
        )
        self._producer: Producer | None = None
        now = time.monotonic()
        self._heard = dict.fromkeys(offsets, now)
        self._failing_since: float | None = None
        self._failure = ""
        self._told = False

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._told:
            self._told = True
            _log.error("%s Se espera a que vuelva.", self._unreachable())
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._failure = error.str()

    def poll(self) -> pl.DataFrame:
        """Return what has arrived, at most ``batch_records``.

        Raises:
            ServiceError: the broker has not answered for ``service_timeout``.
        """
        messages = self._consumer.consume(self._params.batch_records, POLL_SECONDS)
        failures = [error for message in messages if (error := message.error()) is not None]
        if failures:
            messages = [message for message in messages if message.error() is None]
            for failure in failures:
                self._fail(failure)
        values = [message.value() for message in messages]
        partitions = [message.partition() for message in messages]
        offsets = [message.offset() for message in messages]
        times = [message.timestamp()[1] for message in messages]
        if values:
            self._failing_since = None
            self._told = False
            now = time.monotonic()
            self._heard.update((p, now) for p in set(partitions) if p is not None)
        elif self._failing_since is not None:
            limit = self._params.service_timeout.total_seconds()
            if time.monotonic() - self._failing_since > limit and not self._answers():
                raise self._unreachable()
        return pl.DataFrame(
            {
                "partition": pl.Series(partitions, dtype=pl.Int32),
                "offset": pl.Series(offsets, dtype=pl.Int64),
                "append_time": (pl.Series(times, dtype=pl.Int64) * 1000)
                .cast(pl.Datetime("us"))
                .dt.replace_time_zone("UTC"),
                "value": pl.Series(values, dtype=pl.Binary),
            },
            schema=LOG_COLUMNS,
        )

    def _fail(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise IntegrityError(
                f"El tema {self._params.topic} ya no tiene los registros desde los que hay que "
                f"seguir ({error.str()}). Reconstrúyelo con «spotify-mlops replay --from archive»."
            )
        if not error.retriable() and error.fatal():
            raise KafkaException(error)
        self._on_error(error)

    def _answers(self) -> bool:
        try:
            self._consumer.list_topics(self._params.topic, timeout=5)
        except KafkaException:
            return False
        self._failing_since = None
        return True

    def _unreachable(self) -> ServiceError:
        server = self._config["bootstrap.servers"]
        reason = f" ({self._failure})" if self._failure else ""
        return ServiceError(f"Kafka no responde en {server}{reason}. Mira «spotify-mlops status».")

    def beat_silent(self, marks: Marks, idle_timeout: timedelta) -> None:
        """Write a heartbeat into each partition that is silent and holds the watermark back."""
        known = [mark for mark in marks.values() if mark is not None]
        if not known:
            return
        highest = max(known)
        now = time.monotonic()
        for partition, mark in marks.items():
            silent = now - self._heard[partition] >= idle_timeout.total_seconds()
            if silent and (mark is None or mark < highest):
                if self._producer is None:
                    self._producer = Producer(self._config | {"acks": "all"})
                self._producer.produce(
                    self._params.topic, encode_heartbeat(highest), partition=partition
                )
                self._heard[partition] = now
        if self._producer is not None:
            self._producer.poll(0)

    def close(self) -> None:
        """Leave the broker; heartbeats under way are delivered first."""
        if self._producer is not None:
            self._producer.flush(10)
        self._consumer.close()


class ArchiveReader:
    """Reads the archive's Parquet files, each record once, in offset order in each partition.

    Files come in append order. That is the offsets' order unless a job that worked off a backlog
    read one partition far ahead of another: then a part waits for what comes before it.
    """

    def __init__(self, params: Params, offsets: Mapping[int, int]) -> None:
        """List the files under ``raw/``; ``offsets`` is the first record of each partition."""
        self._next = dict(offsets)
        self._early: list[pl.DataFrame] = []
        self._batches = self._read(clients.archive_uri(params), params)

    def _read(self, archive: str, params: Params) -> Iterator[pl.DataFrame]:
        pattern = FileSystems.join(archive, "raw", params.topic, "*", "*.parquet")
        files = [item.path for item in FileSystems.match([pattern])[0].metadata_list]
        for path in sorted(files, key=lambda item: PurePosixPath(item).name):
            with FileSystems.open(path) as stream:
                frame = pl.from_arrow(pq.read_table(stream, columns=list(LOG_COLUMNS)))
            assert isinstance(frame, pl.DataFrame)
            for part in self._following(frame.cast(pl.Schema(LOG_COLUMNS))):
                yield from part.iter_slices(params.batch_records)

    def _following(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield what follows on what was read, by partition; the rest is kept."""
        ordered = frame.sort("partition", "offset").unique(
            ["partition", "offset"], keep="first", maintain_order=True
        )
        parts = [*self._early, *ordered.partition_by("partition", maintain_order=True)]
        self._early = []
        for part in sorted(parts, key=lambda part: part["offset"][0]):
            partition = part["partition"][0]
            unread = part.filter(pl.col("offset") >= self._next[partition])
            if unread.is_empty():
                continue
            first, last = unread["offset"][0], unread["offset"][-1]
            if first == self._next[partition] and unread.height == last - first + 1:
                self._next[partition] = last + 1
                yield unread
            else:
                self._early.append(unread)

    def poll(self) -> pl.DataFrame:
        """Return the next records.

        Raises:
            IntegrityError: offsets are missing in the archive, or it ended.
        """
        try:
            return next(self._batches)
        except StopIteration:
            for part in self._early:
                partition = part["partition"][0]
                raise IntegrityError(
                    f"Al archivo le faltan registros de la partición {partition} desde el "
                    f"{self._next[partition]}."
                ) from None
            raise IntegrityError(
                f"El archivo acaba antes de lo esperado; siguiente registro: {self._next}."
            ) from None

    def close(self) -> None:
        """Nothing stays open between batches."""
