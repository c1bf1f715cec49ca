"""The Dataflow stand-in's rules for jobs, with what Flink does of them decided here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud import dataflow_v1beta3 as api

from local_services.dataflow import running
from local_services.dataflow.jobs import Jobs
from local_services.google_api.errors import ApiError
from local_services.google_api.store import Store
from spotify_mlops.config.errors import ServiceError

OWN = {"project_id": "own", "location": "here"}


class Cluster:
    """Flink, as far as the rules see it: what runs, and from what it went on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: dict[str, str] = {}
        self.went_on: dict[str, str] = {}
        self.graphs: dict[str, Any] = {}
        self.refuses = ""

    def read(self, graph: str) -> Any:
        return self.graphs[graph]

    def send(self, job: Any, pipeline: Any, savepoint: str | None = None) -> None:
        if self.refuses:
            raise ServiceError(self.refuses)
        self.states[job.id] = "RUNNING"
        if savepoint is not None:
            assert Path(savepoint).exists()
            self.went_on[job.id] = savepoint

    def state(self, job: str) -> str | None:
        return self.states.get(job)

    def failures(self, job: str) -> list[Any]:
        return []

    def cancel(self, job: str) -> None:
        self.states[job] = "CANCELED"

    @contextmanager
    def stopped(self, job: str, *, folder: Path) -> Iterator[str | None]:
        if self.states[job] != "RUNNING":
            yield None
            return
        self.states[job] = "FINISHED"
        kept = folder / job
        kept.mkdir()
        try:
            yield str(kept)
        finally:
            kept.rmdir()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster(tmp_path)
    for name in ("read", "send", "state", "failures", "cancel", "stopped"):
        monkeypatch.setattr(running, name, getattr(found, name))
    return found


@pytest.fixture
def jobs(cluster: Cluster, tmp_path: Path) -> Iterator[Jobs]:
    store = Store(tmp_path / "jobs.sqlite")
    yield Jobs(store, tmp_path)
    store.close()


def graph(**steps: str) -> Any:
    """Return a graph of these steps, in a composite."""
    found = beam_runner_api_pb2.Pipeline()
    found.components.transforms["whole"].unique_name = "whole"
    for name, urn in steps.items():
        found.components.transforms["whole"].subtransforms.append(name)
        found.components.transforms[name].unique_name = f"whole/{name}"
        found.components.transforms[name].spec.urn = urn
    return found


def wanted(cluster: Cluster, pipeline: Any, **fields: Any) -> Any:
    where = f"graph-{len(cluster.graphs)}"
    cluster.graphs[where] = pipeline
    request = api.CreateJobRequest.pb()(**OWN)
    request.job.name = "stream"
    request.job.client_request_id = where
    options = request.job.environment.sdk_pipeline_options
    options.update({"options": {"pipelineUrl": where}})
    for name, value in fields.items():
        setattr(request.job, name, value)
    return request


async def created(jobs: Jobs, request: Any) -> Any:
    """Return a job once it was sent."""
    made: Any = await jobs.create(request)
    await jobs.stop()
    return await now(jobs, made.id)


async def now(jobs: Jobs, job: str) -> Any:
    return await jobs.get(api.GetJobRequest.pb()(**OWN, job_id=job))


async def active(jobs: Jobs) -> list[str]:
    of = api.ListJobsRequest.Filter.ACTIVE
    found: Any = await jobs.list_(api.ListJobsRequest.pb()(**OWN, filter=of))
    return [job.id for job in found.jobs]


def state(job: Any) -> str:
    return api.JobState(job.current_state).name.removeprefix("JOB_STATE_")


SAME = graph(read="sdf", group="gbk")


