"""Records that an ordinary consumer cannot read: their batch is too large, or damaged.

Kafka gives a batch of records whole. Where it cannot be decompressed within the consumer's bound,
or its checksum is wrong, the consumer tells so for ever and never goes on. Here the batch is read
by a process of its own, which may take more memory and ends with it: what it can read is given
as it is, and what nobody can read is a note (`events.withheld`) at its place. Both depend on the
log alone.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ...config.errors import ServiceError, UserError
from ...config.params import Params
from ...config.spanish import number
from ...domain.events import LOG_COLUMNS, Reason, withheld
from .clients import client_config

RECEIVE_BYTES = 100_000_000
"""What a consumer takes at once, and the most that a batch in zstd may become in it. For gzip,
lz4 and snappy the library has no bound but the topic's ``max.message.bytes``."""
_ALONE_BYTES = 512 << 20
"""The same for the process that reads one batch alone."""
_GIVEN_BYTES = 32 << 20
"""Of records that are given at once; the rest of the batch is asked for again."""
_DAMAGE = (
    KafkaError._BAD_COMPRESSION,
    KafkaError._BAD_MSG,
    KafkaError._NOT_IMPLEMENTED,  # a codec or a format that the library does not know
    KafkaError._UNDERFLOW,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Salvaged(NamedTuple):
    """What there is in a partition from some offset on."""

    records: pl.DataFrame
    """``LOG_COLUMNS``, in offset order; maybe not all of the batch."""
    following: int
    """Where to go on reading."""


def is_damage(error: KafkaError) -> bool:
    """Tell whether a consumer says that a batch cannot be read, now or later."""
    return error.code() in _DAMAGE


def go_on(consumer: Consumer, topic: str, partition: int, offset: int) -> None:
    """Let a consumer go on behind damage; after that it may have lost its place, and cannot seek.

    What was paused is so no more.
    """
    consumer.incremental_unassign([TopicPartition(topic, partition)])
    consumer.incremental_assign([TopicPartition(topic, partition, offset)])


def salvage(params: Params, partition: int, offset: int) -> Salvaged:
    """Read, in a process of its own, the batch that holds ``offset``, from there on.

    Raises:
        ServiceError: the broker does not answer, or there is not memory enough.
    """
    where = f"la partición {partition} del tema {params.kafka.topic} desde el registro {offset}"
    patience = params.stream.service_timeout.total_seconds()
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(partition), str(offset)],
            input=params.model_dump_json().encode(),
            capture_output=True,
            timeout=4 * patience,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"No se pudo leer {where} en {number(4 * patience)} s.") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"el proceso acabó con {done.returncode}"
        raise ServiceError(f"No se pudo leer {where}: {reason}")
    following, _, frame = done.stdout.partition(b"\n")
    return Salvaged(pl.read_ipc_stream(io.BytesIO(frame)), int(following))


def _read_alone(params: Params, partition: int, offset: int) -> Salvaged:
    """Do as ``salvage``, in this process."""
    with_bound = _Reader(params, partition, RECEIVE_BYTES)
    try:
        end = with_bound.end_of_batch(offset)
    finally:
        with_bound.close()
    alone = _Reader(params, partition, _ALONE_BYTES)
    try:
        return alone.batch(offset, end)
    finally:
        alone.close()


class _Damage(NamedTuple):
    first: int
    """The first record of the batch."""
    reason: str


