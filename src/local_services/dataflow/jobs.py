"""Jobs: kept from their creation on, and given the state that the cluster says they are in."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from google.cloud import dataflow_v1beta3 as api
from google.protobuf.message import Message

from spotify_mlops.config.errors import ServiceError, one_line

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import running

_KIND = "job"
_Job = api.Job.pb()
_State = api.JobState
_ENDED = {
    _State.JOB_STATE_DONE,
    _State.JOB_STATE_FAILED,
    _State.JOB_STATE_CANCELLED,
    _State.JOB_STATE_DRAINED,
    _State.JOB_STATE_UPDATED,
}
_CHANGEABLE = {"requested_state", "id", "project_id", "location"}
_log = logging.getLogger(__name__)


class Jobs:
    """Makes, finds and ends jobs."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Keep jobs in a store; ``folder`` is for what one needs while it ends."""
        self._store = store
        self._folder = folder
        self._endings: dict[int, tuple[int, Callable[[str], None]]] = {
            _State.JOB_STATE_CANCELLED: (_State.JOB_STATE_CANCELLING, running.cancel),
            _State.JOB_STATE_DRAINED: (
                _State.JOB_STATE_DRAINING,
                partial(running.drain, folder=folder),
            ),
        }
        """What may be asked of a job that works: what it is in until then, and how it is done."""
        self._ending: set[tuple[str, int]] = set()
        """What is under way: of which job, and as what it ends."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._replaced: set[str] = set()
        """Jobs whose work another is taking over."""
        self._creating = asyncio.Lock()

    def start(self) -> None:
        """Go on with what a server that ended was about: send no job again, end what is ending."""
        for row in self._store.rows(_KIND, _Job):
            state, asked = row.message.current_state, row.message.requested_state
            if state == _State.JOB_STATE_PENDING:
                self._fail(row, "El Dataflow local se detuvo antes de enviar la tarea a Flink.")
                if row.message.replace_job_id:
                    running.forget(row.message.replace_job_id, folder=self._folder)
            elif state not in _ENDED and asked in self._endings:
                self._end(row.name, asked)

    async def stop(self) -> None:
        """Wait for what is under way; jobs go on in the cluster."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def create(self, request: Any) -> Message:
        """Answer CreateJob: one name runs once, and who asks again gets the one that runs.

        One that replaces another takes over its work when its graph allows it, and else fails;
        who asks to replace one that was already gets the one that did. The caller tells by
        ``client_request_id`` that it is not the job that it sent.
        """
        job = request.job
        if job.transform_name_mapping:
            raise ApiError.unimplemented("Cambiar el nombre de un paso (transform_name_mapping)")
        graph = running.graph_of(job)
        async with self._creating:
            replaced = await self._to_replace(request) if job.replace_job_id else None
            if replaced is not None and replaced.replaced_by_job_id:
                return self._store.get(_KIND, replaced.replaced_by_job_id, _Job).message  # type: ignore[no-any-return]
            for row in self._of(request.project_id, request.location):
                if row.message.name == job.name and row.name != job.replace_job_id:
                    found: Any = (await self._now(row)).message
                    if found.current_state not in _ENDED:
                        return found  # type: ignore[no-any-return]
            if replaced is not None and replaced.current_state != _State.JOB_STATE_RUNNING:
                raise ApiError.precondition(f"La tarea {replaced.id} no está en marcha.")
            return self._made(request, graph)

    async def _to_replace(self, request: Any) -> Any:
        """Return the job that a request wants replaced."""
        of = {"project_id": request.project_id, "location": request.location}
        wanted = api.GetJobRequest.pb()(job_id=request.job.replace_job_id, **of)
        found = (await self._now(self._row(wanted))).message
        if found.name != request.job.name:
            raise ApiError.invalid(
                "job.replace_job_id", f"La tarea {found.id} se llama «{found.name}»."
            )
        return found

    async def get(self, request: Any) -> Message:
        """Answer GetJob."""
        return (await self._now(self._row(request))).message  # type: ignore[no-any-return]

    async def list_(self, request: Any) -> Message:
        """Answer ListJobs, on one page."""
        answer = api.ListJobsResponse.pb()()
        of = api.ListJobsRequest.Filter
        for row in reversed(self._of(request.project_id, request.location)):
            job = (await self._now(row)).message
            ended = job.current_state in _ENDED
            wanted = {of.ACTIVE: not ended, of.TERMINATED: ended}.get(request.filter, True)
            if wanted and (not request.name or request.name == job.name):
                answer.jobs.append(job)
        return answer  # type: ignore[no-any-return]

    async def update(self, request: Any) -> Message:
        """Answer UpdateJob: cancel or drain."""
        protobuf.only(request.job, _CHANGEABLE, "job")
        row = await self._now(self._row(request))
        job = row.message
        asked = request.job.requested_state
        if asked not in self._endings:
            raise ApiError.invalid(
                "job.requested_state",
                "«job.requested_state» es JOB_STATE_CANCELLED o JOB_STATE_DRAINED.",
            )
        if job.current_state in _ENDED:
            raise ApiError.precondition(f"La tarea {job.id} ya ha acabado.")
        if row.name in self._replaced:
            raise ApiError.precondition(f"La tarea {job.id} se está actualizando.")
        job.requested_state = asked
        self._become(row, self._endings[asked][0])
        self._end(row.name, asked)
        return job  # type: ignore[no-any-return]

    async def messages(self, request: Any) -> Message:
        """Answer ListJobMessages: the errors, as Flink tells them."""
        row = self._row(request)
        answer = api.ListJobMessagesResponse.pb()()
        told = [(row.message.current_state_time, t) for t in row.extra.get("errors", [])]
        found = await asyncio.to_thread(running.failures, row.message.id)
        for number, (when, text) in enumerate([*told, *found]):
            message = answer.job_messages.add()
            message.id = str(number)
            message.time.CopyFrom(when)
            message.message_text = text
            message.message_importance = api.JobMessageImportance.JOB_MESSAGE_ERROR
        return answer  # type: ignore[no-any-return]

    async def metrics(self, request: Any) -> Message:
        """Answer GetJobMetrics: what the steps count, as Flink adds it up."""
        row = self._row(request)
        answer = api.JobMetrics.pb()()
        protobuf.stamp(answer.metric_time)
        if row.message.current_state not in _ENDED:
            counted = await asyncio.to_thread(running.counters, row.name)
            for (namespace, name), number in counted.items():
                metric = answer.metrics.add()
                metric.name.origin, metric.name.name = "user", name
                metric.name.context["namespace"] = namespace
                metric.name.context["tentative"] = "true"
                metric.kind, metric.cumulative = "Sum", True
                metric.scalar.number_value = number
        return answer  # type: ignore[no-any-return]

    def _made(self, request: Any, graph: str) -> Message:
        """Keep a new job, and begin to send it."""
        row = Row("", _Job())
        job = row.message
        job.CopyFrom(request.job)
        job.id = f"{dt.datetime.now(dt.UTC):%Y-%m-%d_%H_%M_%S}-{secrets.randbelow(10**18):018d}"
        job.project_id, job.location = request.project_id, request.location
        protobuf.stamp(job.create_time)
        row.name = job.id
        self._become(row, _State.JOB_STATE_PENDING)
        sending = self._sending[job.id] = self._begin(self._send(job.id, graph))
        sending.add_done_callback(lambda task: self._sending.pop(job.id))
        return job  # type: ignore[no-any-return]

    async def _send(self, name: str, graph: str) -> None:
        try:
            pipeline = await asyncio.to_thread(running.read, graph)
            row = self._store.get(_KIND, name, _Job)
            row.extra["steps"] = running.steps_of(pipeline)
            self._keep(row)
            if row.message.replace_job_id:
                await self._replace(row, pipeline)
            else:
                await asyncio.to_thread(running.send, row.message, pipeline)
        except ServiceError as error:
            self._fail(self._store.get(_KIND, name, _Job), str(error))
        except Exception as error:
            _log.exception("Enviando %s", name)
            self._fail(self._store.get(_KIND, name, _Job), one_line(error))
        else:
            row = self._store.get(_KIND, name, _Job)
            if row.message.current_state == _State.JOB_STATE_PENDING:  # nobody ends it already
                self._become(row, _State.JOB_STATE_RUNNING)

    async def _replace(self, row: Row, pipeline: Any) -> None:
        """Have a job go on with the work of another, which ends with that.

        Raises:
            ServiceError: the graphs are not of the same steps, and the other goes on; or Flink
                does not do it.
        """
        other = self._store.get(_KIND, row.message.replace_job_id, _Job)
        refuse_other_steps(other.name, other.extra.get("steps", {}), row.extra["steps"])
        self._replaced.add(other.name)
        try:
            await asyncio.to_thread(self._take_over, row.message, pipeline)
            other = self._store.get(_KIND, other.name, _Job)
            other.message.replaced_by_job_id = row.name
            self._become(other, _State.JOB_STATE_UPDATED)
        finally:
            self._replaced.remove(other.name)

    def _take_over(self, job: Any, pipeline: Any) -> None:
        with running.stopped(job.replace_job_id, folder=self._folder) as savepoint:
            if savepoint is None:
                raise ServiceError(f"La tarea {job.replace_job_id} acabó antes de actualizarla.")
            running.send(job, pipeline, savepoint)

    def _end(self, name: str, wanted: int) -> None:
        """Begin to end a job as ``wanted``, unless that is under way."""
        key = (name, wanted)
        if key not in self._ending:
            self._ending.add(key)
            task = self._begin(self._ended(name, self._endings[wanted][1]))
            task.add_done_callback(lambda task: self._ending.remove(key))

    async def _ended(self, name: str, end: Callable[[str], None]) -> None:
        if name in self._sending:
            await asyncio.wait([self._sending[name]])
        try:
            await asyncio.to_thread(end, name)
        except ServiceError as error:
            _log.warning("%s sigue: %s", name, error)
            # It may be asked for again.
            self._become(self._store.get(_KIND, name, _Job), _State.JOB_STATE_RUNNING)

    async def _now(self, row: Row) -> Row:
        """Return a job as it is, in the state that the cluster says."""
        under_way = {*self._sending, *self._replaced, *(name for name, _ in self._ending)}
        if row.message.current_state in _ENDED or row.name in under_way:
            return row
        found = await asyncio.to_thread(running.state, row.name)
        row = self._store.get(_KIND, row.name, _Job)  # its end may have been asked for meanwhile
        if row.message.current_state in _ENDED:
            return row
        if found is None:
            self._fail(row, "Flink ya no sabe de la tarea: murió su JobManager.")
        elif found == running.EXHAUSTED and row.message.current_state == _State.JOB_STATE_RUNNING:
            self._end(row.name, _State.JOB_STATE_DRAINED)  # Flink keeps up what makes checkpoints
        elif found == "CANCELED":
            self._become(row, _State.JOB_STATE_CANCELLED)
        elif found == "FAILED":
            self._become(row, _State.JOB_STATE_FAILED)
        elif found == "FINISHED":
            drained = row.message.requested_state == _State.JOB_STATE_DRAINED
            self._become(row, _State.JOB_STATE_DRAINED if drained else _State.JOB_STATE_DONE)
        return row

    def _of(self, project: str, location: str) -> list[Row]:
        return self._store.rows(_KIND, _Job, f"{project}/{location}")

    def _row(self, request: Any) -> Row:
        row = self._store.find(_KIND, request.job_id, _Job)
        mine = row and (row.message.project_id, row.message.location)
        if row is None or mine != (request.project_id, request.location):
            raise ApiError.not_found(f"la tarea {request.job_id} en {request.location}")
        return row

    def _become(self, row: Row, state: int) -> None:
        row.message.current_state = state
        protobuf.stamp(row.message.current_state_time)
        self._keep(row)

    def _keep(self, row: Row) -> None:
        with self._store.change():
            self._store.put(_KIND, row, f"{row.message.project_id}/{row.message.location}")

    def _fail(self, row: Row, why: str) -> None:
        row.extra.setdefault("errors", []).append(why)
        self._become(row, _State.JOB_STATE_FAILED)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


def refuse_other_steps(job: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a graph that cannot take over the state of a job's: each step's goes by its name.

    Dataflow allows more: steps may come that keep none, and some may go. Flink keeps the same.

    Args:
        job: its id.
        before: its steps, as ``running.steps_of`` gives them.
        now: the graph's.

    Raises:
        ServiceError: they are not the same.
    """
    changed = sorted(before.items() ^ now.items())
    if changed:
        names = ", ".join(f"«{name}»" for name in dict(changed))
        raise ServiceError(
            f"La tarea nueva no es compatible con {job}, que sigue en marcha. Cambian: {names}"
        )
