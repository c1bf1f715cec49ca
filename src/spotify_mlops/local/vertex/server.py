"""The server put together: one store, the services over it, the routes that reach them."""

from __future__ import annotations

from pathlib import Path

from google.longrunning import operations_pb2

from . import messages
from .app import App
from .evaluations import Evaluations
from .models import Models
from .operations import Operations
from .routes import Route
from .store import Store

_MODEL = "projects/*/locations/*/models/*"


class Server:
    """Everything that lives as long as the process."""

    def __init__(self, folder: Path) -> None:
        """Open the state in a folder."""
        self.store = Store(folder / "vertex.sqlite")
        self.operations = Operations(self.store)
        self.models = Models(self.store, self.operations)
        self.evaluations = Evaluations(self.store, self.models)
        self.app = App(self.routes())

    def routes(self) -> list[Route]:
        """Return the calls that are implemented."""
        m, models, evaluations = messages, self.models, self.evaluations
        get_operation = operations_pb2.GetOperationRequest
        operation = "{name=projects/*/locations/*/operations/*}"
        return [
            Route("GetOperation", "GET", f"/v1/{operation}", get_operation, self.operations.get),
            # The client's operations transport takes the first of Google's templates.
            Route("GetOperation", "GET", f"/ui/{operation}", get_operation, self.operations.get),
            Route(
                "UploadModel",
                "POST",
                "/v1/{parent=projects/*/locations/*}/models:upload",
                m.UploadModelRequest,
                models.upload,
                "*",
            ),
            Route("GetModel", "GET", f"/v1/{{name={_MODEL}}}", m.GetModelRequest, models.get),
            Route(
                "ListModels",
                "GET",
                "/v1/{parent=projects/*/locations/*}/models",
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