class _Reader:
    """A consumer that is sent from place to place in one partition."""

    def __init__(self, params: Params, partition: int, receive_bytes: int) -> None:
        self._params = params
        self._partition = partition
        self._patience = params.stream.service_timeout.total_seconds()
        self._consumer = Consumer(
            client_config(params)
            | {
                "group.id": f"{params.profile}-damaged",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.message.max.bytes": 64 << 10,
                "queued.min.messages": 1,
                "fetch.max.bytes": RECEIVE_BYTES // 2,
                "receive.message.max.bytes": receive_bytes,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def _place(self, offset: int = -1) -> TopicPartition:
        return TopicPartition(self._params.kafka.topic, self._partition, offset)

    def _extent(self) -> tuple[int, int]:
        """Return the first record that there is, and the end; `admin.extent_of` would poll."""
        found = self._consumer.get_watermark_offsets(self._place(), timeout=self._patience)
        assert found is not None  # it raises where nobody answers
        return found

    def _from(self, offset: int) -> Iterator[Message | _Damage | None]:
        """Yield what there is from an offset on: records, damage, and None at the end."""
        self._consumer.assign([self._place(offset)])
        waited = time.monotonic()
        reason = "no responde"
        while True:
            message = self._consumer.poll(1.0)
            error = message.error() if message is not None else None
            if message is None or (error is not None and not _is_answer(error)):
                reason = reason if error is None else error.str()
                if time.monotonic() - waited > self._patience:
                    raise ServiceError(f"Kafka: {reason}.")
                continue
            waited = time.monotonic()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                _, high = self._extent()
                if (message.offset() or 0) >= high:  # told before the end, it is none
                    yield None
            else:
                first = message.offset()
                yield _Damage(offset if first is None else first, error.str())

    def end_of_batch(self, offset: int) -> int:
        """Return the first record after the damaged batch that holds ``offset``.

        Whoever asks for any record of a batch is given all of it, and the client drops what it
        was not asked for: so the batch ends at the first record from which reading begins well.
        """
        _, high = self._extent()
        first = next(self._from(offset))
        if not isinstance(first, _Damage):
            return offset  # it was no damage, or is none any more

        def inside(at: int) -> bool:
            found = next(self._from(at))
            return isinstance(found, _Damage) and found.first <= offset

        step = 1
        while offset + step < high and inside(offset + step):
            step *= 2
        within, beyond = offset + step // 2, min(offset + step, high)
        while beyond - within > 1:
            middle = (within + beyond) // 2
            within, beyond = (middle, beyond) if inside(middle) else (within, middle)
        return beyond

    def batch(self, offset: int, end: int) -> Salvaged:
        """Return the records from ``offset`` to ``end``, or the first of them."""
        rows: list[tuple[int, int, datetime, bytes | None]] = []
        size = 0
        following = offset
        for found in self._from(offset) if offset < end else ():
            if isinstance(found, _Damage):
                rows += self._unreadable(following, end, found.reason)
                following = end
                break
            at = None if found is None else found.offset()
            if found is None or at is None or at >= end:
                following = end
                break
            value = withheld.taken([found.value()], len(found))[0]
            rows.append((self._partition, at, _append_time(found), value))
            following, size = at + 1, size + len(value or b"")
            if size >= _GIVEN_BYTES or following >= end:
                break
        return Salvaged(pl.DataFrame(rows, schema=LOG_COLUMNS, orient="row"), following)

    def _unreadable(
        self, offset: int, end: int, reason: str
    ) -> list[tuple[int, int, datetime, bytes | None]]:
        """Return notes for records that nobody can read, with the time of the last one before."""
        low, _ = self._extent()
        time, before = _EPOCH, offset - 1
        while before >= low:
            found = next(self._from(before))
            if isinstance(found, Message):
                time = _append_time(found)
                break
            before = (found.first if found is not None else before) - 1
        value = withheld.note(Reason.UNREADABLE, reason)
        return [(self._partition, at, time, value) for at in range(offset, end)]


def _is_answer(error: KafkaError) -> bool:
    return is_damage(error) or error.code() == KafkaError._PARTITION_EOF


def _append_time(message: Message) -> datetime:
    return _EPOCH + timedelta(milliseconds=message.timestamp()[1])


def main() -> int:
    """Salvage as the arguments say (partition, offset); the params are read from stdin."""
    params = Params.model_validate_json(sys.stdin.buffer.read())
    partition, offset = map(int, sys.argv[1:])
    try:
        found = _read_alone(params, partition, offset)
    except (UserError, KafkaException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(b"%d\n" % found.following)
    found.records.write_ipc_stream(sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
