"""The wall clock, which decides no content."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock, UTC: for ``written_at`` columns alone."""
    return datetime.now(UTC)
