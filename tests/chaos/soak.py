"""``make soak``: a simulated month of the whole deployment, and what it costs per day.

The live simulator runs far above its usual clock, with few events an hour, into the streaming
job with all its sinks; the observer watches. At the end of each simulated day disk, memory,
handles and threads are noted. What grows must be the log and what is a function of it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import click
import psutil

from chaos import checkout, log
from local_services import services
from spotify_mlops import sources
from spotify_mlops.config import params, paths
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress, silent
from spotify_mlops.io import kafka
from spotify_mlops.io.archive import archived, compaction
from spotify_mlops.io.local import processes, state
from spotify_mlops.model import dataset
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations import apps, audit, bounded, compare
from spotify_mlops.pipeline.sinks import archive, positions
from spotify_mlops.presentation.es import card
from spotify_mlops.presentation.es.operations import difference_lines

SETTINGS: dict[str, Any] = {
    "simulator_tracks": 60,
    "simulator_days": 3,
    "simulator_events": 15_000,
    "lags": [1, 2, 3, 6, 24],
    "horizon": 6,
    "bootstrap_repetitions": 20,
    "bootstrap_block": "12h",
    "idle_timeout": "60s",
}
GROWING = ("kafka", "archive", "bigquery")
"""Parts whose size is a function of the log."""
SETTLED_DAYS = 9
_STALLED_SECONDS = 180.0
_PAUSE = 0.2


@dataclass(frozen=True)
class Use:
    """What one process, with those that it started, holds."""

    memory: int
    """Bytes of its own, and its share of what it has in common with others."""
    handles: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """What a deployment held at the end of a simulated day."""

    day: float
    seconds: float
    """Since the first."""
    records: int
    """In the log."""
    disk: dict[str, int]
    """Bytes by part of the state directory."""
    archived_files: int
    processes: dict[str, Use]


@dataclass
class Outcome:
    """What a soak found."""

    samples: list[Sample]
    differences: list[str]
    records: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def publish(folder: Path, days: int, clock: float, **overrides: Any) -> Params:
    """Publish a short history, process it, and make a model of it the champion."""
    own = log.own_names("soak") | SETTINGS | {"live_duration": f"{days}d", "live_clock": clock}
    settings = params.load("local", **(own | overrides))
    sources.ingest_simulator(settings)
    bounded.run(settings)
    train(settings, *dataset.read(settings), card.write).write_bundle(folder / "bundle")
    promotions = PromotionHistory(settings)
    promotions.keep("1", folder / "bundle")
    promotions.promote("1", _start(settings))
    return settings


def run(settings: Params, say: Progress = silent) -> Outcome:
    """Let the deployment live through the simulated time; compare it with a replay at the end.

    Raises:
        ServiceError: a process ended, or nothing moved for long.
    """
    apps.start_stream(settings)
    apps.start_observer(settings)
    apps.start_simulator(settings)
    samples = list(_lived(settings, say))
    report = audit.audit(settings, wait=60)
    outcome = Outcome(samples, difference_lines(report), int(report.table["records"].sum()))
    apps.stop_apps()
    merged = compaction.compact(settings)
    say(f"Repetición desde el archivo, con {merged.files} ficheros más reunidos en {merged.merged}")
    again = settings.replace(dataset=f"{settings.bigquery.dataset}_again")
    summary = bounded.run(again, replay=True, from_archive=True)
    found = compare.compare(settings, again, compare.Extent.of(summary))
    outcome.differences += [
        f"La repetición desde el archivo da otra tabla {table.name}."
        for table in found
        if not table.equal
    ]
    _, ends = archive.extent(settings)
    if sum(ends.values()) != outcome.records:
        outcome.differences.append(f"El archivo llega a {ends}: faltan registros del final.")
    outcome.differences += growth(samples)
    return outcome


def _lived(settings: Params, say: Progress) -> Iterator[Sample]:
    """Yield a sample at the end of each simulated day that is written, until the last."""
    began = moved = time.monotonic()
    pause = Event()
    last = 0.0
    days = settings.simulator.live_duration / timedelta(days=1)
    running = [record for record in state.read().values() if processes.is_alive(record)]
    while last < days:
        written = (_written(settings) - _start(settings)) / timedelta(days=1)
        if int(written) > int(last):
            moved = time.monotonic()
            sample = _sample(settings, written, moved - began)
            say(text_of(sample))
            yield sample
            last = written
        if time.monotonic() - moved > _STALLED_SECONDS:
            raise ServiceError(f"La tarea no avanza: {written:.1f} días en {_STALLED_SECONDS} s.")
        _check_alive(running)
        pause.wait(_PAUSE)


def _check_alive(running: list[state.Record]) -> None:
    for record in running:
        # The simulator ends when it has published all.
        if record.name != apps.SIMULATOR and not processes.is_alive(record):
            raise ServiceError(f"«{record.name}» terminó. {processes.explain(record)}")


def _start(settings: Params) -> datetime:
    start = datetime.combine(settings.simulator.start, datetime.min.time(), UTC)
    return start + timedelta(days=settings.simulator.days)


def _written(settings: Params) -> datetime:
    position = positions.load(settings)
    if position is None or position.write_from is None:
        return _start(settings)
    return max(position.write_from, _start(settings))


def _sample(settings: Params, day: float, seconds: float) -> Sample:
    ends = kafka.offsets(settings)
    folder = paths.state_dir()
    disk = {part.name: _size(part) for part in sorted(folder.iterdir()) if part.is_dir()}
    found = archived.archived_files(settings)
    used = {r.name: _use(r.pid) for r in state.read().values() if processes.is_alive(r) and r.pid}
    records = sum(high for _, high in ends.values())
    return Sample(round(day, 2), round(seconds, 1), records, disk, len(found), used)


def _size(folder: Path) -> int:
    """Return the bytes that a folder takes on disk; files may go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        total += found.st_blocks * 512  # Kafka's indexes are sparse
    return total


