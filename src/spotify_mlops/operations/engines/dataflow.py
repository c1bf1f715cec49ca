"""Jobs on Dataflow: submitted by Beam's own runner, watched by Dataflow's API (`cluster`)."""

from __future__ import annotations

import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ...config.errors import ParamsError, ServiceError, one_line
from ...config.labels import labels
from ...config.params import Params
from ...config.references import LOCAL
from ...io import addresses
from ...io.local import state
from ...io.patches import updating
from ...pipeline import metrics
from .cluster import DATAFLOW, NotUpdatedError, Run, await_end

TITLE = "Dataflow"
LOOK_SECONDS = 1.0
ENDED = frozenset({"DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED"})
_ENDING = {"DRAINED": "DRAINING", "CANCELLED": "CANCELLING"}
"""What a job is in from when it is asked to end; whoever else asked that, once is enough."""
_PREFIX = "JOB_STATE_"
_RUN, _RUN_STATE = "run", "run-state"
"""Labels of a job: its `Run`."""
_Client = TypeVar("_Client")


@dataclass(frozen=True)
class Job:
    """One job, as the API knows it."""

    id: str
    name: str
    state: str
    """Without ``JOB_STATE_``: QUEUED, PENDING, RUNNING, DRAINING, CANCELLING, or of ``ENDED``."""
    began: datetime
    """When the API took it (UTC)."""
    run: Run | None = None
    """Of which it is; None where whoever sent it did not say."""

    @property
    def is_over(self) -> bool:
        """Tell whether it ended, in whichever way."""
        return self.state in ENDED

    @property
    def is_complete(self) -> bool:
        """Tell whether it ended with its log."""
        return self.state == "DONE"


def job_name(text: str) -> str:
    """Return a name of what Dataflow allows, and no other text's."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return f"{plain[:50].rstrip('-')}-{zlib.crc32(text.encode()):08x}"


def options(
    params: Params, name: str, run: Run | None = None, *, update: bool = False
) -> PipelineOptions:
    """Return the options of a job: Runner v2, Streaming Engine, private workers of one image.

    Args:
        params: where Dataflow is, and what it runs the job with.
        name: of the job.
        run: of which it is; Dataflow keeps that as labels of the job.
        update: whether it goes on with the work of the job of that name.

    Raises:
        ServiceError: the endpoint is ``local`` and is not up.
    """
    cloud, dataflow = params.cloud, params.dataflow
    where = _where(params)
    staging = f"{staging_root(params)}/{name}"
    told = labels(params) | ({} if run is None else {_RUN: run.name, _RUN_STATE: run.state})
    wanted = {
        "runner": "DataflowRunner",
        "job_name": name,
        "project": cloud.project,
        "region": cloud.location,
        "staging_location": f"{staging}/staging",
        "temp_location": f"{staging}/temp",
        "sdk_container_image": dataflow.image,
        "sdk_location": "container",  # the image has this package: nothing is installed
        "machine_type": dataflow.machine,
        "num_workers": dataflow.workers,
        "max_num_workers": dataflow.max_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
        "service_account_email": dataflow.service_account,
        "subnetwork": dataflow.subnetwork,
        "dataflow_endpoint": "" if where == addresses.DEFAULT else where,
    }
    return PipelineOptions(
        [
            *(f"--{key}={value}" for key, value in wanted.items() if value != ""),
            *(f"--labels={key}={value}" for key, value in told.items()),
            *(("--update",) if update else ()),
            *("--streaming", "--enable_streaming_engine", "--no_use_public_ips"),
            "--experiments=use_runner_v2",
            *(("--no_auth",) if addresses.is_plain(where) else ()),
        ]
    )


def staging_root(params: Params) -> str:
    """Return where graphs are left for Dataflow: a ``gs://`` URI or a folder."""
    if params.dataflow.staging != LOCAL:
        return params.dataflow.staging.rstrip("/")
    return str(state.folder(DATAFLOW).resolve() / "graphs")


