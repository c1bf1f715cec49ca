"""The command line with faults inside: ``python -m chaos.injected FOLDER stream ...``.

The functions that write are the seam: each is wrapped so that it refuses, or raises after having
written, while the campaign's switch of that name is on. Disk and clock are not real: writing a
file to the disk (the archive's and the position) fails as on a full one, and the only wall clock
that the job reads jumps.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from chaos.faults import Switches
from spotify_mlops.cli import main
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import files
from spotify_mlops.io.archive import compaction
from spotify_mlops.io.bigquery import appending
from spotify_mlops.operations import housekeeping
from spotify_mlops.pipeline import clock
from spotify_mlops.pipeline.sinks import dead_letters, mongo

WRITERS: dict[str, tuple[Any, str]] = {
    "append": (appending.Appender, "append"),
    "letters": (dead_letters.DeadLetterTopic, "publish"),
    "events": (mongo, "insert_events"),
    "tracks": (mongo, "replace_tracks"),
    "archive": (files, "write_parquet"),
}
"""Name of a switch to the function of the sinks that writes."""


def install(switches: Switches) -> None:
    """Wrap what writes, the disk and the clock; merge the archive so often that faults meet it."""
    housekeeping.COMPACT_SECONDS = 0.5
    compaction.FRESH_FILES = 2
    for sink, (owner, name) in WRITERS.items():
        setattr(owner, name, _faulty(switches, sink, getattr(owner, name)))
    fsync, now = os.fsync, clock.now

    def full(descriptor: int) -> None:
        if switches.value("disk") is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    os.fsync = full
    clock.now = lambda: now() + timedelta(seconds=switches.value("clock") or 0.0)


def _faulty(switches: Switches, sink: str, write: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(write)
    def faulty(*arguments: Any, **named: Any) -> Any:
        if switches.value("refuse", sink) is not None:
            raise ServiceError(f"{sink}: no acepta la escritura (inyectado)")
        written = write(*arguments, **named)
        if switches.take("ambiguous", sink):
            raise ServiceError(f"{sink}: escrito, y la respuesta es un error (inyectado)")
        return written

    return faulty


if __name__ == "__main__":
    install(Switches(Path(sys.argv[1])))
    main.main(sys.argv[2:])