def test_a_job_of_the_same_steps_goes_on_with_anothers_work(jobs: Jobs, cluster: Cluster) -> None:
    async def work() -> None:
        first = await created(jobs, wanted(cluster, SAME))
        second = await created(jobs, wanted(cluster, SAME, replace_job_id=first.id))
        assert state(second) == "RUNNING" and second.replace_job_id == first.id
        assert cluster.went_on[second.id] == str(cluster.folder / first.id)
        assert not (cluster.folder / first.id).exists()
        replaced = await now(jobs, first.id)
        assert state(replaced) == "UPDATED" and replaced.replaced_by_job_id == second.id
        assert await active(jobs) == [second.id]
        # One that was replaced is so once: who asks again is told by whom.
        again: Any = await jobs.create(wanted(cluster, SAME, replace_job_id=first.id))
        assert again.id == second.id and again.client_request_id == second.client_request_id
        # And the name is taken by the newer one.
        taken: Any = await jobs.create(wanted(cluster, SAME))
        assert taken.id == second.id
        ask = api.UpdateJobRequest.pb()(**OWN, job_id=first.id)
        ask.job.requested_state = api.JobState.JOB_STATE_DRAINED
        with pytest.raises(ApiError, match="ya ha acabado"):
            await jobs.update(ask)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (graph(read="sdf", ranked="gbk"), "«whole/group», «whole/ranked»"),
        (graph(read="sdf", group="pardo"), "«whole/group»"),
        (graph(read="sdf"), "«whole/group»"),
    ],
)
def test_other_steps_are_refused_and_the_job_goes_on(
    jobs: Jobs, cluster: Cluster, other: Any, told: str
) -> None:
    async def work() -> None:
        first = await created(jobs, wanted(cluster, SAME))
        second = await created(jobs, wanted(cluster, other, replace_job_id=first.id))
        assert state(second) == "FAILED" and second.id not in cluster.states
        messages: Any = await jobs.messages(
            api.ListJobMessagesRequest.pb()(**OWN, job_id=second.id)
        )
        (text,) = (message.message_text for message in messages.job_messages)
        assert text.endswith(f"no es compatible con {first.id}, que sigue en marcha. "
                             f"Cambian: {told}")  # fmt: skip
        assert state(await now(jobs, first.id)) == "RUNNING"
        assert cluster.states == {first.id: "RUNNING"}
        assert await active(jobs) == [first.id]

    asyncio.run(work())


def test_only_a_job_of_the_name_that_works_is_replaced(jobs: Jobs, cluster: Cluster) -> None:
    async def work() -> None:
        with pytest.raises(ApiError, match="No existe la tarea x") as refused:
            await jobs.create(wanted(cluster, SAME, replace_job_id="x"))
        assert refused.value.status == "NOT_FOUND"
        first = await created(jobs, wanted(cluster, SAME))
        with pytest.raises(ApiError, match="se llama «stream»"):
            await jobs.create(wanted(cluster, SAME, replace_job_id=first.id, name="other"))
        cluster.states[first.id] = "FAILED"
        with pytest.raises(ApiError, match="no está en marcha") as refused:
            await jobs.create(wanted(cluster, SAME, replace_job_id=first.id))
        assert refused.value.status == "FAILED_PRECONDITION"
        request = wanted(cluster, SAME, replace_job_id=first.id)
        request.job.transform_name_mapping["a"] = "b"
        with pytest.raises(ApiError, match="transform_name_mapping"):
            await jobs.create(request)

    asyncio.run(work())


def test_what_flink_does_not_go_on_from_is_gone(jobs: Jobs, cluster: Cluster) -> None:
    """Where Dataflow's old job goes on, this one's has ended: the log is what is left."""

    async def work() -> None:
        first = await created(jobs, wanted(cluster, SAME))
        cluster.refuses = "no cabe"
        second = await created(jobs, wanted(cluster, SAME, replace_job_id=first.id))
        assert state(second) == "FAILED"
        assert state(await now(jobs, first.id)) == "DONE"
        assert not (cluster.folder / first.id).exists()

    asyncio.run(work())


def test_a_server_that_died_while_it_updated_leaves_nothing(
    jobs: Jobs, cluster: Cluster, tmp_path: Path
) -> None:
    async def work() -> None:
        first = await created(jobs, wanted(cluster, SAME))
        second = await created(jobs, wanted(cluster, SAME, replace_job_id=first.id))
        row = jobs._row(api.GetJobRequest.pb()(**OWN, job_id=second.id))
        jobs._become(row, api.JobState.JOB_STATE_PENDING)  # as it was when it died
        (tmp_path / first.id).mkdir()
        jobs.start()
        assert state(await now(jobs, second.id)) == "FAILED"
        assert not (tmp_path / first.id).exists()

    asyncio.run(work())