def submit(
    params: Params,
    name: str,
    build: Callable[[beam.Pipeline], object],
    *,
    bounded: bool = False,
    run: Run | None = None,
    replaced: Job | None = None,
) -> Job:
    """Submit what ``build`` makes of a pipeline, and return the job.

    Args:
        params: where Dataflow is, and what it runs the job with.
        name: of the job.
        build: puts the graph into a pipeline.
        bounded: whether the job ends by itself; Dataflow sees that, and is told nothing.
        run: of which it is.
        replaced: the job of that name whose work it goes on with: it is waited for.

    Raises:
        ParamsError: the workers would not reach what the params name.
        ServiceError: the API does not answer, does not take the job, or has one of that name.
        NotUpdatedError: Dataflow does not have it go on with the other's work.
    """
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import BadRequest

    if params.dataflow.endpoint == LOCAL:  # a job is code and data
        addresses.check_server(_where(params), "ninguna tarea")
    else:
        _check_reach(params)
    chosen = options(params, name, run, update=replaced is not None)
    if params.dataflow.staging == LOCAL:
        for each in ("staging", "temp"):
            state.folder(f"{DATAFLOW}/graphs/{name}/{each}")
    pipeline = beam.Pipeline(DataflowRunner(), options=chosen)
    build(pipeline)
    which = nullcontext() if replaced is None else updating.replacing(replaced.id)
    with _reached(params), which:
        try:
            result: Any = pipeline.run()
        except DataflowJobAlreadyExistsError as error:
            raise ServiceError(
                f"En Dataflow ya hay una tarea «{name}» en marcha: cancélala en "
                "su consola, o espera a que acabe."
            ) from error
        except BadRequest as error:
            if replaced is None or not _has_ended(params, replaced):
                raise
            raise NotUpdatedError("acabó antes") from error
        job = _job(_get(params, result.job_id()))
    return job if replaced is None else _gone_on(params, job, replaced)


def _gone_on(params: Params, job: Job, replaced: Job, timeout: float = 1800.0) -> Job:
    """Wait until a job goes on with another's work: that has ended then.

    Raises:
        NotUpdatedError: Dataflow found that it cannot, which ends this one and not the other.
        ServiceError: it does not do so in ``timeout`` seconds, or the API does not answer.
    """
    deadline = time.monotonic() + timeout
    while (found := now(params, job)) is not None and not found.is_over:
        if _has_ended(params, replaced):
            return found
        if time.monotonic() > deadline:
            raise ServiceError(
                f"La tarea «{job.name}» no se actualiza en {TITLE}: está en {found.state}."
            )
        time.sleep(LOOK_SECONDS)
    raise NotUpdatedError(one_line(next(iter(failures(params, job)), "no dice por qué")))


def _check_reach(params: Params) -> None:
    """Refuse what workers elsewhere would look for on their own machines."""
    ends = ("archive", "kafka_bootstrap", "bigquery_rest", "bigquery_grpc", "mongo_uri")
    here = [name for name in ends if params.value(name) == LOCAL]
    if here:
        raise ParamsError(
            "Los trabajadores de Dataflow no llegan a esta máquina: con dataflow_endpoint "
            f"{params.dataflow.endpoint}, {', '.join(here)} no puede{'n' if here[1:] else ''} ser "
            "local."
        )


def now(params: Params, job: Job) -> Job | None:
    """Return a job as it is now; None when the API knows it no more."""
    from google.api_core.exceptions import NotFound

    with _reached(params):
        try:
            return _job(_get(params, job.id))
        except NotFound:
            return None


def status(params: Params, name: str) -> Job | None:
    """Return the newest job of a name that runs; None when none does.

    Raises:
        ServiceError: the API does not answer.
    """
    from google.cloud import dataflow_v1beta3 as api

    request = api.ListJobsRequest(
        project_id=params.cloud.project,
        location=params.cloud.location,
        filter=api.ListJobsRequest.Filter.ACTIVE,
    )
    with _reached(params):
        found = client(params, api.JobsV1Beta3Client).list_jobs(request)
        running = (_job(each) for each in found if each.name == name)
        return max(running, key=lambda job: job.began, default=None)


def failures(params: Params, job: Job) -> list[str]:
    """Return the errors that a job told, the last one first.

    Raises:
        ServiceError: the API does not answer.
    """
    from google.cloud import dataflow_v1beta3 as api

    request = api.ListJobMessagesRequest(
        project_id=params.cloud.project,
        location=params.cloud.location,
        job_id=job.id,
        minimum_importance=api.JobMessageImportance.JOB_MESSAGE_ERROR,
    )
    with _reached(params):
        found = list(client(params, api.MessagesV1Beta3Client).list_job_messages(request))
    ordered = sorted(found, key=lambda message: message.time, reverse=True)
    return [str(message.message_text) for message in ordered]


