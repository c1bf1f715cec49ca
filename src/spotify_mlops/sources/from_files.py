"""Files to events: published, or only looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from ..config.errors import InputError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.sections import Windows
from ..config.spanish import number
from ..io.local import state
from ..io.patches import malloc
from .account import REASONS, Account, in_time, latest_time
from .found import Found, Reader
from .ordering import Ordered
from .publishing import publish_new

_FOLDER = "manifests"
_TOLD_FILES = 20
"""Files that are told of one by one."""
_SAID_EVERY = 500_000


@dataclass
class Gathered:
    """What the files of an ingest hold, once read."""

    account: Account
    first: datetime | None = None
    last: datetime | None = None
    countries: set[str] = field(default_factory=set)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return self.account.to_dict() | {
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "countries": sorted(self.countries),
        }


def ingest_files(
    params: Params,
    source: str,
    arguments: Sequence[str | Path],
    progress: Progress | None = None,
    *,
    close: bool = False,
) -> dict[str, Any]:
    """Publish what is new in some files, in event-time order; the same again, nothing.

    Nothing is published until all of them have been read.

    Args:
        params: of the profile.
        source: the module of this package that reads them (see `found.Reader`).
        arguments: files, ``PATH=CC`` or folders, as the source takes them.
        progress: told how far it is, in Spanish.
        close: also close the window of the last event.

    Returns:
        `Gathered.to_dict` (``rows`` are ``events`` and all of ``left_out``) and
        `publishing.Published.to_dict` (``events`` are ``published``, ``skipped`` and
        ``late_left_out``).

    Raises:
        InputError: a file cannot be read, holds no event, or has what the params refuse.
        ParamsError: the windows are not those of the source.
        ServiceError: Kafka does not answer.
    """
    say = progress or silent
    malloc.keep_memory()
    read: Reader = import_module(f".{source}", __package__).read
    found = read(params, arguments, say)
    with Ordered() as ordered:
        gathered = gather(found, ordered, params.windows, source, say)
        tell_files(gathered.account, say)
        if gathered.last is None:
            raise InputError(f"No hay nada que publicar: {gathered.account.told()}.")
        published = publish_new(
            params,
            source,
            ordered.frames,
            last=gathered.last,
            expected=gathered.account.events,
            close=close,
            progress=progress,
        )
        gathered.account.repeated = ordered.repeated
    summary = {"source": source} | gathered.to_dict() | published.to_dict()
    keep_summary(params, source, summary)
    return summary | {"told": gathered.account.told()}


def gather(
    found: Found, ordered: Ordered, windows: Windows, source: str, say: Progress = silent
) -> Gathered:
    """Read all that a source has found, leaving out what is of no time that can be.

    Raises:
        InputError: a file cannot be read.
    """
    account = found.account or Account()
    if found.account is None:
        account.begin(source)
    gathered = Gathered(account)
    latest = latest_time(windows.clock_skew)
    said = 0
    for frame in found.frames:
        file = account.current
        if found.account is None:
            file.rows += frame.height
        kept = in_time(frame, file, latest)
        file.events += kept.height
        if kept.height:
            ordered.add(kept)
            _widen(gathered, kept)
        if account.rows - said >= _SAID_EVERY:
            said = account.rows
            say(f"{number(said)} filas leídas")
    account.check()
    return gathered


def tell_files(account: Account, say: Progress) -> None:
    """Say what each file was recognised as and what became of its rows; and what is not read."""
    for file in account.files[:_TOLD_FILES]:
        what = f"{file.what}; " if file.what else ""
        say(f"{file.name}: {what}{file.told()}")
        for reason, rows in file.named.items():
            if rows:
                more = "; …" if file.left_out[reason] > len(rows) else ""
                say(f"  {REASONS[reason][1]}: {'; '.join(rows)}{more}")
    if len(account.files) > _TOLD_FILES:
        say(f"… y {number(len(account.files) - _TOLD_FILES)} archivos más")
    for item in account.not_read[:_TOLD_FILES]:
        say(f"No se lee: {item.reason}")
    if len(account.not_read) > _TOLD_FILES:
        say(f"… y {number(len(account.not_read) - _TOLD_FILES)} más que no se leen")
    for note in account.notes:
        say(note)


def _widen(gathered: Gathered, events: pl.DataFrame) -> None:
    first, last = events.select(
        first=pl.col("event_time").min(), last=pl.col("event_time").max()
    ).row(0)
    gathered.first = min(filter(None, (gathered.first, first)))
    gathered.last = max(filter(None, (gathered.last, last)))
    gathered.countries.update(events["country"].unique())


def keep_summary(params: Params, source: str, summary: dict[str, Any]) -> None:
    """Keep what an ingest came to in the state folder."""
    path = state.folder(_FOLDER) / f"{params.kafka.topic}-{source}.json"
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