def _use(pid: int) -> Use:
    root = psutil.Process(pid)
    memory = handles = threads = 0
    for process in (root, *root.children(recursive=True)):
        try:
            memory += process.memory_full_info().pss
            handles += process.num_fds()
            threads += process.num_threads()
        except psutil.NoSuchProcess:
            continue
    return Use(memory, handles, threads)


def growth(samples: Sequence[Sample]) -> list[str]:
    """Say what grew in the last third of the days that should not have.

    A part that is a function of the log may take as many bytes a day as before; the archive's
    files are few; all else must be what it was in the days before. Processes take days to
    settle: in less than nine they are not judged.
    """
    wrong = []
    most = max(sample.archived_files for sample in samples)
    if most > 2 * compaction.FRESH_FILES:
        wrong.append(f"El archivo llegó a {most} ficheros.")
    third = len(samples) // 3
    if not third:
        return wrong
    before, last = samples[third:-third], samples[-third:]
    for part in GROWING:
        # DuckDB merges what was appended now and then: a third in which it did so says little.
        usual = max(_bytes_a_day(part, days) for days in (samples[: third + 1], before))
        late = _bytes_a_day(part, samples[-third - 1 :])
        if late > 1.5 * usual + (1 << 20):
            wrong.append(f"{part}: {usual:,.0f} bytes por día antes, {late:,.0f} después.")
    flat: dict[str, tuple[Callable[[Sample], float], float]] = {
        f"disco de {part}": (lambda s, part=part: s.disk.get(part, 0), 8 << 20)  # type: ignore[misc]
        for part in {name for sample in samples for name in sample.disk} - set(GROWING)
    }
    for name in last[-1].processes if len(samples) >= SETTLED_DAYS else ():
        for what, slack in (("memory", 48 << 20), ("handles", 16), ("threads", 8)):
            flat[f"{what} de {name}"] = (
                lambda s, name=name, what=what: getattr(s.processes.get(name), what, 0),  # type: ignore[misc]
                slack,
            )
    for name, (value, slack) in flat.items():
        usual, now = (statistics.median(map(value, days)) for days in (before, last))
        if now > 1.1 * usual + slack:
            wrong.append(f"{name}: {usual:,.0f} antes y {now:,.0f} en el último tercio.")
    return wrong


def _bytes_a_day(part: str, days: Sequence[Sample]) -> float:
    passed = days[-1].day - days[0].day
    return (days[-1].disk[part] - days[0].disk[part]) / passed if passed else 0.0


def text_of(sample: Sample) -> str:
    """Return a sample as one Spanish line."""
    disk = ", ".join(f"{part} {size / 1e6:.1f}" for part, size in sample.disk.items())
    uses = ", ".join(
        f"{name} {use.memory / 1e6:.0f}/{use.handles}/{use.threads}"
        for name, use in sample.processes.items()
    )
    return (
        f"día {sample.day:g} ({sample.seconds:.0f} s): {sample.records} registros; MB en disco: "
        f"{disk} ({sample.archived_files} ficheros); MB/descriptores/hilos: {uses}"
    )


def per_day(samples: Sequence[Sample]) -> Mapping[str, float]:
    """Return the bytes a simulated day that each part of the disk grew over the last third."""
    last = samples[-(len(samples) // 3) - 1 :]
    days = max(last[-1].day - last[0].day, 1.0)
    return {p: (last[-1].disk[p] - last[0].disk.get(p, 0)) / days for p in last[-1].disk}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--days", default=30, show_default=True, metavar="N", help="Días simulados.")
@click.option(
    "--clock",
    default=3600.0,
    show_default=True,
    metavar="N",
    help="Segundos simulados por segundo.",
)
@click.option("--report", "folder", default="reports/soak", show_default=True, metavar="CARPETA")
def main(days: int, clock: float, folder: str) -> None:
    """Deja vivir al despliegue un mes simulado y mide lo que crece."""
    began = time.monotonic()

    def say(message: str) -> None:
        click.secho(f"{time.monotonic() - began:7.1f} s  {message}", fg="cyan", err=True)

    target = paths.root() / folder
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        checkout.own(Path(temporary))
        try:
            services.up(progress=say)
            settings = publish(Path(temporary), days, clock)
            outcome = run(settings, say)
        finally:
            services.down()
    target.mkdir(parents=True, exist_ok=True)
    path = target / "soak.json"
    path.write_text(json.dumps(outcome.to_dict(), indent=1) + "\n", encoding="utf-8")
    click.echo(text_of(outcome.samples[-1]))
    for part, size in per_day(outcome.samples).items():
        click.echo(f"  {part:<10} {size / 1e3:10.1f} kB por día simulado")
    for difference in outcome.differences:
        click.echo(f"  {difference}")
    click.echo("Nada crece sin motivo." if not outcome.differences else "HAY DIFERENCIAS.")
    click.echo(f"Informe: {path}")
    sys.exit(1 if outcome.differences else 0)


if __name__ == "__main__":
    main()
