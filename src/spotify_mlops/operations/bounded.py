"""The whole log, once: events, features, labels, predictions and counters into BigQuery.

The same graph as the live job, on FnApiRunner or, as a replay, on Prism too. Tables are
replaced, so a run can be repeated.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import msgspec
import polars as pl
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from ..config import paths
from ..config.errors import IntegrityError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..config.spanish import number
from ..domain.schemas import PREDICTION_SCHEMA
from ..domain.watermark import watermark
from ..io import bigquery, files, kafka
from ..io.archive.location import archive_root
from ..io.bigquery import tables, warehouse
from ..io.local import state
from ..io.mongo.clients import database as mongo_database
from ..io.storage import lease, objects
from ..model.promotions import PromotionHistory
from ..pipeline import checkpoint, clock, graph
from ..pipeline.job import Job
from ..pipeline.position import Position, start_of_log
from ..pipeline.sinks import archive, mongo, positions, rows, same_log
from ..pipeline.sinks.dead_letters import DeadLettersSink
from ..pipeline.sinks.staging import StageRaw, StageWindows, Staging
from ..pipeline.source import LogSource
from ..pipeline.steps import Shape
from . import dead_letters
from .engines import cluster, prism
from .engines.attempt import told

Runner = Literal["fnapi", "prism", "flink", "dataflow"]
_ELSEWHERE = ("flink", "dataflow")
"""Those with workers of their own."""
_DECISIVE_PARAMS = ("project", "archive", "kafka_bootstrap", "topic", "model_name", "horizon")
"""What decides the tables, beside the sections of stores and windows.

