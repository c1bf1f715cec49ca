"""The streaming job on Dataflow: what Beam's runner sends it, and what the job leaves."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import apache_beam as beam
import pytest
from google.api_core import exceptions
from google.cloud import dataflow_v1beta3 as api

from chaos import campaign, contents, log
from chaos.faults import Fault
from local_services import services as local_services
from spotify_mlops import sources
from spotify_mlops.cli import main
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import retry
from spotify_mlops.io.local import state
from spotify_mlops.operations import apps, bounded, compare
from spotify_mlops.operations.engines import cluster, dataflow, flink
from spotify_mlops.pipeline import metrics
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.sinks import positions

NOBODY = 65534
PATIENCE = 300.0


@pytest.fixture(scope="module")
def runner(
    services: dict[str, state.Record], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[campaign.Campaign]:
    """A log, what Prism leaves of it, and a Dataflow, which ends with the module."""
    folder = tmp_path_factory.mktemp("dataflow")
    asked = {"task_managers": 2, "with_dataflow": True}
    with campaign.beside_prism(folder, campaign.DATAFLOW, **asked) as found:
        yield found


@pytest.fixture
def settings(runner: campaign.Campaign) -> Params:
    return params.load("local", **campaign.DATAFLOW)


def jobs(settings: Params) -> api.JobsV1Beta3Client:
    return dataflow.client(settings, api.JobsV1Beta3Client)


def of(settings: Params, **fields: Any) -> dict[str, Any]:
    return {"project_id": settings.cloud.project, "location": settings.cloud.location, **fields}


def states(settings: Params, name: str) -> list[str]:
    found = jobs(settings).list_jobs(api.ListJobsRequest(of(settings, name=name)))
    return [job.current_state.name.removeprefix("JOB_STATE_") for job in found]


def _running(settings: Params, job: dataflow.Job) -> dataflow.Job | None:
    """Return a job once it runs."""
    return retry.until(
        lambda: dataflow.now(settings, job),
        lambda found: found is not None and found.state == "RUNNING",
        PATIENCE,
    )


def endless(pipeline: beam.Pipeline) -> object:
    """Put a graph into a pipeline that works until it is ended."""
    from apache_beam.transforms.periodicsequence import PeriodicImpulse

    return pipeline | PeriodicImpulse(fire_interval=1.0) | beam.Map(str)


def counting(pipeline: beam.Pipeline) -> object:
    """Put a graph into a pipeline that works, and counts what it does, until it is ended."""
    lengths = endless(pipeline) | beam.Map(len)
    return lengths | beam.Map(functools.partial(metrics.count, "events"))


@pytest.fixture(scope="module")
def working(runner: campaign.Campaign) -> dataflow.Job:
    """The streaming job, as far as its name goes."""
    settings = params.load("local", **campaign.DATAFLOW)
    name = dataflow.job_name(cluster.stream_name(settings))
    found = _running(settings, dataflow.submit(settings, name, counting))
    assert found is not None
    return found


def test_it_leaves_what_prism_leaves_whatever_is_killed(runner: campaign.Campaign) -> None:
    faults = [
        Fault(0.1, 0.0, "worker"),
        Fault(0.2, 0.0, "stream"),  # its job goes on: the next run updates it
        Fault(0.4, 0.0, "task-manager"),
    ]
    outcome = runner.disturbed("dataflow", faults)
    assert outcome.differences == []
    assert outcome.exits[-1] == 0
    # What nobody watched any more was updated, unless it came to the end of the log before. What
    # was at the end was drained, unless it had ended by itself, as a job does whose sources have.
    settings = params.load("local", **campaign.DATAFLOW)
    found = jobs(settings).list_jobs(api.ListJobsRequest(of(settings)))
    last, *others = [job for job in found if not _came_too_late(settings, job)]
    assert last.current_state.name in ("JOB_STATE_DRAINED", "JOB_STATE_DONE")
    assert {job.current_state.name for job in others} <= {"JOB_STATE_UPDATED"}


def _came_too_late(settings: Params, job: Any) -> bool:
    """Tell whether a job was to go on with the work of one that ended by itself before."""
    late = [f"La tarea {job.replace_job_id} acabó antes de actualizarla."]
    failed = job.current_state == api.JobState.JOB_STATE_FAILED
    return failed and dataflow.failures(settings, job) == late


@contextmanager
def streaming(settings: Params) -> Iterator[subprocess.Popen[bytes]]:
    """Have the command stream for the block, if it goes on for so long."""
    command = ["stream", "--params", str(apps.params_file(settings))]
    process = subprocess.Popen([sys.executable, "-m", "spotify_mlops", *command])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_same_command_updates_what_nobody_watches(runner: campaign.Campaign) -> None:
    own = {"simulator_events": 10_000, "live_clock": 1_800, "idle_timeout": "60s"}
    settings = runner.log.params.replace(**own, **log.own_names("updated"))
    published = dataclasses.replace(runner.log, params=settings)
    sources.ingest_simulator(published.params)
    live = published.fresh("live", **campaign.DATAFLOW)
    name = dataflow.job_name(cluster.stream_name(live))

    def written(share: float) -> Position:
        found = retry.until(
            lambda: positions.load(live), lambda p: published.share_before(p) >= share, PATIENCE
        )
        assert found is not None and published.share_before(found) >= share
        return found

    with streaming(live):
        begun = written(0.2)
    left = dataflow.status(live, name)
    assert left is not None
    with ThreadPoolExecutor(1) as apart:
        publishing = apart.submit(sources.live, live)  # records go on meanwhile
        with streaming(live) as again:
            retry.until(lambda: dataflow.now(live, left), lambda j: j.state == "UPDATED", PATIENCE)
            assert positions.load(live).job == begun.job
            assert publishing.result()["state"] == "complete"
            written(1 + live.simulator.live_duration / timedelta(days=live.simulator.days))
            again.send_signal(signal.SIGTERM)
            assert again.wait(PATIENCE) == 0
    assert states(live, name) == ["DRAINED", "UPDATED"]
    assert contents.faults(live) == []
    replayed = published.fresh("replayed")
    bounded.run(replayed, replay=True)
    found = compare.compare(live, replayed)
    assert all(table.live.rows for table in found)
    assert [table.name for table in found if not table.equal] == []


def test_a_name_runs_once(settings: Params, working: dataflow.Job) -> None:
    with pytest.raises(ServiceError, match=f"ya hay una tarea «{working.name}» en marcha"):
        dataflow.submit(settings, working.name, endless)
    assert dataflow.status(settings, working.name) == working


def test_what_a_job_says_of_itself_is_kept(settings: Params, working: dataflow.Job) -> None:
    found = jobs(settings).get_job(of(settings, job_id=working.id))
    (pool,) = found.environment.worker_pools
    assert pool.autoscaling_settings.max_num_workers == 2
    assert pool.machine_type == settings.dataflow.machine
    assert pool.ip_configuration.name == "WORKER_IP_PRIVATE"
    assert dict(found.labels) == {"made-by": "spotify-mlops", "profile": "local"}
    assert {"use_runner_v2", "enable_streaming_engine"} <= set(found.environment.experiments)


def test_what_it_counts_is_told_wherever_one_asks(
    settings: Params, working: dataflow.Job, capsys: pytest.CaptureFixture[str]
) -> None:
    retry.until(
        lambda: dataflow.counters(settings, working),
        lambda found: found.get("events", 0) > 0,
        PATIENCE,
    )
    capsys.readouterr()
    main.main(["status", "--json", *(f"--set={key}={v}" for key, v in campaign.DATAFLOW.items())])
    told = json.loads(capsys.readouterr().out)["job"]
    assert (told["engine"], told["name"], told["state"]) == ("Dataflow", working.name, "RUNNING")
    assert told["counters"].keys() == {"events"} and told["counters"]["events"] > 0


def test_a_drained_job_leaves_nothing(settings: Params, working: dataflow.Job) -> None:
    assert dataflow.finish(settings, working).state == "DRAINED"
    assert not (state.folder("dataflow") / working.id).exists()  # nothing to begin again from
    assert dataflow.status(settings, working.name) is None and cluster.running(settings) is None
    with pytest.raises(exceptions.BadRequest, match="ya ha acabado"):
        jobs(settings).update_job(
            of(settings, job_id=working.id, job={"requested_state": api.JobState.JOB_STATE_DRAINED})
        )


def test_a_graph_that_fails_tells_why(settings: Params) -> None:
    def broken(pipeline: beam.Pipeline) -> object:
        return endless(pipeline) | "Break" >> beam.Map(int)

    job = dataflow.submit(settings, "broken", broken)
    told = retry.until(lambda: dataflow.failures(settings, job), bool, PATIENCE)
    assert "ValueError: invalid literal for int()" in told[0]
    dataflow.cancel(settings, job)


def test_a_replay_there_leaves_what_prism_left(runner: campaign.Campaign) -> None:
    first = runner.log.fresh("undisturbed")
    other = first.replace(
        dataset=f"{first.bigquery.dataset}_replayed", **campaign.DATAFLOW, service_timeout="60s"
    )
    name = dataflow.job_name(f"bounded-{other.kafka.topic}-{other.bigquery.dataset}")
    left = dataflow.submit(other, name, endless)  # as by a run that was killed
    bounded.run(other, replay=True, runner="dataflow")
    found = compare.compare(first, other)
    assert all(table.live.rows for table in found)
    assert [table.name for table in found if not table.equal] == []
    assert sorted(states(other, name)) == ["CANCELLED", "DONE"]
    (done,) = (job for job in jobs(other).list_jobs(api.ListJobsRequest(of(other, name=name)))
               if job.id != left.id)  # fmt: skip
    known = dataclasses.replace(left, id=done.id, state="RUNNING")  # as it was
    assert dataflow.finish(other, known).state == "DONE"  # and stays
    assert dataflow.now(other, left).state == "CANCELLED"  # type: ignore[union-attr]


def test_what_it_does_not_do_it_names(settings: Params) -> None:
    snapshots = dataflow.client(settings, api.SnapshotsV1Beta3Client)
    with pytest.raises(exceptions.MethodNotImplemented, match="/snapshots» no está en el Dataflow"):
        snapshots.list_snapshots(of(settings, job_id="x"))
    with pytest.raises(exceptions.BadRequest, match="no dice dónde está su grafo"):
        jobs(settings).create_job(of(settings, job={"name": "x"}))
    with pytest.raises(exceptions.NotFound, match="la tarea x"):
        jobs(settings).get_job(of(settings, job_id="x"))


def test_without_a_cluster_the_job_fails_and_says_what_to_do(
    own_state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = params.load("local", **campaign.DATAFLOW)
    service = next(s for s in local_services._wanted(0, True) if s.name == "dataflow")
    local_services._start(service, lambda message: None, PATIENCE)
    job = dataflow.submit(settings, "alone", endless)
    found = retry.until(
        lambda: dataflow.now(settings, job), lambda j: j is not None and j.is_over, PATIENCE
    )
    assert found is not None and found.state == "FAILED"
    (told,) = dataflow.failures(settings, job)
    assert "«flink-workers», que no está en marcha" in told and "up --engine dataflow" in told


ASK = """
import encodings.idna, json, os, sys, urllib.error, urllib.request
user, url, headers = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if user: os.setgid(int(user)); os.setuid(int(user))
try:
    print(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def asked(settings: Params, user: str = "", **headers: str) -> int:
    url = state.read()["dataflow"].addresses["url"]
    project, location = settings.cloud.project, settings.cloud.location
    path = f"{url}/v1b3/projects/{project}/locations/{location}/jobs"
    command = [sys.executable, "-c", ASK, user, path, json.dumps(headers)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_no_web_page_is_answered(settings: Params) -> None:
    assert asked(settings) == 200
    assert asked(settings, Origin="https://elsewhere.example") == 403
    assert asked(settings, Host="elsewhere.example") == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_nobody_else_is_answered(settings: Params) -> None:
    assert asked(settings, str(NOBODY)) == 403


def test_jobs_outlive_the_server(settings: Params) -> None:
    job = dataflow.submit(settings, "outlives", endless)
    _running(settings, job)
    os.kill(state.read()["dataflow"].pid or 0, signal.SIGKILL)
    local_services.up()
    found = dataflow.now(settings, job)
    assert found is not None and found.state == "RUNNING"
    assert dataflow.cancel(settings, job).state == "CANCELLED"
    assert all(each.is_over for each in flink.jobs(settings))
