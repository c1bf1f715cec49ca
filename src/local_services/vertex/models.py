"""The model registry: models, their versions and the aliases of these.

A model is a row with its own labels; each version is a row with a whole ``Model`` message. What
the API shows is a version, with the model's labels merged in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from google.longrunning import operations_pb2

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import artifacts, listing, messages, names
from .messages import Model
from .names import DEFAULT_ALIAS, ModelName
from .operations import Operations

MODEL, VERSION, EVALUATION = "model", "version", "evaluation"
NEXT = "next_version"
DIGESTS = "digests"
"""Key of a version's ``extra``: SHA-256 by file name."""

_GIVEN = (
    "display_name", "description", "version_aliases", "version_description", "container_spec",
    "artifact_uri", "labels", "metadata", "metadata_schema_uri", "predict_schemata",
)  # fmt: skip
_OUTPUT_ONLY = (
    "name", "version_id", "version_create_time", "version_update_time", "create_time",
    "update_time", "etag", "deployed_models", "supported_deployment_resources_types",
)  # fmt: skip
_CONTAINER = (
    "image_uri", "command", "args", "env", "ports", "predict_route", "health_route",
    "deployment_timeout",
)  # fmt: skip
_FILTERS: listing.Fields = {
    "display_name": lambda model: model.display_name,
    "model": lambda model: names.last(ModelName.parse(model.name, "name").model),
    "name": lambda model: ModelName.parse(model.name, "name").model,
    "version_id": lambda model: model.version_id,
}


