"""Heartbeats for the partitions that are silent, from one place that looks at all tails.

The watermark waits for every partition, so one to which nobody writes would hold all windows open.
Where sources read partitions apart none of them sees which others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial

from confluent_kafka import Producer

from ..config.errors import ServiceError
from ..config.params import Params
from ..domain.events import encode_heartbeat
from ..io import kafka
from . import beside, lag

LOOK_SECONDS = 0.5
_DEAF_SECONDS = 3.0
"""When nobody looked for this long, what was added meanwhile is not known to have been late."""
_FLUSH_SECONDS = 10.0

_log = logging.getLogger(__name__)


def kept_up(params: Params) -> AbstractContextManager[None]:
    """Write heartbeats for as long as the block runs."""
    return beside.running("heartbeats", partial(_keep_up, params), _FLUSH_SECONDS)


def _keep_up(params: Params, ended: threading.Event) -> None:
    timeout = params.stream.idle_timeout.total_seconds()
    tails = Tails()
    producer = Producer(kafka.client_config(params) | {"acks": "all"})
    with kafka.Extent(params) as extent:
        while not ended.wait(LOOK_SECONDS):
            try:
                ends = {p: high for p, (_, high) in extent.offsets().items()}
                silent = tails.silent(ends, time.monotonic(), timeout)
                beats = behind(silent, lag.newest(params, ends)) if silent else {}
            except ServiceError as error:
                _log.warning("heartbeats: %s", error)
                tails = Tails()  # while the broker is away nobody can write
                continue
            for partition, event_time in beats.items():
                beat = encode_heartbeat(event_time)
                producer.produce(params.kafka.topic, beat, partition=partition)
            if producer.flush(_FLUSH_SECONDS):
                _log.warning("heartbeats: Kafka no los confirma")


def behind(silent: list[int], newest: Mapping[int, datetime]) -> dict[int, datetime]:
    """Return which partitions hold the watermark back, and the time that lets it go on.

    Args:
        silent: partitions to which nothing is added.
        newest: the newest event time of each partition that has one.
    """
    highest = max(newest.values(), default=None)
    return {p: highest for p in silent if highest is not None and newest.get(p) != highest}


class Tails:
    """Since when nothing has been added to each partition.

    No time passes while nobody looks: where a machine slept, its producers may have slept too.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked = float("-inf")
        self._answered: list[int] = []

    def silent(self, ends: Mapping[int, int], now: float, timeout: float) -> list[int]:
        """Take note of the ends of the log; return the partitions that have been silent so long.

        Those that were returned for just this log are not again: what they need was done.

        Args:
            ends: by partition, the offset after its last record.
            now: in seconds, of any clock that is never set back.
            timeout: in seconds.
        """
        if now - self._looked > _DEAF_SECONDS:
            self._seen.clear()
        self._looked = now
        moved = False
        for partition, end in ends.items():
            if partition not in self._seen or self._seen[partition][0] != end:
                self._seen[partition] = (end, now)
                moved = True
        found = [p for p, (_, since) in self._seen.items() if now - since >= timeout]
        if found == self._answered and not moved:
            return []
        self._answered = found
        return found
