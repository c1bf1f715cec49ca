"""The topic, read in batches: what cannot be read, and what is too far ahead."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from ..config.errors import IntegrityError, ServiceError
from ..config.params import Params
from ..domain.events import LOG_COLUMNS, withheld
from ..domain.watermark import Marks
from ..io import kafka
from ..io.kafka import damaged
from .job import Unreadable

POLL_SECONDS = 0.05
_TROUBLE_SECONDS = 5.0
"""A partition that gives nothing but an error for so long is logged."""
_FETCH_BYTES = 512 << 10
_FETCHED_RECORDS = 10_000
"""Of each partition, asked for at once and waiting to be given out. The consumer gives out one
fetch after the other: with more, a partition is far ahead before it can be paused, and what
waits when it is paused is fetched again."""
_REFETCH_MS = 5
"""The library looks only each second whether less waits; a batch is gone sooner."""
_NOT_THERE = (
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._LOG_TRUNCATION,
)
"""The broker does not know the place from which it was asked."""
_log = logging.getLogger(__name__)


class _Trouble(NamedTuple):
    """An error that a partition gives in place of records."""

    since: float
    what: Unreadable
    logged: bool = False


class KafkaReader:
    """Reads assigned partitions of the topic from given offsets."""

    def __init__(self, params: Params, offsets: Mapping[int, int]) -> None:
        """Connect and seek; ``offsets`` is the first record of each partition."""
        self._params = params
        self._config = kafka.client_config(params)
        self._consumer = Consumer(
            self._config
            | {
                "group.id": f"{params.profile}-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": _FETCH_BYTES,
                "fetch.queue.backoff.ms": _REFETCH_MS,
                "queued.min.messages": _FETCHED_RECORDS,
                "queued.max.messages.kbytes": 128 << 10,
                "receive.message.max.bytes": damaged.RECEIVE_BYTES,
                "fetch.max.bytes": damaged.RECEIVE_BYTES // 2,
                "check.crcs": True,
                "error_cb": self._on_error,
            }
        )
        self._consumer.assign(
            [TopicPartition(params.kafka.topic, p, offset) for p, offset in offsets.items()]
        )
        self._ahead: frozenset[int] = frozenset()
        self._paused: frozenset[int] = frozenset()
        self._sent = dict(offsets)
        self._failing_since: float | None = None
        self._failure = ""
        self._outage_logged = False
        self._troubles: dict[int, _Trouble] = {}

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._outage_logged:
            self._outage_logged = True
            _log.error("%s Se espera a que vuelva.", self._unreachable())
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._failure = error.str()

    def poll(self) -> pl.DataFrame:
        """Return what has arrived, at most ``batch_records``.

        Raises:
            ServiceError: the broker has not answered, or a partition has given nothing but an
                error, for ``service_timeout``.
            IntegrityError: the log no longer has the next records.
        """
        self._pause()
        messages = self._consumer.consume(self._params.stream.batch_records, POLL_SECONDS)
        damage: dict[int, int] = {}
        if [1 for message in messages if message.error() is not None]:
            messages, damage = self._without_failures(messages)
        largest = max(map(len, messages), default=0)
        values = withheld.taken([message.value() for message in messages], largest)
        partitions = [message.partition() for message in messages]
        offsets = [message.offset() for message in messages]
        times = [message.timestamp()[1] for message in messages]
        now = time.monotonic()
        if messages:
            self._failing_since = None
            self._outage_logged = False
            given = {p for p in set(partitions) if p is not None}
            for partition in self._troubles.keys() & given:
                del self._troubles[partition]
        elif self._failing_since is not None:
            limit = self._params.stream.service_timeout.total_seconds()
            if time.monotonic() - self._failing_since > limit and not self._answers():
                raise self._unreachable()
        self._check_troubles(now)
        batch = pl.DataFrame(
            {
                "partition": pl.Series(partitions, dtype=pl.Int32),
                "offset": pl.Series(offsets, dtype=pl.Int64),
                "append_time": (pl.Series(times, dtype=pl.Int64) * 1000)
                .cast(pl.Datetime("us"))
                .dt.replace_time_zone("UTC"),
                "value": values,
            },
            schema=LOG_COLUMNS,
        )
        if not damage:
            return batch
        return pl.concat([batch, *(self._salvage(p, offset) for p, offset in damage.items())])

    def _without_failures(self, messages: list[Message]) -> tuple[list[Message], dict[int, int]]:
        """Return the records that are sound, and of partitions that go on with damage, where.

        What a partition gives after damage is left: the consumer has lost its place in it.
        """
        sound: list[Message] = []
        following: dict[int, int] = {}
        damage: dict[int, int] = {}
        for message in messages:
            partition, offset, error = message.partition(), message.offset(), message.error()
            if partition in damage:
                continue
            if error is None:
                sound.append(message)
                if partition is not None and offset is not None:
                    following[partition] = offset + 1
                continue
            if partition is None or partition not in self._sent:
                self._fail(error)
                continue
            # The consumer names the batch, in the midst of which it may have been sent.
            place = following.get(partition, max(offset or 0, self._sent[partition]))
            if damaged.is_damage(error):
                damage[partition] = place
            elif error.code() in _NOT_THERE:
                place = self._send_back(partition, error)
            else:
                self._fail(error)
            self._in_trouble(partition, place, error)
        return sound, damage

    def _salvage(self, partition: int, offset: int) -> pl.DataFrame:
        """Return what can be read where the consumer cannot go on, and send it beyond that."""
        found = damaged.salvage(self._params, partition, offset)
        if found.following > offset:
            _log.warning(
                "Kafka, tema %s, partición %s: los registros del %s al %s están en un lote que no "
                "se puede leer entero; los que no caben o están dañados son cartas muertas.",
                *(self._params.kafka.topic, partition, offset, found.following - 1),
            )
            self._troubles.pop(partition, None)
        self._go_on(partition, found.following)
        return found.records

    def _send_back(self, partition: int, error: KafkaError) -> int:
        """Let a partition go on whose place the broker does not know; return that place.

        The broker says so where the place is not in the log any more, and where the consumer, after
        damage, has asked from a wrong one. Until it is sent somewhere it asks for nothing.

        Raises:
            IntegrityError: the log no longer has the next record.
        """
        topic = self._params.kafka.topic
        (read,) = self._consumer.position([TopicPartition(topic, partition)])
        place = max(read.offset, self._sent[partition])
        patience = self._params.stream.service_timeout.total_seconds()
        try:
            first, end = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=patience
            )
        except KafkaException as failure:
            raise self._unreachable() from failure
        if error.code() == KafkaError._LOG_TRUNCATION or not first <= place <= end:
            raise IntegrityError(
                f"El tema {topic} ya no tiene los registros desde los que hay que seguir: la "
                f"partición {partition} va del {first} al {end} y hay que seguir desde el {place} "
                f"({error.str()}). Reconstrúyelo con «spotify-mlops replay --from archive»."
            )
        self._go_on(partition, place)
        return place

    def _go_on(self, partition: int, offset: int) -> None:
        damaged.go_on(self._consumer, self._params.kafka.topic, partition, offset)
        self._paused -= {partition}
        self._sent[partition] = offset

    def _in_trouble(self, partition: int, offset: int, error: KafkaError) -> None:
        what = Unreadable(partition, offset, error.str())
        known = self._troubles.get(partition, _Trouble(time.monotonic(), what))
        self._troubles[partition] = known._replace(what=what)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The partitions that have given nothing but an error for a while."""
        limit = time.monotonic() - _TROUBLE_SECONDS
        return tuple(t.what for t in list(self._troubles.values()) if t.since < limit)

    def _check_troubles(self, now: float) -> None:
        if not self._troubles:
            return
        for partition, trouble in self._troubles.items():
            told = (
                f"Kafka responde, pero la partición {partition} del tema "
                f"{self._params.kafka.topic} no se puede leer desde el registro "
                f"{trouble.what.offset} ({trouble.what.error})."
            )
            if now - trouble.since > self._params.stream.service_timeout.total_seconds():
                raise ServiceError(told)
            if now - trouble.since > _TROUBLE_SECONDS and not trouble.logged:
                self._troubles[partition] = trouble._replace(logged=True)
                _log.error("%s", told)

    def _fail(self, error: KafkaError) -> None:
        if not error.retriable() and error.fatal():
            raise KafkaException(error)
        self._on_error(error)

    def _answers(self) -> bool:
        try:
            self._consumer.list_topics(self._params.kafka.topic, timeout=5)
        except KafkaException:
            return False
        self._failing_since = None
        return True

    def _unreachable(self) -> ServiceError:
        server = self._config["bootstrap.servers"]
        reason = f" ({self._failure})" if self._failure else ""
        return ServiceError(f"Kafka no responde en {server}{reason}. Mira «spotify-mlops status».")

    def align(self, marks: Marks, max_drift: timedelta) -> None:
        """Pause, from the next ``poll`` on, the partitions that are far ahead in event time.

        The consumer gives out as many bytes of one partition as of another. One with fewer events
        gets ahead, the more the longer the backlog is, and the windows that it opens wait in
        memory. Nobody waits for a partition that has been read to its end.

        Args:
            marks: after the last batch, of the partitions that are still to be read.
            max_drift: how far ahead of the slowest a partition may be; it goes on at half of this.
        """
        known = {p: mark for p, mark in marks.items() if mark is not None}
        if not known or not (self._ahead or _spread(known.values()) > max_drift):
            self._ahead = frozenset()
            return  # what follows waits for a poll under way
        slowest = min((mark for p, mark in known.items() if not self._is_read(p)), default=None)
        self._ahead = frozenset(
            p
            for p, mark in known.items()
            if slowest is not None
            and mark - slowest > (max_drift / 2 if p in self._ahead else max_drift)
        )

    @property
    def throttles(self) -> bool:
        """Whether a partition is paused: what it has is not asked for."""
        return bool(self._ahead)

    def _pause(self) -> None:
        """Do what ``align`` said, in the thread that reads."""
        ahead = self._ahead
        for change, partitions in (
            (self._consumer.pause, ahead - self._paused),
            (self._consumer.resume, self._paused - ahead),
        ):
            if partitions:
                change([TopicPartition(self._params.kafka.topic, p) for p in partitions])
        self._paused = ahead

    def _is_read(self, partition: int) -> bool:
        """Tell whether a partition has been read to the end that the broker last gave."""
        place = TopicPartition(self._params.kafka.topic, partition)
        try:
            _, end = self._consumer.get_watermark_offsets(place, timeout=1, cached=True)
        except KafkaException:
            return False
        (read,) = self._consumer.position([place])
        return max(read.offset, self._sent[partition]) >= end

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def _spread(marks: Collection[datetime]) -> timedelta:
    return max(marks) - min(marks)
