"""What a source put into the log, counted while it was made: what the audit must find again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ..config.params import Params
from ..io.kafka import Journal
from .malformed import REASONS

_NAMES = [reason.value for reason in REASONS]


class Tally:
    """Counts by partition: records, events, duplicates, late, heartbeats, malformed by reason.

    ``events`` are those that neither repeat another nor come late.
    """

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self._counts = {number: dict(row) for number, row in (counts or {}).items()}

    def add(self, frame: pl.DataFrame) -> None:
        """Count rows with ``partition`` and, when something was injected, ``injected``."""
        if "injected" not in frame.columns:
            frame = frame.with_columns(injected=pl.lit(None, pl.String))
        found = frame.group_by("partition", "injected").len()
        for partition, injected, number in found.iter_rows():
            self._plus(partition, _TERMS.get(injected, injected) or "events", number)

    def heartbeats(self, partitions: int) -> None:
        """Count one heartbeat a partition."""
        for partition in range(partitions):
            self._plus(partition, "heartbeats", 1)

    def add_one(self, partition: int, name: str) -> None:
        """Count a record."""
        self._plus(partition, name, 1)

    def by_partition(self) -> dict[str, dict[str, int]]:
        """Return the counts, by partition number as text (it becomes JSON)."""
        return {number: dict(row) for number, row in sorted(self._counts.items())}

    def totals(self) -> dict[str, Any]:
        """Return the sums over partitions, with ``malformed`` by reason."""
        sums: dict[str, int] = {}
        for row in self._counts.values():
            for name, number in row.items():
                sums[name] = sums.get(name, 0) + number
        malformed = {name: sums.get(name, 0) for name in _NAMES}
        return {
            name: sums.get(name, 0)
            for name in ("records", "events", "duplicates", "late", "heartbeats")
        } | {"dead_letters": sum(malformed.values()), "malformed": malformed}

    def _plus(self, partition: int, name: str, number: int) -> None:
        row = self._counts.setdefault(str(partition), {})
        row[name] = row.get(name, 0) + number
        row["records"] = row.get("records", 0) + number


_TERMS: dict[str | None, str | None] = {"duplicate": "duplicates"}


def injected(params: Params) -> dict[str, Any] | None:
    """Return what all sources of this log put into it, as `Tally.totals`.

    None when nothing was published, or when a source is publishing or was cut off, so that its
    count is not settled. Records of other producers are in no count.

    Raises:
        ServiceError: Kafka does not answer.
    """
    entries = Journal(params).entries()
    if not entries or any(entry["state"] == "publishing" for entry in entries.values()):
        return None
    total = Tally()
    for entry in entries.values():
        for partition, row in entry["manifest"].items():
            for name, number in row.items():
                if name != "records":
                    total._plus(int(partition), name, number)
    return total.totals()
