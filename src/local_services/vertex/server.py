"""The server put together: one store, the services over it, the routes that reach them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from google.longrunning import operations_pb2

from spotify_mlops.io.http.browsers import Rule
from spotify_mlops.io.http.guard import Guard

from . import HEALTH, messages
from .app import App
from .endpoints import Endpoints
from .evaluations import Evaluations
from .jobs import Jobs
from .models import Models
from .operations import Operations
from .prediction import Prediction
from .routes import BareRoute, Route
from .store import Store
from .traffic import Traffic

_LOCATION = "projects/*/locations/*"
_MODEL = f"{_LOCATION}/models/*"
_ENDPOINT = f"{_LOCATION}/endpoints/*"
_JOB = f"{_LOCATION}/customJobs/*"


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
        routes: list[Route | BareRoute] = [
            *self._prediction_routes(),
            *self._operation_routes(),
            *self._model_routes(),
            *self._endpoint_routes(),
            *self._job_routes(),
        ]
        app = App(routes, self.start, self.stop)
        self.app = Guard(app, "vertex", key, Rule(), frozenset({HEALTH}))
        """What is served: whoever may call the API runs commands here."""

    async def start(self) -> None:
        """Start what was running when the server ended."""
        self.traffic.open()
        self.endpoints.start()
        self.jobs.start()

    async def stop(self) -> None:
        """End what the server started."""
        await asyncio.gather(self.endpoints.stop(), self.jobs.stop())
        await self.traffic.close()
        self.store.close()

    def _prediction_routes(self) -> list[BareRoute]:
        endpoint = f"/v1/{{endpoint={_ENDPOINT}}}"
        return [
            BareRoute("Predict", "POST", f"{endpoint}:predict", self.prediction.predict),
            BareRoute("RawPredict", "POST", f"{endpoint}:rawPredict", self.prediction.raw_predict),
        ]

    def _operation_routes(self) -> list[Route]:
        get_operation = operations_pb2.GetOperationRequest
        operation = f"{{name={_LOCATION}/operations/*}}"
        return [
            Route("GetOperation", "GET", f"/v1/{operation}", get_operation, self.operations.get),
            # The client's operations transport takes the first of Google's templates.
            Route("GetOperation", "GET", f"/ui/{operation}", get_operation, self.operations.get),
        ]

    def _model_routes(self) -> list[Route]:
        m, models, evaluations = messages, self.models, self.evaluations
        return [
            Route(
                "UploadModel",
                "POST",
                f"/v1/{{parent={_LOCATION}}}/models:upload",
                m.UploadModelRequest,
                models.upload,
                "*",
            ),
            Route("GetModel", "GET", f"/v1/{{name={_MODEL}}}", m.GetModelRequest, models.get),
            Route(
                "ListModels",
                "GET",
                f"/v1/{{parent={_LOCATION}}}/models",
                m.ListModelsRequest,
                models.list_,
            ),
            Route(
                "ListModelVersions",
                "GET",
                f"/v1/{{name={_MODEL}}}:listVersions",
                m.ListModelVersionsRequest,
                models.list_versions,
            ),
            Route(
                "UpdateModel",
                "PATCH",
                f"/v1/{{model.name={_MODEL}}}",
                m.UpdateModelRequest,
                models.update,
                "model",
            ),
            Route(
                "MergeVersionAliases",
                "POST",
                f"/v1/{{name={_MODEL}}}:mergeVersionAliases",
                m.MergeVersionAliasesRequest,
                models.merge_aliases,
                "*",
            ),
            Route(
                "DeleteModel",
                "DELETE",
                f"/v1/{{name={_MODEL}}}",
                m.DeleteModelRequest,
                models.delete,
            ),
            Route(
                "DeleteModelVersion",
                "DELETE",
                f"/v1/{{name={_MODEL}}}:deleteVersion",
                m.DeleteModelVersionRequest,
                models.delete_version,
            ),
            Route(
                "ImportModelEvaluation",
                "POST",
                f"/v1/{{parent={_MODEL}}}/evaluations:import",
                m.ImportModelEvaluationRequest,
                evaluations.import_,
                "*",
            ),
            Route(
                "GetModelEvaluation",
                "GET",
                f"/v1/{{name={_MODEL}/evaluations/*}}",
                m.GetModelEvaluationRequest,
                evaluations.get,
            ),
            Route(
                "ListModelEvaluations",
                "GET",
                f"/v1/{{parent={_MODEL}}}/evaluations",
                m.ListModelEvaluationsRequest,
                evaluations.list_,
            ),
        ]

    def _endpoint_routes(self) -> list[Route]:
        m, endpoints = messages, self.endpoints
        return [
            Route(
                "CreateEndpoint",
                "POST",
                f"/v1/{{parent={_LOCATION}}}/endpoints",
                m.CreateEndpointRequest,
                endpoints.create,
                "endpoint",
            ),
            Route(
                "GetEndpoint",
                "GET",
                f"/v1/{{name={_ENDPOINT}}}",
                m.GetEndpointRequest,
                endpoints.get,
            ),
            Route(
                "ListEndpoints",
                "GET",
                f"/v1/{{parent={_LOCATION}}}/endpoints",
                m.ListEndpointsRequest,
                endpoints.list_,
            ),
            Route(
                "UpdateEndpoint",
                "PATCH",
                f"/v1/{{endpoint.name={_ENDPOINT}}}",
                m.UpdateEndpointRequest,
                endpoints.update,
                "endpoint",
            ),
            Route(
                "DeleteEndpoint",
                "DELETE",
                f"/v1/{{name={_ENDPOINT}}}",
                m.DeleteEndpointRequest,
                endpoints.delete,
            ),
            Route(
                "DeployModel",
                "POST",
                f"/v1/{{endpoint={_ENDPOINT}}}:deployModel",
                m.DeployModelRequest,
                endpoints.deploy,
                "*",
            ),
            Route(
                "UndeployModel",
                "POST",
                f"/v1/{{endpoint={_ENDPOINT}}}:undeployModel",
                m.UndeployModelRequest,
                endpoints.undeploy,
                "*",
            ),
        ]

    def _job_routes(self) -> list[Route]:
        m, jobs = messages, self.jobs
        parent, name = f"/v1/{{parent={_LOCATION}}}/customJobs", f"/v1/{{name={_JOB}}}"
        return [
            Route(
                "CreateCustomJob",
                "POST",
                parent,
                m.CreateCustomJobRequest,
                jobs.create,
                "custom_job",
            ),
            Route("GetCustomJob", "GET", name, m.GetCustomJobRequest, jobs.get),
            Route("ListCustomJobs", "GET", parent, m.ListCustomJobsRequest, jobs.list_),
            Route(
                "CancelCustomJob",
                "POST",
                f"{name}:cancel",
                m.CancelCustomJobRequest,
                jobs.cancel,
                "*",
            ),
            Route("DeleteCustomJob", "DELETE", name, m.DeleteCustomJobRequest, jobs.delete),
        ]
