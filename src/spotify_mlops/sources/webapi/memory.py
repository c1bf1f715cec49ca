"""What is kept between polls, in the log's journal: which plays were published, and since when.

An event's identifier holds its time slot, so only the records since the present slot began can be
the same event again; of recent plays, which the API shows for days, the names are kept. So a poll
reads little of the log, however long it has been going on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...config.params import Params
from ...io.kafka import Journal
from .answers import SOURCE

_KEY = f"{SOURCE}:polls"
_KEPT_PLAYS = 200
"""The API shows the last fifty."""


class Memory:
    """The memory of the polls of one log."""

    def __init__(self, params: Params) -> None:
        self._journal = Journal(params)
        self._plays: list[str] | None = None

    def plays(self) -> list[str]:
        """Return the identifiers of the latest plays that were published."""
        if self._plays is None:
            self._plays = list(self._journal.entries().get(_KEY, {}).get("plays", []))
        return self._plays

    def keep(self, slot: datetime, plays: list[str]) -> None:
        """Remember a poll whose events are in the log.

        Args:
            slot: of it.
            plays: the identifiers of the plays that it saw.
        """
        entries = self._journal.entries()
        source, before = entries[SOURCE], entries.get(_KEY, {})
        same = before.get("slot") == slot.isoformat()
        began = before["began"] if same else source["run"]
        known = list(before.get("plays", []))
        fresh = [name for name in plays if name not in set(known)]
        polls: dict[str, Any] = {
            "state": "complete",
            "manifest": {},
            "slot": slot.isoformat(),
            "began": began,
            "plays": (known + fresh)[-_KEPT_PLAYS:],
        }
        self._plays = polls["plays"]
        self._journal.write(_KEY, polls)
        self._journal.write(SOURCE, source | {"start": began})
