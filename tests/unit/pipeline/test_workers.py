"""The steps need no memory of the process that made them: they run in workers of their own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest
from apache_beam.internal import pickler

import spotify_mlops.pipeline
from agreement import settings_of, shape_of
from logs import event_log, random_events
from oracle import Rules
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.operations.stream import live_sinks
from spotify_mlops.pipeline.job import Job
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.pipeline.sinks.mongo import LatestEventsSink
from spotify_mlops.pipeline.sinks.staging import StageRaw, StageWindows, Staging
from spotify_mlops.pipeline.source import LogSource, _ReadDoFn
from spotify_mlops.pipeline.transforms import _PredictDoFn

PIPELINE = Path(spotify_mlops.pipeline.__file__).parent
RULES = Rules()


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PIPELINE.rglob("*.py")):
        name = path.relative_to(PIPELINE).with_suffix("").as_posix().replace("/", ".")
        yield name, ast.parse(path.read_text())


def imported(name: str, tree: ast.Module) -> set[str]:
    """Return the modules of the pipeline that a module imports when it is imported."""
    package = name.split(".")[:-1]
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            base = package[: len(package) + 1 - node.level]
            stem = [*base, *(node.module.split(".") if node.module else [])]
            found |= {".".join([*stem, alias.name]) for alias in node.names} | {".".join(stem)}
    return found


def is_step(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any("DoFn" in ast.unparse(b) for b in node.bases)


def is_container(node: ast.stmt) -> bool:
    """Tell whether a statement makes something that is filled later on."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Call):
        made = ast.unparse(value.func).split(".")[-1].split("[")[0]
        return made in {"dict", "list", "set", "Lock", "WeakValueDictionary", "defaultdict"}
    return value is not None and ast.unparse(value) in ("{}", "[]")


def test_no_step_reaches_the_trackers_of_a_process() -> None:
    trees = dict(modules())
    needs = {name: imported(name, tree) & trees.keys() for name, tree in trees.items()}
    reached = {name for name, tree in trees.items() if any(map(is_step, tree.body))}
    assert {"source", "transforms", "sinks.buffered", "sinks.windows"} <= reached
    while further := {need for name in reached for need in needs[name]} - reached:
        reached |= further
    assert "checkpoint" not in reached


def test_modules_keep_nothing_in_a_process_but_caches() -> None:
    kept = {
        f"{name}.{ast.unparse(node).split(':')[0].split(' =')[0]}"
        for name, tree in modules()
        for node in tree.body
        if is_container(node)
    }
    # What one who saves a position holds is of who starts the job: no worker saves one.
    assert kept == {"checkpoint._trackers", "source._readers", "sinks.positions._fences"}


def dofns(folder: Path) -> dict[str, object]:
    """Return every step that does more than call a function, by name."""
    settings, shape = settings_of(RULES, 7), shape_of(RULES, 2, 1)
    job = Job("elsewhere")
    staging = Staging(folder)
    live = live_sinks(settings)
    stage = StageRaw(staging, rows.of_records(settings.windows)[0])
    sinks = {sink.name: sink.dofn(job) for sink in (*live.raw, LatestEventsSink(settings))}
    return sinks | {
        "read": _ReadDoFn(LogSource(job, settings, shape)),
        "predict": _PredictDoFn(settings),
        "windows": live.windows.dofn(job),
        "stage": stage.dofn(job),
        "stage windows": StageWindows(staging).dofn(job),
    }


IN_ANOTHER_PROCESS = """
import sys
from apache_beam.internal import pickler

steps, element = pickler.loads(open(sys.argv[1], "rb").read())
assert "spotify_mlops.pipeline.checkpoint" not in sys.modules, "the trackers were imported"
if element is not None:
    (step,) = steps
    step.setup()
    step.process(element)
    step.finish_bundle()
    step.teardown()
print(*sorted(type(step).__name__ for step in steps))
"""


def elsewhere(folder: Path, steps: Iterable[object], element: object = None) -> list[str]:
    """Unpickle steps in a new process; there give the only one a bundle of one element."""
    content = folder / "pickled"
    content.write_bytes(pickler.dumps((list(steps), element)))
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, content]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_each_step_is_made_anew_in_another_process(tmp_path: Path) -> None:
    steps = dofns(tmp_path).values()
    assert elsewhere(tmp_path, steps) == sorted(type(step).__name__ for step in steps)


def test_a_bundle_of_another_process_is_written_when_it_ends(tmp_path: Path) -> None:
    settings = settings_of(RULES, 7)
    decoded = decode(event_log(random_events(40, 600, seed=3), None, 1), Ahead.of(settings.windows))
    marked, _ = mark(decoded, {0: None}, RULES.lateness)
    elsewhere(tmp_path, [dofns(tmp_path)["stage"]], marked)
    (written,) = Staging(tmp_path).files("spotify_events")
    assert pl.read_parquet(written)["log_offset"].to_list() == list(range(40))


@pytest.mark.parametrize("name", ["Archive", "DeadLetters", "Events", "Heartbeats", "Operational"])
def test_no_sink_holds_rows_for_an_engine_that_does_not_wait(tmp_path: Path, name: str) -> None:
    assert not dofns(tmp_path)[name]._job.holds
