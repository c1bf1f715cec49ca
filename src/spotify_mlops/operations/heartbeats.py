"""Heartbeats for the partitions that are silent, from one place that looks at all tails.

The watermark waits for every partition, so one to which nobody writes would hold all windows open.
Where sources read partitions apart none of them sees which others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

from ..config.errors import ServiceError
from ..config.params import Params
from ..domain.events import encode_heartbeat
from ..io import kafka
from . import lag

LOOK_SECONDS = 0.5
_FLUSH_SECONDS = 10.0

_log = logging.getLogger(__name__)


@contextmanager
def kept_up(params: Params) -> Iterator[None]:
    """Write heartbeats for as long as the block runs."""
    ended = threading.Event()
    writer = threading.Thread(target=_beat, args=(params, ended), name="heartbeats", daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join(_FLUSH_SECONDS)


def _beat(params: Params, ended: threading.Event) -> None:
    """Beat until ``ended``. While the broker is away no time passes: nobody could have written."""
    tails, timeout = Tails(), params.stream.idle_timeout.total_seconds()
    producer = Producer(kafka.client_config(params) | {"acks": "all"})
    while not ended.wait(LOOK_SECONDS):
        try:
            ends = {p: high for p, (_, high) in kafka.offsets(params).items()}
            silent = tails.silent(ends, time.monotonic(), timeout)
            if not silent:
                continue
            newest = lag.newest(params, ends)
        except ServiceError as error:
            _log.warning("heartbeats: %s", error)
            tails = Tails()
            continue
        for partition in silent:
            if newest and newest.get(partition) != max(newest.values()):
                beat = encode_heartbeat(max(newest.values()))
                producer.produce(params.kafka.topic, beat, partition=partition)
        producer.flush(_FLUSH_SECONDS)


class Tails:
    """Since when nothing has been added to each partition."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}

    def silent(self, ends: dict[int, int], now: float, timeout: float) -> list[int]:
        """Take note of the ends of the log; return the partitions that have been silent so long.

        Args:
            ends: by partition, the offset after its last record.
            now: in seconds, of any clock that is never set back.
            timeout: in seconds.
        """
        for partition, end in ends.items():
            if self._seen.get(partition, (None, now))[0] != end:
                self._seen[partition] = (end, now)
        return [p for p, (_, since) in self._seen.items() if now - since >= timeout]