def counters(params: Params, job: Job) -> dict[str, int]:
    """Return what the steps of a job have counted, by name; what is not yet certain where Dataflow
    knows no better.

    Raises:
        ServiceError: the API does not answer.
    """
    from google.cloud import dataflow_v1beta3 as api

    request = api.GetJobMetricsRequest(
        project_id=params.cloud.project, location=params.cloud.location, job_id=job.id
    )
    with _reached(params):
        found = client(params, api.MetricsV1Beta3Client).get_job_metrics(request).metrics
    certain: Counter[str] = Counter()
    tentative: Counter[str] = Counter()
    for metric in found:
        name = metric.name
        if name.origin == "user" and name.context.get("namespace") == metrics.NAMESPACE:
            which = tentative if "tentative" in name.context else certain
            which[name.name] += int(metric.scalar)
    return {**tentative, **certain}


def cancel(params: Params, job: Job, timeout: float = 600.0) -> Job:
    """End a job, and wait until it has ended: what it has open is dropped.

    Raises:
        ServiceError: it does not end in ``timeout`` seconds, or the API does not answer.
    """
    return _end(params, job, "CANCELLED", timeout)


def finish(params: Params, job: Job, timeout: float = 1800.0) -> Job:
    """Drain a job: its sources stop, and what they have read is worked off.

    Windows that no source has closed fire then, and write nothing (`steps.summarise`).

    Raises:
        ServiceError: it does not end in ``timeout`` seconds, or the API does not answer.
    """
    return _end(params, job, "DRAINED", timeout)


def _has_ended(params: Params, job: Job) -> bool:
    """Tell whether a job has ended: one does by itself when its sources have."""
    found = now(params, job)
    return found is None or found.is_over


def _is_ending(params: Params, job: Job, wanted: str) -> bool:
    """Tell whether a job has ended, as one does when its sources have, or is about to as wanted."""
    found = now(params, job)
    return found is None or found.is_over or found.state == _ENDING[wanted]


def _end(params: Params, job: Job, wanted: str, timeout: float) -> Job:
    from google.api_core.exceptions import BadRequest
    from google.cloud import dataflow_v1beta3 as api

    request = api.UpdateJobRequest(
        project_id=params.cloud.project,
        location=params.cloud.location,
        job_id=job.id,
        job=api.Job(requested_state=getattr(api.JobState, _PREFIX + wanted)),
    )
    if not _is_ending(params, job, wanted):
        with _reached(params):
            try:
                client(params, api.JobsV1Beta3Client).update_job(request)
            except BadRequest:
                if not _is_ending(params, job, wanted):  # it did so by itself meanwhile
                    raise
    return await_end(lambda: now(params, job), job, TITLE, timeout, LOOK_SECONDS)


def client(params: Params, kind: type[_Client]) -> _Client:
    """Return one of Google's clients of the API, such as ``dataflow_v1beta3.JobsV1Beta3Client``.

    Raises:
        ServiceError: the endpoint is ``local`` and is not up.
    """
    where = _where(params)
    if where == addresses.DEFAULT:
        return kind()
    made: Any = kind
    if not addresses.is_plain(where):
        return made(client_options={"api_endpoint": where})  # type: ignore[no-any-return]
    from google.auth.credentials import AnonymousCredentials

    return made(  # type: ignore[no-any-return]
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": where},
        transport="rest",
    )


def _where(params: Params) -> str:
    return addresses.address(params.dataflow.endpoint, DATAFLOW, "url")


def _get(params: Params, job: str) -> Any:
    from google.cloud import dataflow_v1beta3 as api

    request = api.GetJobRequest(
        project_id=params.cloud.project, location=params.cloud.location, job_id=job
    )
    return client(params, api.JobsV1Beta3Client).get_job(request)


def _job(found: Any) -> Job:
    began = found.create_time.replace(tzinfo=UTC)
    told = dict(found.labels)
    run = Run(told[_RUN], told[_RUN_STATE]) if {_RUN, _RUN_STATE} <= told.keys() else None
    return Job(found.id, found.name, found.current_state.name.removeprefix(_PREFIX), began, run)


@contextmanager
def _reached(params: Params) -> Iterator[None]:
    """Say in the user's words what the API answers in Google's."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import ConnectionError as NoConnection

    try:
        yield
    except GoogleAPICallError as error:
        raise ServiceError(f"Dataflow responde {error.code}: {one_line(error.message)}") from error
    except (GoogleAuthError, RetryError, NoConnection) as error:
        raise addresses.unreachable(TITLE, _where(params), error) from error
