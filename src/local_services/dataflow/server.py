"""The server put together: one store, the jobs over it, the routes that reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from google.cloud import dataflow_v1beta3 as api
from starlette.applications import Starlette
from starlette.routing import Route

from spotify_mlops.io.http.browsers import Rule
from spotify_mlops.io.http.guard import OwnersGuard

from ..google_api.routes import call
from ..google_api.server import application
from ..google_api.store import Store
from .jobs import Jobs

_JOBS = "/v1b3/projects/{project_id}/locations/{location}/jobs"
_JOB = f"{_JOBS}/{{job_id}}"


class Server:
    """Everything that lives as long as the process."""

    def __init__(self, folder: Path) -> None:
        """Open the state in a folder."""
        self._store = Store(folder / "dataflow.sqlite")
        self.jobs = Jobs(self._store, folder)
        app = application("Dataflow local", self._routes(), self._live)
        self.app = OwnersGuard(app, Rule())
        """What is served: whoever may call the API runs code here."""

    @asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        self.jobs.start()
        yield
        await self.jobs.stop()
        self._store.close()

    def _routes(self) -> list[Route]:
        jobs = self.jobs
        listing = call("GET", _JOBS, api.ListJobsRequest.pb(), jobs.list_)
        creating = call("POST", _JOBS, api.CreateJobRequest.pb(), jobs.create, "job")
        return [
            creating,
            listing,
            call("GET", _JOB, api.GetJobRequest.pb(), jobs.get),
            call("PUT", _JOB, api.UpdateJobRequest.pb(), jobs.update, "job"),
            call("GET", f"{_JOB}/messages", api.ListJobMessagesRequest.pb(), jobs.messages),
            call("GET", f"{_JOB}/metrics", api.GetJobMetricsRequest.pb(), jobs.metrics),
        ]
