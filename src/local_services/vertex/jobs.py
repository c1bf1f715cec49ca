"""Custom jobs: the training container's command, run once as a process of this machine."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from spotify_mlops.config.spanish import exact
from spotify_mlops.io import logs

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import containers, listing, messages, names
from .messages import CustomJob, JobState
from .operations import Operations

_log = logging.getLogger(__name__)
JOB = "job"
_OUTPUT_ONLY = ("name", "state", "create_time", "start_time", "end_time", "update_time", "error")
_GIVEN = ("display_name", "job_spec", "labels")
_SPEC = ("worker_pool_specs", "scheduling", "service_account", "base_output_directory")
_POOL = ("container_spec", "machine_spec", "replica_count", "disk_spec")
_SCHEDULING = ("timeout", "disable_retries", "max_wait_duration")
_UNDER_WAY = (JobState.JOB_STATE_PENDING, JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_CANCELLING)
_LONGEST = 7 * 86_400.0
_OUTPUTS = {
    "AIP_MODEL_DIR": "model",
    "AIP_CHECKPOINT_DIR": "checkpoints",
    "AIP_TENSORBOARD_LOG_DIR": "logs",
}
_FILTERS: listing.Fields = {
    "display_name": lambda job: job.display_name,
    "name": lambda job: job.name,
    "state": lambda job: JobState(job.state).name,
}


class Jobs:
    """Answers JobService's part about custom jobs."""

    def __init__(self, store: Store, operations: Operations, logs: Path) -> None:
        """Use a store; each job's output goes to a file in ``logs``."""
        self._store = store
        self._operations = operations
        self._logs = logs
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}

    def start(self) -> None:
        """Fail the jobs that a server that ended took with it."""
        with self._store.change():
            for row in self._store.rows(JOB, CustomJob):
                if row.message.state in _UNDER_WAY:
                    log = self._log_file(row.name)
                    self._end(
                        row,
                        JobState.JOB_STATE_FAILED,
                        ApiError("ABORTED", f"El Vertex AI local se detuvo. Registro: {log}"),
                    )

    async def stop(self) -> None:
        """End the processes; the next start says that they failed."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def create(self, request: Any) -> Any:
        """Answer CreateCustomJob: the process starts at once."""
        job = CustomJob()
        job.CopyFrom(request.custom_job)
        _check(job)
        for field in _OUTPUT_ONLY:
            job.ClearField(field)
        job.name = f"{request.parent}/customJobs/{names.new_id()}"
        launch = self._launch(job)
        job.state = JobState.JOB_STATE_PENDING
        protobuf.stamp(job.create_time)
        job.update_time.CopyFrom(job.create_time)
        with self._store.change():
            self._put(Row(job.name, job))
        self._cancels[job.name] = asyncio.Event()
        seconds = job.job_spec.scheduling.timeout.ToMilliseconds() / 1000 or _LONGEST
        task = asyncio.create_task(self._run(job.name, launch, seconds))
        self._tasks[job.name] = task
        task.add_done_callback(lambda _: self._forget(job.name))
        return job

    async def get(self, request: Any) -> Any:
        """Answer GetCustomJob."""
        return self._get(request.name).message

    async def list_(self, request: Any) -> Any:
        """Answer ListCustomJobs."""
        found = [row.message for row in self._store.rows(JOB, CustomJob, request.parent)]
        page, token = listing.listed(found, request, _FILTERS, "create_time desc")
        return messages.ListCustomJobsResponse(custom_jobs=page, next_page_token=token)

    async def cancel(self, request: Any) -> Any:
        """Answer CancelCustomJob: the process gets TERM, and KILL if that does not end it."""
        row = self._get(request.name)
        if row.message.state not in _UNDER_WAY:
            raise ApiError.precondition(
                f"{row.name} ya terminó ({JobState(row.message.state).name})."
            )
        self._to(row.name, JobState.JOB_STATE_CANCELLING)
        self._cancels[row.name].set()
        return empty_pb2.Empty()

    async def delete(self, request: Any) -> operations_pb2.Operation:
        """Answer DeleteCustomJob: one that ended."""
        row = self._get(request.name)
        if row.message.state in _UNDER_WAY:
            raise ApiError.precondition(f"{row.name} está en marcha: cancélalo antes.")
        with self._store.change():
            self._store.delete(row.name)
            operation = self._operations.deleted(row.name)
        logs.remove(self._log_file(row.name))
        return operation

    # Within

    async def _run(self, name: str, launch: containers.Launch, seconds: float) -> None:
        try:
            process = await containers.start(launch)
        except ApiError as error:
            self._finish(name, JobState.JOB_STATE_FAILED, error)
            return
        cancelled = asyncio.create_task(self._cancels[name].wait())
        ended = asyncio.create_task(process.wait())
        try:
            if not self._cancels[name].is_set():
                self._to(name, JobState.JOB_STATE_RUNNING)
            await asyncio.wait(
                {cancelled, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            code = process.returncode
        finally:
            cancelled.cancel()
            await containers.end(process)
            await ended
        state, failure = JobState.JOB_STATE_FAILED, None
        told = containers.explain(launch)
        if self._cancels[name].is_set():
            state = JobState.JOB_STATE_CANCELLED
            failure = ApiError("CANCELLED", f"Cancelado. {told}")
        elif code is None:
            failure = ApiError("DEADLINE_EXCEEDED", f"No terminó en {exact(seconds)} s. {told}")
        elif code != 0:
            failure = ApiError("INTERNAL", f"La orden terminó con código {code}. {told}")
        else:
            state = JobState.JOB_STATE_SUCCEEDED
        self._finish(name, state, failure)

    def _to(self, name: str, state: JobState) -> None:
        row = self._get(name)
        row.message.state = state
        protobuf.stamp(row.message.update_time)
        if state == JobState.JOB_STATE_RUNNING:
            protobuf.stamp(row.message.start_time)
        with self._store.change():
            self._put(row)

    def _finish(self, name: str, state: JobState, error: ApiError | None) -> None:
        with self._store.change():
            self._end(self._get(name), state, error)

    def _end(self, row: Row, state: JobState, error: ApiError | None) -> None:
        """Write how a job ended; within ``Store.change``."""
        row.message.state = state
        protobuf.stamp(row.message.end_time)
        protobuf.stamp(row.message.update_time)
        if error is not None:
            row.message.error.code = error.code
            row.message.error.message = str(error)
        self._put(row)

    def _forget(self, name: str) -> None:
        task = self._tasks.pop(name)
        self._cancels.pop(name)
        if not task.cancelled() and (failure := task.exception()):
            _log.error("%s", name, exc_info=failure)

    def _launch(self, job: Any) -> containers.Launch:
        project, location = job.name.split("/")[1], job.name.split("/")[3]
        variables = {
            "CLOUD_ML_JOB_ID": names.last(job.name),
            "CLOUD_ML_PROJECT_ID": project,
            "CLOUD_ML_REGION": location,
            "GOOGLE_CLOUD_PROJECT": project,
        }
        if base := job.job_spec.base_output_directory.output_uri_prefix:
            for variable, folder in _OUTPUTS.items():
                variables[variable] = _made(f"{base.rstrip('/')}/{folder}/")
        (pool,) = job.job_spec.worker_pool_specs
        path = "custom_job.job_spec.worker_pool_specs.container_spec"
        return containers.Launch.of(pool.container_spec, variables, self._log_file(job.name), path)

    def _log_file(self, name: str) -> Path:
        return self._logs / f"job-{names.last(name)}.log"

    def _get(self, name: str) -> Row:
        return self._store.get(JOB, name, CustomJob)

    def _put(self, row: Row) -> None:
        self._store.put(JOB, row, names.location_of(row.name))


def _made(uri: str) -> str:
    """Make a folder of this machine, which in a bucket needs no making; return the URI."""
    if uri.startswith("gs://"):
        return uri
    folder = Path(uri.removeprefix("file://"))
    field = "custom_job.job_spec.base_output_directory.output_uri_prefix"
    if not folder.is_absolute():
        raise ApiError.invalid(
            field, f"«{field}» = «{uri}»: se espera gs://, file:// o una ruta absoluta."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ApiError.invalid(field, f"«{field}»: {folder}: {error.strerror}.") from error
    return uri


def _check(job: Any) -> None:
    """Refuse what is wrong or not implemented in a job."""
    path = "custom_job.job_spec"
    protobuf.only(job, (*_GIVEN, *_OUTPUT_ONLY), "custom_job")
    names.check_display_name(job.display_name, "custom_job.display_name")
    names.check_labels(dict(job.labels), "custom_job.labels")
    protobuf.only(job.job_spec, _SPEC, path)
    protobuf.only(job.job_spec.scheduling, _SCHEDULING, f"{path}.scheduling")
    pools = job.job_spec.worker_pool_specs
    path = f"{path}.worker_pool_specs"
    if not pools:
        raise ApiError.invalid(path, f"«{path}» está vacío.")
    if len(pools) > 1 or pools[0].replica_count > 1:
        raise ApiError.unimplemented(f"Más de una réplica en «{path}»")
    protobuf.only(pools[0], _POOL, path)
    protobuf.only(pools[0].machine_spec, ("machine_type",), f"{path}.machine_spec")
    if not pools[0].container_spec.image_uri:
        field = f"{path}.container_spec.image_uri"
        raise ApiError.invalid(field, f"«{field}» es obligatorio.")
