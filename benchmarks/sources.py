"""``bench sources``: files of a million rows to the log, beside polars that only reads them.

A figure is the whole command, from the start of its process to its end: read, put in order and
published, with every record acknowledged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import downloads
import polars as pl
from workload import figure

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params, params_file
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import number

TIMES_LARGER = 3
KILOBYTES_A_MEGABYTE = 1 << 10


@dataclass(frozen=True)
class Run:
    """What an ingest gave and took."""

    rows: int
    seconds: float
    memory: float
    """Megabytes, at most."""

    @property
    def rate(self) -> float:
        """Return rows a second, the process's start included."""
        return self.rows / self.seconds


def run(params: Params, say: Progress, events: int = 1_000_000) -> list[dict[str, Any]]:
    """Ingest a chart of ``events`` rows, one three times as long, and a history half as long.

    Raises:
        ServiceError: an ingest failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "charts.csv"), Path(folder, "larger_charts.csv")
        history = Path(folder, "history")
        say(f"Escribiendo archivos de {number(events)} filas y de {number(events // 2)} entradas")
        downloads.all_regions(small, events)
        downloads.all_regions(large, TIMES_LARGER * events)
        downloads.extended_history(history, events // 2)
        one = _ingest(params, "charts", small, say)
        more = _ingest(params, "charts", large, say)
        listens = _ingest(params, "history", history, say)
        read = _read(pl.read_csv, small)
        read_listens = sum(_read(pl.read_json, path) for path in sorted(history.iterdir()))
    return [
        figure("sources_charts", one.rate, "rows/s", one.rows / read),
        figure("sources_charts_memory", one.memory, "MB"),
        figure(f"sources_charts_x{TIMES_LARGER}", more.rate, "rows/s", one.rate),
        figure(f"sources_charts_x{TIMES_LARGER}_memory", more.memory, "MB", one.memory),
        figure("sources_history", listens.rate, "rows/s", listens.rows / read_listens),
        figure("sources_history_seconds", listens.seconds, "s", read_listens, 2),
        figure("sources_history_memory", listens.memory, "MB"),
    ]


def _ingest(params: Params, source: str, path: Path, say: Progress) -> Run:
    """Publish a file, or a folder, to a topic of its own."""
    # Windows of a week from Friday on, which the charts are.
    own = params.replace(topic=f"bench-{path.stem}", window="7d", window_offset="1d")
    command = [sys.executable, "-m", "spotify_mlops", "ingest", source, str(path), "--json"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--params", str(params_file(own))], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise ServiceError("Publicar los archivos falló; su error está arriba.")
    done = Run(json.loads(answer)["rows"], seconds, usage.ru_maxrss / KILOBYTES_A_MEGABYTE)
    say(f"{path.name}: {number(done.rate)} filas por segundo, {number(done.memory)} MB")
    return done


def _read(reader: Any, path: Path) -> float:
    began = time.perf_counter()
    reader(path)
    return time.perf_counter() - began
