"""The server put together: one store, the services over it, the routes that reach them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from google.longrunning import operations_pb2
from starlette.applications import Starlette
from starlette.routing import Route

from spotify_mlops.io.http.browsers import Rule
from spotify_mlops.io.http.guard import Guard

from ..google_api import HEALTH
from ..google_api.routes import call
from ..google_api.server import application
from ..google_api.store import Store
from . import messages as m
from . import paths
from .endpoints import Endpoints
from .evaluations import Evaluations
from .jobs import Jobs
from .models import Models
from .operations import Operations
from .prediction import Prediction
from .traffic import Traffic


class Server:
    """Everything that lives as long as the process."""

    def __init__(self, folder: Path, key: str) -> None:
        """Open the state in a folder; ``key`` is what every client has to send."""
        self.store = Store(folder / "vertex.sqlite")
        self.operations = Operations(self.store)
        self.models = Models(self.store, self.operations)
        self.evaluations = Evaluations(self.store, self.models)
        self.traffic = Traffic()
        logs = folder / "logs"
        self.endpoints = Endpoints(self.store, self.operations, self.models, self.traffic, logs)
        self.prediction = Prediction(self.traffic)
        self.jobs = Jobs(self.store, self.operations, logs)
        app = application("Vertex AI local", self._routes(), self._live)
        self.app = Guard(app, "vertex", key, Rule(), frozenset({HEALTH}))
        """What is served: whoever may call the API runs commands here."""

    @asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        """Start what was running when the server ended; at the end, end what it started."""
        self.traffic.open()
        self.endpoints.start()
        self.jobs.start()
        yield
        await asyncio.gather(self.endpoints.stop(), self.jobs.stop())
        await self.traffic.close()
        self.store.close()

    def _routes(self) -> list[Route]:
        paths.register()
        models, evaluations = self.models, self.evaluations
        endpoints, jobs = self.endpoints, self.jobs
        predict, raw_predict = self.prediction.predict, self.prediction.raw_predict
        ask, get_operation = operations_pb2.GetOperationRequest, self.operations.get
        ask_all, list_operations = operations_pb2.ListOperationsRequest, self.operations.list_
        uploads, all_models = "/v1/{parent:location}/models:upload", "/v1/{parent:location}/models"
        all_endpoints, endpoint = "/v1/{parent:location}/endpoints", "/v1/{name:endpoint}"
        model, to_endpoint = "/v1/{name:model}", "/v1/{endpoint:endpoint}"
        all_jobs, job = "/v1/{parent:location}/customJobs", "/v1/{name:customJob}"
        judged = "/v1/{parent:model}/evaluations"
        return [
            Route(f"{to_endpoint}:predict", predict, methods=["POST"]),
            Route(f"{to_endpoint}:rawPredict", raw_predict, methods=["POST"]),
            # The clients take the first of Google's templates that fits, which is /ui.
            *(
                route
                for root in ("/v1", "/ui")
                for route in (
                    call("GET", f"{root}/{{name:operation}}", ask, get_operation),
                    call("GET", f"{root}/{{name:endpointOperation}}", ask, get_operation),
                    call("GET", f"{root}/{{name:endpoint}}/operations", ask_all, list_operations),
                )
            ),
            call("POST", uploads, m.UploadModelRequest, models.upload, "*"),
            call("GET", model, m.GetModelRequest, models.get),
            call("GET", all_models, m.ListModelsRequest, models.list_),
            call("GET", f"{model}:listVersions", m.ListModelVersionsRequest, models.list_versions),
            call("PATCH", "/v1/{model__name:model}", m.UpdateModelRequest, models.update, "model"),
            call(
                "POST",
                f"{model}:mergeVersionAliases",
                m.MergeVersionAliasesRequest,
                models.merge_aliases,
                "*",
            ),
            call("DELETE", model, m.DeleteModelRequest, models.delete),
            call(
                "DELETE",
                f"{model}:deleteVersion",
                m.DeleteModelVersionRequest,
                models.delete_version,
            ),
            call(
                "POST", f"{judged}:import", m.ImportModelEvaluationRequest, evaluations.import_, "*"
            ),
            call("GET", "/v1/{name:evaluation}", m.GetModelEvaluationRequest, evaluations.get),
            call("GET", judged, m.ListModelEvaluationsRequest, evaluations.list_),
            call("POST", all_endpoints, m.CreateEndpointRequest, endpoints.create, "endpoint"),
            call("GET", endpoint, m.GetEndpointRequest, endpoints.get),
            call("GET", all_endpoints, m.ListEndpointsRequest, endpoints.list_),
            call(
                "PATCH",
                "/v1/{endpoint__name:endpoint}",
                m.UpdateEndpointRequest,
                endpoints.update,
                "endpoint",
            ),
            call("DELETE", endpoint, m.DeleteEndpointRequest, endpoints.delete),
            call("POST", f"{to_endpoint}:deployModel", m.DeployModelRequest, endpoints.deploy, "*"),
            call(
                "POST",
                f"{to_endpoint}:undeployModel",
                m.UndeployModelRequest,
                endpoints.undeploy,
                "*",
            ),
            call("POST", all_jobs, m.CreateCustomJobRequest, jobs.create, "custom_job"),
            call("GET", job, m.GetCustomJobRequest, jobs.get),
            call("GET", all_jobs, m.ListCustomJobsRequest, jobs.list_),
            call("POST", f"{job}:cancel", m.CancelCustomJobRequest, jobs.cancel, "*"),
            call("DELETE", job, m.DeleteCustomJobRequest, jobs.delete),
        ]
