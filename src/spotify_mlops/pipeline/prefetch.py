"""What a source reads batches from, and the reader that is one batch ahead of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import polars as pl

from ..config.params import Params
from ..domain.events import Ahead, decode
from .kafka_reader import KafkaReader


class Reader(Protocol):
    """A source of batches in offset order within each partition."""

    def poll(self) -> pl.DataFrame:
        """Return the next records (``LOG_COLUMNS``), after a short wait perhaps none."""

    def close(self) -> None:
        """Let go of connections and files."""


class Prefetcher:
    """Reads and decodes the next batch while the pipeline works on the last one.

    Decoding makes Python objects, which takes the interpreter; what follows are steps on columns,
    which leave it free.
    """

    def __init__(self, reader: Reader, params: Params) -> None:
        """Begin to read; ``reader`` is closed with this."""
        self.reader = reader
        self._params = params
        self._ahead = Ahead.of(params.windows)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._next = self._worker.submit(self._work)
        self._pushed_back: pl.DataFrame | None = None
        self._read = 0

    def _work(self) -> pl.DataFrame:
        return decode(self.reader.poll(), self._ahead)

    def poll(self) -> pl.DataFrame:
        """Return the next batch, decoded; a reader that fails is closed."""
        if self._pushed_back is not None:
            batch, self._pushed_back = self._pushed_back, None
            return batch
        try:
            decoded = self._next.result()
        except BaseException:
            self.close()
            raise
        self._next = self._worker.submit(self._work)
        self._read = decoded.height
        return decoded

    @property
    def caught_up(self) -> bool:
        """Whether the last batch was all that waited in the log."""
        if isinstance(self.reader, KafkaReader) and self.reader.throttles:
            return False
        return self._pushed_back is None and self._read < self._params.stream.batch_records

    def push_back(self, rest: pl.DataFrame) -> None:
        """Keep the end of the last batch: it comes next."""
        self._pushed_back = rest

    def close(self) -> None:
        """Wait for the read under way, and close the reader."""
        self._worker.shutdown()
        self.reader.close()