The levels do not: labels are a view, which takes the params' levels in place, and a model has its
own in its bundle.
"""
_DECISIVE_CODE = (
    "domain/",
    "io/bigquery/tables.py",
    "model/predictor.py",
    "model/promotions.py",
    "model/runtime.py",
    "pipeline/",
)
"""The parts of the package whose code decides what the tables hold."""


@dataclass(frozen=True)
class BoundedSummary:
    """What a bounded run did.

    ``watermark`` is the log's at its end: windows that end at or before it are closed. ``ends``
    has the record after the last one of each partition.
    """

    records: int
    rows: dict[str, int]
    watermark: datetime | None
    seconds: float
    dataset: str
    ends: dict[int, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"watermark": self.watermark and self.watermark.isoformat()}


def ensure(params: Params, *, say: Progress = silent) -> BoundedSummary:
    """Return what the last ``run`` did when it would do the same again; else run.

    The same means: the same log, params, champions and code of the graph.
    """
    path = summary_file(params)
    content = files.read_bytes(path)
    if content is not None:
        saved = msgspec.json.decode(content, type=_Done)
        if saved.fingerprint == _fingerprint(params) and _is_loaded(params, saved.summary, say):
            say("El registro no ha cambiado: las tablas ya están hechas")
            return saved.summary
    return run(params, say=say)


def run(
    params: Params,
    *,
    from_archive: bool = False,
    replay: bool = False,
    runner: Runner = "fnapi",
    final_lateness: timedelta | None = None,
    say: Progress = silent,
) -> BoundedSummary:
    """Run the graph over the whole log and load the tables of ``params.dataset``.

    Args:
        params: what and where.
        from_archive: read the archive in place of the topic.
        replay: only fill the dataset: no archive, no Mongo, no position, no dead-letter topic.
        runner: what executes the graph; the tables do not depend on it.
        final_lateness: what the watermark allows for at the end of the log, where a replay
            accepts later events than the live job but closes the same windows.
        say: takes a line of progress in Spanish.

    Raises:
        ServiceError: a service does not answer, or another process writes the same tables.
        IntegrityError: the archive is not whole, or (no replay) position and archive are of
            another log.
    """
    with nullcontext() if replay else positions.exclusive(params):
        return _run(params, from_archive, replay, runner, final_lateness, say)


def _run(
    params: Params,
    from_archive: bool,
    replay: bool,
    runner: Runner,
    final_lateness: timedelta | None,
    say: Progress,
) -> BoundedSummary:
    began = time.monotonic()
    log = None if replay else same_log.check(params)
    warehouse.ensure_dataset(params, rebuild=say)
    with _staging(params, f"bounded-{params.kafka.topic}-{params.bigquery.dataset}") as staging:
        sinks = _sinks(params, staging, replay)
        made = _compute(
            params,
            staging,
            sinks,
            say,
            from_archive=from_archive,
            runner=runner,
            final_lateness=final_lateness,
            log=log,
        )
        say("Cargando las tablas en BigQuery")
        counts = _load(params, staging, made.watermark)
        if not replay:
            say("Actualizando MongoDB")
            _latest_tracks(params, staging)
            assert isinstance(made.job, checkpoint.Tracker)  # only a replay runs elsewhere
            made.job.acknowledge_all()
            positions.save(params, made.job.position())
    seconds = time.monotonic() - began
    summary = BoundedSummary(
        made.records, counts, made.watermark, seconds, params.bigquery.dataset, made.ends
    )
    if not replay:
        done = _Done(_fingerprint(params), summary)
        files.write_bytes(summary_file(params), msgspec.json.encode(done))
    return summary


@dataclass(frozen=True)
class Computed:
    """What the graph made of a log, in files, before it is loaded anywhere."""

    staging: Staging
    job: Job
    records: int
    ends: dict[int, int]
    watermark: datetime | None


@contextmanager
def computed(params: Params, say: Progress = silent) -> Iterator[Computed]:
    """Compute the tables of the whole log and touch nothing else; the files go at the end.

    What the dataset has as a dead letter stays one, as it does for the streaming job.
    """
    with _staging(params, f"computed-{params.kafka.topic}-{params.bigquery.dataset}") as staging:
        sinks = _sinks(params, staging, replay=True)
        yield _compute(params, staging, sinks, say, keep_dead_letters=True)


@contextmanager
def _staging(params: Params, job: str) -> Iterator[Staging]:
    """Give a run an empty folder, named like its job; another run of the job waits for it."""
    root = archive_root(params)
    if objects.has_generations(root):  # where BigQuery reads, and whoever else runs this
        folder = f"{root}/staging/{job}"
        lock: AbstractContextManager[object] = lease.held(f"{folder}.lease", wait=True)
    else:
        folder, lock = str(paths.state_dir() / "staging" / job), state.locked(f"staging-{job}")
    staging = Staging.of(folder, params.windows)
    with lock:
        staging.clear()
        try:
            yield staging
        finally:
            staging.clear()


def _compute(
    params: Params,
    staging: Staging,
    sinks: graph.Sinks,
    say: Progress,
    *,
    from_archive: bool = False,
    runner: Runner = "fnapi",
    final_lateness: timedelta | None = None,
    keep_dead_letters: bool = False,
    log: str | None = None,
) -> Computed:
    start, ends = _extent(params, from_archive)
    start = replace(start, log=log)
    name = staging.name
    sources = min(params.engine.sources, len(ends)) if runner in _ELSEWHERE else 1
    shape = Shape.of(params.windows, params.stream.windows_per_element, sources)
    job = Job(name)
    if runner not in _ELSEWHERE:
        job = checkpoint.Tracker(name, start, shape, raw=0)
    total = sum(ends.values()) - sum(start.offsets.values())
    say(f"Procesando {number(total)} registros")
    if total:
        known = dead_letters.answered(params, start.offsets) if keep_dead_letters else None
        source = LogSource(job, params, shape, from_archive, known, final_lateness)
        build = partial(graph.build, source=source, start=start, sinks=sinks, ends=ends)
        try:
            _execute(params, runner, name, build, say)
        except RuntimeError as failure:
            raise told(failure) or failure from failure
    lateness = params.windows.allowed_lateness if final_lateness is None else final_lateness
    reached = watermark(staging.marks(ends), lateness)
    return Computed(staging, job, total, ends, reached)


def _execute(
    params: Params,
    runner: Runner,
    name: str,
    build: Callable[[beam.Pipeline], object],
    say: Progress,
) -> None:
    """Run a graph to its end."""
    if runner in _ELSEWHERE:
        cluster.run(params, runner, name, build, _is_final, say)
        return
    if runner == "prism":
        pipeline = beam.Pipeline(prism.runner(), prism.options())
    else:
        pipeline = beam.Pipeline(FnApiRunner(), PipelineOptions([]))
    build(pipeline)
    try:
        pipeline.run().wait_until_finish()
    finally:
        if isinstance(pipeline.runner, prism.OwnPrismRunner):
            pipeline.runner.stop()


def _is_final(failure: str) -> bool:
    """Tell whether a step refused the log itself: it would again."""
    return isinstance(told(failure), IntegrityError)


@dataclass(frozen=True)
class _Done:
    fingerprint: str
    summary: BoundedSummary


def summary_file(params: Params) -> str:
    """Return the file that says what the last run did."""
    return FileSystems.join(
        archive_root(params),
        "progress",
        f"{params.kafka.topic}-{params.bigquery.dataset}-bounded.json",
    )


def _fingerprint(params: Params) -> str:
    """Return a digest of all that decides the tables, and where they are: log, params, champions,
    code.
    """
    digest = hashlib.sha256()
    digest.update(repr([params.value(name) for name in _DECISIVE_PARAMS]).encode())
    for section in (params.bigquery, params.mongo, params.windows):
        digest.update(section.model_dump_json().encode())
    digest.update(kafka.identity(params).encode())
    digest.update(repr(sorted(kafka.offsets(params).items())).encode())
    digest.update(repr(PromotionHistory(params).periods()).encode())
    package = Path(__file__).resolve().parents[1]
    for source in sorted(package.rglob("*.py")):
        if source.relative_to(package).as_posix().startswith(_DECISIVE_CODE):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _is_loaded(params: Params, summary: BoundedSummary, say: Progress) -> bool:
    """Tell whether the warehouse still holds what the run loaded."""
    warehouse.ensure_dataset(params, rebuild=say)
    found = bigquery.query(params, "SELECT COUNT(*) FROM {dataset}.spotify_features_rows").item()
    return bool(found >= summary.rows["spotify_features"])


def _extent(params: Params, from_archive: bool) -> tuple[Position, dict[int, int]]:
    if from_archive:
        lows, ends = archive.extent(params)
    else:
        offsets = kafka.offsets(params)
        lows = {p: low for p, (low, _) in offsets.items()}
        ends = {p: high for p, (_, high) in offsets.items()}
    return start_of_log(lows), ends


def _sinks(params: Params, staging: Staging, replay: bool) -> graph.Sinks:
    letters = partial(rows.dead_letter_rows, topic=params.kafka.topic)
    staged = (
        *rows.of_records(params.windows),
        rows.RecordRows("DeadLetterRows", tables.DEAD_LETTERS, letters),
    )
    raw: list[graph.RawSink] = [StageRaw(staging, each) for each in staged]
    if not replay:
        saved = positions.load(params)
        published = saved.acknowledged if saved is not None else {}
        raw += [
            archive.ArchiveSink(params, 0, archive.coverage(params)),
            DeadLettersSink(params, 0, published, table=False),
            mongo.LatestEventsSink(params),
        ]
    return graph.Sinks(raw, StageWindows(staging))


def _load(params: Params, staging: Staging, reached: datetime | None) -> dict[str, int]:
    staging.write(tables.CLOSED.name, "closed", rows.closed_rows(reached, clock.now()))
    counts = {}
    for table in tables.log_tables(params.windows):
        counts[table.name] = warehouse.load(params, table, staging.files(table.name), replace=True)
    labels = tables.labels(params).name
    counts[labels] = bigquery.query(params, f"SELECT COUNT(*) FROM {{dataset}}.{labels}").item()
    return counts


def _latest_tracks(params: Params, staging: Staging) -> None:
    features = staging.read("spotify_features")
    if features is None:
        return
    predictions = staging.read("spotify_predictions")
    if predictions is None:
        predictions = pl.DataFrame(schema=PREDICTION_SCHEMA)
    news = mongo.latest(features, predictions)
    mongo.replace_tracks(mongo_database(params), mongo.model_inputs(params.windows), *news)
