"""How a job runs: its graph, on the local Flink cluster, by the workers of this machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_job_api_pb2,
    beam_job_api_pb2_grpc,
    beam_runner_api_pb2,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from google.protobuf import timestamp_pb2

from spotify_mlops.config.errors import ServiceError, one_line
from spotify_mlops.config.references import LOCAL
from spotify_mlops.io import addresses, flink
from spotify_mlops.io.flink import JOB_MANAGER, JOB_SERVER, WORKERS
from spotify_mlops.io.local import tls

from ..google_api.errors import ApiError

EXHAUSTED = "EXHAUSTED"
_PATIENCE = 60.0
_POLL = 0.1


def graph_of(job: Any) -> str:
    """Return where a job's graph was left.

    Raises:
        ApiError: the job does not say, or is none that a current Beam sends.
    """
    options = dict(job.environment.sdk_pipeline_options).get("options")
    where = str(dict(options).get("pipelineUrl", "")) if options is not None else ""
    if not where:
        raise ApiError.invalid(
            "job.environment.sdk_pipeline_options",
            "La tarea no dice dónde está su grafo (pipelineUrl): ¿la envió DataflowRunner?",
        )
    return where


def read(graph: str) -> Any:
    """Return the graph that was left somewhere."""
    pipeline = beam_runner_api_pb2.Pipeline()
    with FileSystems.open(graph) as content:
        pipeline.ParseFromString(content.read())
    return pipeline


def steps_of(pipeline: Any) -> dict[str, str]:
    """Return what the steps of a graph are (a URN), by their names: whose state another takes over.

    A composite is its steps, and no step itself.
    """
    return {
        step.unique_name: step.spec.urn
        for step in pipeline.components.transforms.values()
        if not step.subtransforms
    }


def send(job: Any, pipeline: Any, savepoint: str | None = None) -> None:
    """Have the cluster run a graph, as a job with the id for its name.

    Args:
        job: as it was asked for.
        pipeline: its graph.
        savepoint: what another job left, to go on from there; it is needed no more afterwards.

    Raises:
        ServiceError: the cluster is not up, does not take it, or cannot go on from there.
    """
    _put_workers(pipeline, _address(WORKERS, "pool"))
    slots = _ask("/overview")["slots-total"]
    pools = job.environment.worker_pools
    wanted = pools[0].autoscaling_settings.max_num_workers if pools else 0
    jobs = _address(JOB_SERVER, "jobs")
    options = PipelineOptions(
        [
            *("--streaming", f"--job_name={job.id}", *flink.CHECKPOINTS, flink.BUNDLES),
            f"--parallelism={max(1, min(wanted or slots, slots))}",
            *(() if savepoint is None else (f"--savepoint_path={savepoint}",)),
        ]
    )
    with grpc.insecure_channel(jobs) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            sent, messages, _ = JobServiceHandle(service, options).submit(pipeline)
            request = beam_job_api_pb2.GetJobStateRequest(job_id=sent)
            deadline = time.monotonic() + _PATIENCE
            while _found(job.id) is None:
                if service.GetState(request).state == beam_job_api_pb2.JobState.FAILED:
                    raise ServiceError(f"Flink no acepta la tarea: {_told(messages)}")
                if time.monotonic() > deadline:
                    raise ServiceError("Flink no tiene la tarea a tiempo: mira su registro.")
                time.sleep(_POLL)
        except grpc.RpcError as error:
            raise ServiceError(f"El servidor de tareas no responde: {one_line(error)}") from error
    if savepoint is not None:
        _await_own_state(job.id)


def _await_own_state(job: str) -> None:
    """Wait until a job has kept its own state, and would not begin again from another's.

    Raises:
        ServiceError: it ends before, or does not do so in time.
    """
    deadline = time.monotonic() + _PATIENCE
    while (found := _found(job)) is not None and found["state"] not in flink.ENDED:
        if _ask(f"/jobs/{found['jid']}/checkpoints")["counts"]["completed"]:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    told = failures(job)
    if found is not None and found["state"] not in flink.ENDED:
        cancel(job)
    why = one_line(told[0][1], 300) if told else "no dice por qué"
    raise ServiceError(f"Flink no sigue desde lo que dejó la tarea anterior: {why}")


def state(job: str) -> str | None:
    """Return the state of a job in Flink's words; None when Flink does not know it.

    One that runs and has all it will ever have to do in its last steps is `EXHAUSTED`.

    Raises:
        ServiceError: Flink does not answer.
    """
    found = _found(job)
    if found is None:
        return None
    if found["state"] == "RUNNING" and flink.is_exhausted(_ask, found["jid"]):
        return EXHAUSTED
    return str(found["state"])


def counters(job: str) -> dict[tuple[str, str], int]:
    """Return what the steps of a job have counted, by namespace and name.

    Raises:
        ServiceError: Flink does not answer.
    """
    found = _found(job)
    return {} if found is None else flink.counters(_ask, found["jid"])


def failures(job: str) -> list[tuple[timestamp_pb2.Timestamp, str]]:
    """Return why a job failed each time, and when; nothing where Flink does not know it."""
    try:
        found = _found(job)
        if found is None:
            return []
        history = _ask(f"/jobs/{found['jid']}/exceptions")["exceptionHistory"]["entries"]
    except ServiceError:
        return []  # whoever asks after the state is told
    told = []
    for entry in history:
        when = timestamp_pb2.Timestamp()
        when.FromMilliseconds(entry["timestamp"])
        told.append((when, str(entry["stacktrace"])))
    return told


def cancel(job: str) -> None:
    """End a job: what it has open is dropped.

    Raises:
        ServiceError: Flink does not answer.
    """
    found = _found(job)
    if found is not None:
        _ask(f"/jobs/{found['jid']}?mode=cancel", "PATCH")


def drain(job: str, *, folder: Path) -> None:
    """Let a job end when it has worked off what its sources have read; wait until it has.

    Open windows are dropped, and not fired as Dataflow does: Flink would wait for sources that
    have no end. Nothing is written of those here or there, since no source has closed them.

    Args:
        job: its id.
        folder: is left as it was; Flink keeps there meanwhile what it could begin again from.

    Raises:
        ServiceError: Flink does not answer.
    """
    with stopped(job, folder=folder):
        pass


@contextmanager
def stopped(job: str, *, folder: Path) -> Iterator[str | None]:
    """End a job as `drain` does, and keep for the block what another could go on from.

    Yields:
        where Flink kept it; None when the job ended by itself.

    Raises:
        ServiceError: Flink does not answer.
    """
    kept = folder.resolve() / job
    body = {"drain": False, "targetDirectory": kept.as_uri()}
    savepoint = None
    try:
        while (found := _found(job)) is not None and found["state"] not in flink.ENDED:
            path = f"/jobs/{found['jid']}"
            # One that is just beginning again after a death ends none of its steps in order.
            if found["state"] == "RUNNING":
                asked = _ask(f"{path}/stop", "POST", body)["request-id"]
                while (told := _ask(f"{path}/savepoints/{asked}"))["status"]["id"] == "IN_PROGRESS":
                    time.sleep(_POLL)
                savepoint = told["operation"].get("location")
            time.sleep(_POLL)
        yield savepoint
    finally:
        forget(job, folder=folder)


def forget(job: str, *, folder: Path) -> None:
    """Remove what Flink kept of a job that was `stopped`, if anything is left."""
    shutil.rmtree(folder.resolve() / job, ignore_errors=True)


def _found(job: str) -> dict[str, Any] | None:
    jobs = _ask("/jobs/overview")["jobs"]
    return next((each for each in jobs if each["name"] == job), None)


def _put_workers(pipeline: Any, pool: str) -> None:
    """Have the steps run by workers of a pool, and not by containers of an image."""
    payload = beam_runner_api_pb2.ExternalPayload()
    payload.endpoint.url = pool
    for environment in pipeline.components.environments.values():
        environment.urn = common_urns.environments.EXTERNAL.urn
        environment.payload = payload.SerializeToString()
        del environment.dependencies[:]  # the pool has this package


def _told(messages: Any) -> str:
    """Return the last error that the job server tells of a job that it could not send."""
    texts = [m.message_response.message_text for m in messages if m.HasField("message_response")]
    return one_line(texts[-1], 300) if texts else "no dice por qué"


def _ask(path: str, method: str = "GET", body: object = None) -> Any:
    return flink.ask(_address(JOB_MANAGER, "rest"), path, method, body, context=tls.context())


def _address(service: str, name: str) -> str:
    try:
        return addresses.address(LOCAL, service, name)
    except ServiceError as error:
        raise ServiceError(
            f"El Dataflow local necesita «{service}», que no está en marcha: ejecuta "
            "«spotify-mlops up --engine dataflow»."
        ) from error
