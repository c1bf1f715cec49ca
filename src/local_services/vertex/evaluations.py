"""Evaluations of model versions, imported as they are and read back."""

from __future__ import annotations

from typing import Any

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import listing, messages, names
from .messages import ModelEvaluation
from .models import EVALUATION, Models
from .names import ModelName

_FILTERS: listing.Fields = {
    "display_name": lambda evaluation: evaluation.display_name,
    "metrics_schema_uri": lambda evaluation: evaluation.metrics_schema_uri,
}


class Evaluations:
    """Answers ModelService's calls about evaluations."""

    def __init__(self, store: Store, models: Models) -> None:
        """Use a store; ``models`` says which version a name means."""
        self._store = store
        self._models = models

    async def import_(self, request: Any) -> Any:
        """Answer ImportModelEvaluation."""
        version = self._models.version(request.parent, "parent")
        evaluation = ModelEvaluation()
        evaluation.CopyFrom(request.model_evaluation)
        given = {field.name for field, _ in evaluation.ListFields()}
        for field in ("metrics", "metrics_schema_uri"):
            if field not in given:
                path = f"model_evaluation.{field}"
                raise ApiError.invalid(path, f"«{path}» es obligatorio.")
        evaluation.name = f"{version.name}/evaluations/{names.new_id()}"
        protobuf.stamp(evaluation.create_time)
        with self._store.change():
            self._store.put(EVALUATION, Row(evaluation.name, evaluation), version.name)
        return evaluation

    async def get(self, request: Any) -> Any:
        """Answer GetModelEvaluation; the model may be named without its version."""
        parent, _, last = request.name.rpartition("/evaluations/")
        name = ModelName.parse(parent, "name")
        if name.version:
            version = self._models.version(parent, "name")
            return self._store.get(
                EVALUATION, f"{version.name}/evaluations/{last}", ModelEvaluation
            ).message
        for row in self._store.rows(EVALUATION, ModelEvaluation):
            if names.last(row.name) == last and row.name.startswith(f"{name.model}@"):
                return row.message
        raise ApiError.not_found(request.name)

    async def list_(self, request: Any) -> Any:
        """Answer ListModelEvaluations: of the named version, or of the default one."""
        version = self._models.version(request.parent, "parent")
        found = [row.message for row in self._store.rows(EVALUATION, ModelEvaluation, version.name)]
        page, token = listing.listed(found, request, _FILTERS, labelled=False)
        return messages.ListModelEvaluationsResponse(model_evaluations=page, next_page_token=token)
