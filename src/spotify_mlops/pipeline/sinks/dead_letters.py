"""Dead letters to their topic and their table, whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl
from confluent_kafka import KafkaException, Producer

from ...config.errors import ServiceError
from ...config.params import Params
from ...io import kafka
from ...io.bigquery import tables
from ...io.bigquery.appending import Appender
from ...io.kafka import DEAD_LETTER_BYTES, dead_letter_topic
from .. import steps
from ..job import Job
from . import rows
from .buffered import BufferedDoFn


class DeadLetterTopic:
    """Publishes dead letters with the original bytes; reason and position are headers."""

    def __init__(self, params: Params) -> None:
        """Connect an idempotent producer."""
        self._topic = dead_letter_topic(params.kafka)
        self._timeout = params.stream.sink_deadline.total_seconds()
        self._producer = Producer(
            kafka.client_config(params)
            | {
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": DEAD_LETTER_BYTES,
            }
        )

    def publish(self, dead_letters: pl.DataFrame) -> None:
        """Publish rows of ``spotify_dead_letters`` and wait until they are acknowledged.

        Raises:
            ServiceError: the broker did not take them in time.
        """
        failures: list[str] = []

        def delivered(error: object, _: object) -> None:
            if error is not None:
                failures.append(str(error))

        for letter in dead_letters.iter_rows(named=True):
            headers = {
                "reason": letter["reason"],
                "detail": letter["detail"] or "",
                "topic": letter["topic"],
                "partition": str(letter["log_partition"]),
                "offset": str(letter["log_offset"]),
            }
            self._produce(letter["value"], headers, delivered)
        left = self._producer.flush(self._timeout)
        if left or failures:
            reason = failures[0] if failures else f"{left} sin confirmar"
            raise ServiceError(f"No se pudo publicar en {self._topic}: {reason}.")

    def _produce(
        self, value: bytes | None, headers: dict[str, str], delivered: Callable[..., None]
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value,
                    headers=list(headers.items()),
                    on_delivery=delivered,
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise ServiceError(f"No se pudo publicar en {self._topic}: {error}.") from error


class _WriteDeadLettersDoFn(BufferedDoFn):
    def __init__(
        self,
        job: Job,
        name: str,
        interval: float,
        params: Params,
        skip: Mapping[int, int],
        table: bool,
    ) -> None:
        super().__init__(job, name, interval)
        self._params = params
        self._skip = dict(skip)
        self._table = table

    def setup(self) -> None:
        self._topic = DeadLetterTopic(self._params)
        self._appender = Appender(self._params, tables.DEAD_LETTERS) if self._table else None

    def select(self, marked: pl.DataFrame) -> pl.DataFrame:
        return rows.dead_letter_rows(
            steps.at_or_after(marked, self._skip), self._params.kafka.topic
        )

    def write(self, rows: pl.DataFrame) -> None:
        self._topic.publish(rows)
        if self._appender is not None:
            self._appender.append(rows)

    def teardown(self) -> None:
        super().teardown()
        if self._appender is not None:
            self._appender.close()


@dataclass(frozen=True)
class DeadLettersSink:
    """Publishes dead letters to their topic and, live, appends them to their table."""

    params: Params
    interval: float
    skip: Mapping[int, int] = field(default_factory=dict)
    """Per partition, records below this were published by an earlier run."""
    table: bool = True
    name: str = "DeadLetters"

    def dofn(self, job: Job) -> BufferedDoFn:
        """Return the DoFn that writes."""
        return _WriteDeadLettersDoFn(
            job, self.name, self.interval, self.params, self.skip, self.table
        )
