"""The beginning of the log, for who wants to see what is in it."""

from __future__ import annotations

import time

import polars as pl

from ..config.errors import ServiceError
from ..config.params import Params
from ..domain.events import LOG_COLUMNS
from ..io import kafka
from ..pipeline.kafka_reader import KafkaReader


def read_slice(params: Params, records: int) -> pl.DataFrame:
    """Return the first records of each partition of the log, about ``records`` in all.

    Returns:
        ``LOG_COLUMNS``, by partition and offset.

    Raises:
        ServiceError: the log is empty or does not answer.
    """
    extent = kafka.offsets(params)
    lows = {partition: low for partition, (low, _) in extent.items()}
    share = -(-records // max(len(extent), 1))
    wanted = {p: min(high, low + share) for p, (low, high) in extent.items()}
    if wanted == lows:
        raise ServiceError(
            f"El tema {params.kafka.topic} está vacío. Publique eventos con: spotify-mlops ingest"
        )
    parts = [pl.DataFrame(schema=LOG_COLUMNS)]
    deadline = time.monotonic() + params.stream.service_timeout.total_seconds()
    # One partition at a time: all at once, the first would be read whole before the others.
    for partition, end in wanted.items():
        reader = KafkaReader(params, {partition: lows[partition]})
        try:
            reached = lows[partition]
            while reached < end and time.monotonic() < deadline:
                batch = reader.poll().filter(pl.col("offset") < end)
                parts.append(batch)
                if batch.height:
                    reached = batch.item(-1, "offset") + 1
        finally:
            reader.close()
        if reached < end:
            raise ServiceError(
                f"Kafka no entregó a tiempo el principio del tema {params.kafka.topic}."
            )
    return pl.concat(parts).sort("partition", "offset")