class Models:
    """Answers the registry's part of ModelService."""

    def __init__(self, store: Store, operations: Operations) -> None:
        """Use a store; ``operations`` keeps the operations that calls return."""
        self._store = store
        self._operations = operations

    # What the rest of the server asks

    def version(self, text: str, field: str) -> Row:
        """Return the version that a name means: by number, by alias, or the default one.

        Raises:
            ApiError: the name is not valid; there is no such model, version or alias.
        """
        name = ModelName.parse(text, field)
        wanted = name.version or DEFAULT_ALIAS
        versions = self._versions(name.model)
        for row in versions:
            if wanted == row.message.version_id or wanted in row.message.version_aliases:
                return row
        known = ", ".join(row.message.version_id for row in versions)
        raise ApiError.not_found(
            f"la versión ni el alias «{wanted}» de {name.model}; las versiones son: {known}"
        )

    # The API

    async def upload(self, request: Any) -> operations_pb2.Operation:
        """Answer UploadModel: a new model, or a new version of ``parent_model``."""
        model = Model()
        model.CopyFrom(request.model)
        _check(model)
        aliases = list(dict.fromkeys(model.version_aliases))
        for alias in aliases:
            names.check_alias(alias, "model.version_aliases")
        if request.model_id and request.parent_model:
            raise ApiError.invalid(
                "model_id", "«model_id» es para un modelo nuevo y «parent_model» nombra uno."
            )
        if request.model_id:
            names.check_model_id(request.model_id)
        target = self._target(request)
        digests: dict[str, str] = {}
        if model.artifact_uri:
            digests = await asyncio.to_thread(artifacts.digests, model.artifact_uri)
            self._target(request)  # another call may have come meanwhile

        for field in _OUTPUT_ONLY:
            model.ClearField(field)
        parent = self._store.find(MODEL, target, Model) or Row(target, Model(name=target))
        number = parent.extra.get(NEXT, 1)
        parent.extra[NEXT] = number + 1
        model.name, model.version_id = target, str(number)
        if number == 1:
            protobuf.stamp(parent.message.create_time)
            aliases = list(dict.fromkeys([*aliases, DEFAULT_ALIAS]))
        model.create_time.CopyFrom(parent.message.create_time)
        for stamped in (model.version_create_time, model.version_update_time, model.update_time):
            protobuf.stamp(stamped)
        if model.HasField("container_spec"):
            model.supported_deployment_resources_types.append(
                Model.DeploymentResourcesType.DEDICATED_RESOURCES
            )
        del model.version_aliases[:]
        row = Row(f"{target}@{number}", model, {DIGESTS: digests})
        response = messages.UploadModelResponse(model=target, model_version_id=str(number))
        with self._store.change():
            self._store.put(MODEL, parent, names.location_of(target))
            self._store.put(VERSION, row, target)
            self._merge(target, row, aliases)
            return self._operations.done(target, response, messages.UploadModelOperationMetadata())

    async def get(self, request: Any) -> Any:
        """Answer GetModel."""
        row = self.version(request.name, "name")
        return self._shown(row, versioned="@" in request.name)

    async def list_(self, request: Any) -> Any:
        """Answer ListModels: the default version of each."""
        models = self._store.rows(MODEL, Model, names.location_of(request.parent))
        shown = [self._shown(self.version(row.name, "name"), versioned=False) for row in models]
        page, token = listing.listed(shown, request, _FILTERS, "create_time desc")
        return messages.ListModelsResponse(models=page, next_page_token=token)

    async def list_versions(self, request: Any) -> Any:
        """Answer ListModelVersions: oldest first unless told otherwise."""
        model = ModelName.parse(request.name, "name").model
        shown = [self._shown(row, versioned=True) for row in self._versions(model)]
        page, token = listing.listed(shown, request, _FILTERS)
        return messages.ListModelVersionsResponse(models=page, next_page_token=token)

    async def update(self, request: Any) -> Any:
        """Answer UpdateModel: with ``@version`` the version, without it the model."""
        name = ModelName.parse(request.model.name, "model.name")
        allowed = (
            ("version_description", "labels")
            if name.version
            else ("display_name", "description", "labels")
        )
        paths = protobuf.masked(request.update_mask, allowed)
        if "labels" in paths:
            names.check_labels(dict(request.model.labels), "model.labels")
        if "display_name" in paths:
            names.check_display_name(request.model.display_name, "model.display_name")
        chosen = self.version(request.model.name, "model.name")
        rows = [chosen] if name.version else self._versions(name.model)
        parent = self._store.get(MODEL, name.model, Model)
        with self._store.change():
            for row in rows:
                for path in paths - {"labels"}:
                    setattr(row.message, path, getattr(request.model, path))
                protobuf.stamp(row.message.update_time)
            if "labels" in paths:
                target = chosen if name.version else parent
                target.message.ClearField("labels")
                target.message.labels.update(request.model.labels)
            if name.version:
                protobuf.stamp(chosen.message.version_update_time)
            self._store.put(MODEL, parent, names.location_of(name.model))
            for row in rows:
                self._store.put(VERSION, row, name.model)
        return self._shown(self.version(request.model.name, "name"), versioned=bool(name.version))

    async def merge_aliases(self, request: Any) -> Any:
        """Answer MergeVersionAliases: an alias that another version has moves to this one."""
        if not request.version_aliases:
            raise ApiError.invalid("version_aliases", "«version_aliases» está vacía.")
        for alias in request.version_aliases:
            names.check_alias(alias.removeprefix("-"), "version_aliases")
        if f"-{DEFAULT_ALIAS}" in request.version_aliases:
            raise ApiError.invalid(
                "version_aliases",
                "«default» no se puede quitar: dáselo a otra versión.",
            )
        row = self.version(request.name, "name")
        with self._store.change():
            self._merge(row.message.name, row, request.version_aliases)
        return self._shown(self.version(row.name, "name"), versioned=True)

    async def delete(self, request: Any) -> operations_pb2.Operation:
        """Answer DeleteModel: with all its versions, none of which may be deployed."""
        name = ModelName.parse(request.name, "name")
        if name.version:
            raise ApiError.invalid("name", f"«name» = «{request.name}» nombra una versión.")
        versions = self._versions(name.model)
        for row in versions:
            self._refuse_deployed(row)
        with self._store.change():
            for row in versions:
                self._delete_version(row)
            self._store.delete(name.model)
            return self._operations.deleted(name.model)

    async def delete_version(self, request: Any) -> operations_pb2.Operation:
        """Answer DeleteModelVersion: not the default one, nor one that is deployed."""
        if not ModelName.parse(request.name, "name").version:
            raise ApiError.invalid("name", f"«name» = «{request.name}» no nombra una versión.")
        row = self.version(request.name, "name")
        if DEFAULT_ALIAS in row.message.version_aliases:
            raise ApiError.precondition(
                f"{row.name} es la versión por defecto: da el alias «default» a otra, o borra el "
                "modelo entero."
            )
        self._refuse_deployed(row)
        with self._store.change():
            self._delete_version(row)
            return self._operations.deleted(row.message.name)

    # Within

    def _target(self, request: Any) -> str:
        """Return the name of the model that an upload makes or extends."""
        if request.parent_model:
            name = ModelName.parse(request.parent_model, "parent_model").model
            return str(self._store.get(MODEL, name, Model).name)
        name = f"{request.parent}/models/{request.model_id or names.new_id()}"
        if self._store.find(MODEL, name, Model) is not None:
            raise ApiError.exists(name)
        return name

    def _versions(self, model: str) -> list[Row]:
        versions = self._store.rows(VERSION, Model, model)
        if not versions:
            raise ApiError.not_found(model)
        return versions

    def _merge(self, model: str, row: Row, aliases: Iterable[str]) -> None:
        """Give and take aliases; within ``Store.change``."""
        given = [alias for alias in aliases if not alias.startswith("-")]
        taken = {alias[1:] for alias in aliases if alias.startswith("-")}
        for other in self._versions(model):
            kept = [a for a in other.message.version_aliases if a not in given]
            if other.name == row.name:
                own = [*other.message.version_aliases, *given]
                kept = [a for a in dict.fromkeys(own) if a not in taken]
            if kept != list(other.message.version_aliases):
                other.message.version_aliases[:] = kept
                protobuf.stamp(other.message.version_update_time)
                self._store.put(VERSION, other, model)

    def _shown(self, row: Row, *, versioned: bool) -> Any:
        """Return what the API shows of a version."""
        shown = Model()
        shown.CopyFrom(row.message)
        parent = self._store.get(MODEL, row.message.name, Model)
        for key, value in parent.message.labels.items():
            shown.labels.setdefault(key, value)
        if versioned:
            shown.name = row.name
        for endpoint, deployed in self._deployments(row):
            shown.deployed_models.add(endpoint=endpoint, deployed_model_id=deployed)
        return shown

    def _deployments(self, row: Row) -> list[tuple[str, str]]:
        """Return the endpoint and the id of each deployment of a version."""
        return [
            (endpoint.name, deployed.id)
            for endpoint in self._store.rows("endpoint", messages.Endpoint)
            for deployed in endpoint.message.deployed_models
            if f"{deployed.model}@{deployed.model_version_id}" == row.name
        ]

    def _refuse_deployed(self, row: Row) -> None:
        for endpoint, deployed in self._deployments(row):
            raise ApiError.precondition(
                f"{row.name} está desplegado en {endpoint} ({deployed}): retíralo antes."
            )

    def _delete_version(self, row: Row) -> None:
        for evaluation in self._store.rows(EVALUATION, messages.ModelEvaluation, row.name):
            self._store.delete(evaluation.name)
        self._store.delete(row.name)


def _check(model: Any) -> None:
    """Refuse what is wrong in an upload, and what is not implemented."""
    protobuf.only(model, (*_GIVEN, *_OUTPUT_ONLY), "model")
    names.check_display_name(model.display_name, "model.display_name")
    names.check_labels(dict(model.labels), "model.labels")
    if model.HasField("container_spec"):
        protobuf.only(model.container_spec, _CONTAINER, "model.container_spec")
        if not model.container_spec.image_uri:
            raise ApiError.invalid(
                "model.container_spec.image_uri",
                "«model.container_spec.image_uri» es obligatorio.",
            )
        for name in ("predict_route", "health_route"):
            route = getattr(model.container_spec, name)
            if route and not route.startswith("/"):
                raise ApiError.invalid(
                    f"model.container_spec.{name}",
                    f"«model.container_spec.{name}» = «{route}» debe empezar por «/».",
                )
