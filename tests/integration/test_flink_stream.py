"""The streaming job on a Flink cluster leaves what it leaves on Prism, whatever dies meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from worlds import (
    catch_up,
    closes_what_a_silent_partition_holds_open,
    make,
    publish_to_one_partition,
)

from chaos import campaign
from chaos.faults import KILLED, Fault
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import silent
from spotify_mlops.io import kafka, retry
from spotify_mlops.io.bigquery import warehouse
from spotify_mlops.io.local import state
from spotify_mlops.operations import audit, stream
from spotify_mlops.operations.engines import flink
from spotify_mlops.operations.engines.attempt import Order
from spotify_mlops.operations.engines.on_workers import WorkersAttempt
from spotify_mlops.pipeline.position import start_of_log

PATIENCE = 300.0
KILLS = [
    Fault(0.1, 0.0, "worker"),
    Fault(0.2, 0.0, "task-manager"),
    Fault(0.3, 0.0, "job-server"),
    Fault(0.35, 0.0, "bigquery", 1.0),
    Fault(0.45, 0.0, "stream"),
    Fault(0.45, 4.0, "job-manager"),  # while it starts again
    Fault(0.6, 0.0, "mongo", 1.0),
    Fault(0.7, 0.0, "pool"),
    Fault(0.8, 0.0, "kafka", 2.0),
]


@pytest.fixture(scope="module")
def runner(
    services: dict[str, state.Record], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[campaign.Campaign]:
    """A log, what Prism leaves of it, and a cluster, which ends with the module."""
    folder = tmp_path_factory.mktemp("flink-stream")
    with campaign.beside_prism(folder, campaign.FLINK, task_managers=3) as found:
        yield found


@pytest.mark.parametrize(("sources", "parallelism"), [(1, 1), (2, 2), (4, 3)])
def test_it_leaves_what_prism_leaves(
    runner: campaign.Campaign, sources: int, parallelism: int
) -> None:
    cut = {"engine_sources": sources, "parallelism": parallelism, "task_managers": 3}
    outcome = runner.on(campaign.FLINK | cut).disturbed(f"flink-{sources}-{parallelism}", [])
    assert outcome.differences == []
    assert outcome.exits == [0]


def test_whatever_is_killed_the_final_content_is_the_same(runner: campaign.Campaign) -> None:
    outcome = runner.disturbed("flink-killed", KILLS)
    assert outcome.differences == []
    assert outcome.exits[-1] == 0
    assert outcome.kills.keys() <= set(KILLED["flink"])
    assert outcome.kills["worker"] == outcome.kills["task-manager"] == 1


def test_each_start_may_cut_the_work_otherwise(runner: campaign.Campaign) -> None:
    """Another parallelism, other sources, at last Prism: each goes on where the one before died."""
    engines = (
        campaign.FLINK | {"engine_sources": 1, "parallelism": 1},
        campaign.FLINK | {"engine_sources": 4, "parallelism": 3, "task_managers": 3},
        campaign.PRISM,
    )
    kills = [Fault(share, 0.0, "stream") for share in (0.1, 0.2)]
    outcome = runner.on(*engines).disturbed("flink-turns", kills)
    assert outcome.differences == []
    # A fast machine is at the end before the second kill.
    assert outcome.exits[0] == -signal.SIGKILL
    assert outcome.exits[-1] == 0


@pytest.mark.usefixtures("runner")
def test_a_silent_partition_holds_no_window_open() -> None:
    settings = make(partitions=2, idle_timeout="2s", **campaign.FLINK | {"engine_sources": 2})
    closes_what_a_silent_partition_holds_open(settings)


@pytest.mark.usefixtures("runner")
def test_a_log_with_an_empty_partition_is_answered_for() -> None:
    settings = make(partitions=2, **campaign.FLINK | {"engine_sources": 2})
    publish_to_one_partition(settings)
    assert catch_up(settings)["records"] == 2
    report = audit.audit(settings, wait=0)
    assert report.holds
    assert report.table["open"].to_list() == [2, 0]


def test_without_finished_bundles_rows_vanish_and_the_audit_is_red(
    runner: campaign.Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the option is for: no process says a word, and only the audit sees it."""
    monkeypatch.setattr(flink, "CHECKPOINTS", ("--checkpointing_interval=100",))
    settings = runner.log.fresh("flink-unfinished", **campaign.FLINK)
    warehouse.ensure_dataset(settings, fills=True)
    start = start_of_log(dict.fromkeys(runner.log.ends, 0), kafka.identity(settings))
    attempt = WorkersAttempt(Order(settings, stream.live_sinks(settings), runner.log.ends))
    stop = threading.Event()
    with ThreadPoolExecutor(1) as apart:
        running = apart.submit(attempt.run, start, stop, silent)
        try:
            job = _after_checkpoints(settings, 100)
            assert flink.failures(settings, job) == []
            assert not running.done()
        finally:
            stop.set()
        running.result()
    assert not audit.audit(settings, wait=0).holds


def _after_checkpoints(settings: Params, number: int) -> flink.Job:
    """Return the newest job once it has given rows out, and made so many checkpoints since."""
    job = retry.until(lambda: next(iter(flink.jobs(settings)), None), _is_running, PATIENCE)
    assert job is not None

    def completed() -> int:
        return int(flink.ask(settings, f"/jobs/{job.id}/checkpoints")["counts"]["completed"])

    def given() -> int:
        vertices = flink.ask(settings, f"/jobs/{job.id}")["vertices"]
        return sum(vertex["metrics"]["write-records"] for vertex in vertices)

    assert retry.until(given, lambda rows: rows > 0, PATIENCE) > 0
    wanted = completed() + number
    assert retry.until(completed, lambda made: made >= wanted, PATIENCE) >= wanted
    return job


def _is_running(job: flink.Job | None) -> bool:
    return job is not None and job.state == "RUNNING"
