"""A log and its journal in memory, in the place of Kafka's clients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import LOG_COLUMNS, Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.sources import manifest, publishing, standing
from spotify_mlops.sources.webapi import memory

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PARTITIONS = 3


class Message:
    def __init__(self, key: str | None, value: bytes) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes | None:
        return None if self._key is None else self._key.encode()

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, int(NOW.timestamp() * 1000)


class KilledError(BaseException):
    pass


class Log:
    """A topic and its journal, in memory, in the place of Kafka's clients."""

    def __init__(self) -> None:
        self.records: dict[int, list[Message]] = {p: [] for p in range(PARTITIONS)}
        self.entries_: dict[str, dict[str, Any]] = {}
        self.room: int | None = None
        """Records that are taken before the process is killed; None for no end."""

    def patch(self, patched: pytest.MonkeyPatch) -> None:
        log = self

        class Journal:
            def __init__(self, settings: Params) -> None:
                pass

            def entries(self) -> dict[str, dict[str, Any]]:
                return json.loads(json.dumps(log.entries_))

            def write(self, key: str, entry: dict[str, Any]) -> None:
                log.entries_[key] = json.loads(json.dumps(entry))

        class Publisher:
            published = skipped = 0

            def __init__(self, settings: Params) -> None:
                pass

            def __enter__(self) -> Publisher:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def send(self, records: pl.DataFrame) -> None:
                log.append(records)

        def offsets(settings: Params) -> dict[int, tuple[int, int]]:
            return {p: (0, len(rows)) for p, rows in log.records.items()}

        patched.setattr(publishing, "Journal", Journal)
        patched.setattr(manifest, "Journal", Journal)
        patched.setattr(memory, "Journal", Journal)
        patched.setattr(publishing, "Publisher", Publisher)
        for module in (publishing, standing):
            patched.setattr(module, "offsets", offsets)
        patched.setattr(standing, "read", log.beginning)

    def beginning(self, settings: Params, start: Mapping[int, int]) -> Iterator[Any]:
        """Yield the records from some offsets on, a few at a time, as `io.kafka.read` does."""
        for p, rows in self.records.items():
            found = [(p, n, row) for n, row in enumerate(rows)][start[p] :]
            for first in range(0, len(found), 3):
                yield found[first : first + 3]

    def append(self, records: pl.DataFrame) -> None:
        for partition, key, value in records.select("partition", "key", "value").iter_rows():
            if self.room is not None:
                if self.room == 0:
                    raise KilledError
                self.room -= 1
            self.records[partition].append(Message(key, value))

    def read(self, settings: Params) -> pl.DataFrame:
        """Return what the streaming job makes of the log: decoded, and late or not."""
        rows = [
            (p, n, NOW, row.value()) for p, found in self.records.items()
            for n, row in enumerate(found)
        ]  # fmt: skip
        decoded = decode(pl.DataFrame(rows, LOG_COLUMNS, orient="row"), Ahead.of(settings.windows))
        marked, _ = mark(decoded, dict.fromkeys(self.records), settings.windows.allowed_lateness)
        return marked
