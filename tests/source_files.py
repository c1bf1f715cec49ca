"""Reads files as ``ingest`` does, up to the log."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from spotify_mlops.config import params
from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.sources.from_files import Gathered, gather
from spotify_mlops.sources.ordering import Ordered


def read(
    source: str,
    arguments: Sequence[str | Path] | str | Path,
    profile: str = "charts",
    **changes: Any,
) -> tuple[pl.DataFrame, Gathered]:
    """Return the events of some files, in order and once, and the account of all rows."""
    settings = params.load(profile, **changes)
    several = [arguments] if isinstance(arguments, (str, Path)) else list(arguments)
    found = import_module(f"spotify_mlops.sources.{source}").read(settings, several, lambda _: None)
    with Ordered() as ordered:
        gathered = gather(found, ordered, settings.windows, source)
        frames = list(ordered.frames())
        gathered.account.repeated = ordered.repeated
    account = gathered.account
    events = pl.concat(frames) if frames else pl.DataFrame(schema=EVENT_COLUMNS)
    assert events.height == account.events
    assert account.events + sum(account.left_out().values()) == account.rows
    return events, gathered


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """Write a file, packed if its name says so."""
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path
