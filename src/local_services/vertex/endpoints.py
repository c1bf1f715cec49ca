"""Endpoints: what is deployed on them and how their traffic is split."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from google.longrunning import operations_pb2

from spotify_mlops.io.http import guard

from ..google_api import protobuf
from ..google_api.errors import ApiError
from ..google_api.store import Row, Store
from . import containers, listing, messages, names
from .messages import DeployedModel, Endpoint
from .models import DIGESTS, Models
from .operations import Operations
from .replicas import Plan, Replica
from .traffic import Target, Traffic

_log = logging.getLogger(__name__)
ENDPOINT = "endpoint"
NEW = "0"
"""How a traffic split names the model that is being deployed."""
_STARTING_SECONDS = 120.0
_OUTPUT_ONLY = ("name", "create_time", "update_time", "etag", "deployed_models", "traffic_split")
_GIVEN = ("display_name", "description", "labels")
_DEPLOYED = (
    "id", "model", "model_version_id", "display_name", "create_time", "dedicated_resources",
    "automatic_resources", "service_account", "disable_container_logging", "enable_access_logging",
    "disable_explanations",
)  # fmt: skip
_FILTERS: listing.Fields = {
    "display_name": lambda endpoint: endpoint.display_name,
    "endpoint": lambda endpoint: names.last(endpoint.name),
    "name": lambda endpoint: endpoint.name,
}


class Endpoints:
    """Answers EndpointService."""

    def __init__(
        self,
        store: Store,
        operations: Operations,
        models: Models,
        traffic: Traffic,
        logs: Path,
    ) -> None:
        """Use a store; ``traffic`` is told what serves, and each process logs in ``logs``."""
        self._store = store
        self._operations = operations
        self._models = models
        self._traffic = traffic
        self._logs = logs
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start again what was deployed; does not wait for it."""
        for row in self._store.rows(ENDPOINT, Endpoint):
            replicas = {}
            for deployed in row.message.deployed_models:
                try:
                    replica = self._replica(row.name, deployed)
                except ApiError as error:  # its version is gone: a damaged state
                    _log.error("%s: %s", row.name, error)
                    continue
                replica.keep()
                replicas[deployed.id] = replica
            self._route(row, replicas)

    async def stop(self) -> None:
        """End what serves and what is being deployed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(replica.stop() for replica in self._traffic.replicas()))

    # The API

    async def create(self, request: Any) -> operations_pb2.Operation:
        """Answer CreateEndpoint."""
        endpoint = Endpoint()
        endpoint.CopyFrom(request.endpoint)
        protobuf.only(endpoint, (*_GIVEN, *_OUTPUT_ONLY), "endpoint")
        names.check_display_name(endpoint.display_name, "endpoint.display_name")
        names.check_labels(dict(endpoint.labels), "endpoint.labels")
        if request.endpoint_id:
            names.check_endpoint_id(request.endpoint_id)
        for field in _OUTPUT_ONLY:
            endpoint.ClearField(field)
        endpoint.name = f"{request.parent}/endpoints/{request.endpoint_id or names.new_id()}"
        if self._store.find(ENDPOINT, endpoint.name, Endpoint) is not None:
            raise ApiError.exists(endpoint.name)
        protobuf.stamp(endpoint.create_time)
        endpoint.update_time.CopyFrom(endpoint.create_time)
        with self._store.change():
            self._put(Row(endpoint.name, endpoint))
            operation = self._operations.done(
                endpoint.name, endpoint, messages.CreateEndpointOperationMetadata()
            )
        self._traffic.route(endpoint.name, [], {})
        return operation

    async def get(self, request: Any) -> Any:
        """Answer GetEndpoint."""
        return self._get(request.name).message

    async def list_(self, request: Any) -> Any:
        """Answer ListEndpoints."""
        found = [row.message for row in self._store.rows(ENDPOINT, Endpoint, request.parent)]
        page, token = listing.listed(found, request, _FILTERS, "create_time desc")
        return messages.ListEndpointsResponse(endpoints=page, next_page_token=token)

    async def update(self, request: Any) -> Any:
        """Answer UpdateEndpoint: names, labels and the traffic split."""
        row = self._get(request.endpoint.name)
        paths = protobuf.masked(request.update_mask, (*_GIVEN, "traffic_split"))
        given = request.endpoint
        if "display_name" in paths:
            names.check_display_name(given.display_name, "endpoint.display_name")
        if "labels" in paths:
            names.check_labels(dict(given.labels), "endpoint.labels")
            _replace(row.message.labels, given.labels)
        if "traffic_split" in paths:
            deployed = {model.id for model in row.message.deployed_models}
            _check_split(given.traffic_split, deployed, "endpoint.traffic_split")
            _replace(row.message.traffic_split, given.traffic_split)
        for path in paths & {"display_name", "description"}:
            setattr(row.message, path, getattr(given, path))
        protobuf.stamp(row.message.update_time)
        with self._store.change():
            self._put(row)
        self._route(row)
        return row.message

    async def delete(self, request: Any) -> operations_pb2.Operation:
        """Answer DeleteEndpoint: one without deployed models."""
        row = self._get(request.name)
        if row.message.deployed_models:
            ids = ", ".join(model.id for model in row.message.deployed_models)
            raise ApiError.precondition(
                f"{row.name} tiene modelos desplegados ({ids}): retíralos antes."
            )
        with self._store.change():
            self._store.delete(row.name)
            operation = self._operations.deleted(row.name)
        self._traffic.remove(row.name)
        return operation

    async def deploy(self, request: Any) -> operations_pb2.Operation:
        """Answer DeployModel: the operation ends once the model is healthy and has its traffic."""
        row = self._get(request.endpoint)
        deployed = DeployedModel()
        deployed.CopyFrom(request.deployed_model)
        _check_deployed(deployed)
        version = self._models.version(deployed.model, "deployed_model.model")
        ids = {model.id for model in row.message.deployed_models}
        if deployed.id in ids:
            raise ApiError.exists(f"{row.name}, modelo desplegado {deployed.id}")
        _check_split(request.traffic_split, ids | {NEW}, "traffic_split")
        deployed.id = deployed.id or names.new_id()
        deployed.model = version.message.name
        deployed.model_version_id = version.message.version_id
        deployed.display_name = deployed.display_name or version.message.display_name
        replica = self._replica(row.name, deployed)
        with self._store.change():
            operation = self._operations.start(row.name, messages.DeployModelOperationMetadata())
        split = {
            deployed.id if key == NEW else key: share
            for key, share in request.traffic_split.items()
        }
        self._later(self._deploy(operation.name, row.name, deployed, split, replica))
        return operation

    async def undeploy(self, request: Any) -> operations_pb2.Operation:
        """Answer UndeployModel: the operation ends once what was asked of the model is answered."""
        row = self._get(request.endpoint)
        left = [m for m in row.message.deployed_models if m.id != request.deployed_model_id]
        if len(left) == len(row.message.deployed_models):
            raise ApiError.not_found(f"{row.name}, modelo desplegado {request.deployed_model_id}")
        split = dict(request.traffic_split or row.message.traffic_split)
        if request.traffic_split:
            _check_split(split, {m.id for m in row.message.deployed_models}, "traffic_split")
        if left and split.pop(request.deployed_model_id, 0):
            raise ApiError.precondition(
                f"El modelo desplegado {request.deployed_model_id} recibe tráfico: da "
                "«traffic_split» con el de los demás."
            )
        del row.message.deployed_models[:]
        row.message.deployed_models.extend(left)
        _replace(row.message.traffic_split, split if left else {})
        protobuf.stamp(row.message.update_time)
        with self._store.change():
            self._put(row)
            operation = self._operations.start(
                row.name,
                messages.UndeployModelOperationMetadata(),
                certain=messages.UndeployModelResponse(),
            )
        removed = self._traffic.take(row.name, request.deployed_model_id)
        self._route(row)
        self._later(self._undeploy(operation.name, removed))
        return operation

    # Within

    async def _deploy(
        self,
        operation: str,
        endpoint: str,
        deployed: Any,
        split: Mapping[str, int],
        replica: Replica,
    ) -> None:
        try:
            await replica.start()
            row = self._get(endpoint)  # it may have changed meanwhile
            if deployed.id in {model.id for model in row.message.deployed_models}:
                raise ApiError.exists(f"{endpoint}, modelo desplegado {deployed.id}")
            self._models.version(f"{deployed.model}@{deployed.model_version_id}", "model")
            protobuf.stamp(deployed.create_time)
            row.message.deployed_models.append(deployed)
            if split:
                ids = {model.id for model in row.message.deployed_models}
                _check_split(split, ids, "traffic_split")
                _replace(row.message.traffic_split, split)
            protobuf.stamp(row.message.update_time)
            with self._store.change():
                self._put(row)
                self._operations.finish(
                    operation, messages.DeployModelResponse(deployed_model=deployed)
                )
            self._route(row, {deployed.id: replica})
        except ApiError as error:
            with self._store.change():
                self._operations.fail(operation, error)
            await replica.stop()
        except BaseException:
            await replica.stop()
            raise

    async def _undeploy(self, operation: str, replica: Replica | None) -> None:
        if replica is not None:
            await replica.stop()
        with self._store.change():
            self._operations.finish(operation)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _get(self, name: str) -> Row:
        return self._store.get(ENDPOINT, name, Endpoint)

    def _put(self, row: Row) -> None:
        self._store.put(ENDPOINT, row, names.location_of(row.name))

    def _route(self, row: Row, started: Mapping[str, Replica] | None = None) -> None:
        """Send requests as a stored endpoint says."""
        self._traffic.route(
            row.name,
            [
                Target.of(deployed, replica)
                for deployed in row.message.deployed_models
                if (replica := (started or {}).get(deployed.id))
                or (replica := self._traffic.replica(row.name, deployed.id))
            ],
            dict(row.message.traffic_split),
        )

    def _replica(self, endpoint: str, deployed: Any) -> Replica:
        """Return the process of a deployed model, not started.

        Raises:
            ApiError: there is no such version, or nothing to run.
        """
        version = self._models.version(f"{deployed.model}@{deployed.model_version_id}", "model")
        model = version.message
        if not model.HasField("container_spec"):
            raise ApiError.precondition(f"{version.name} no tiene «container_spec»: es un nombre.")
        spec = model.container_spec
        own = f"/v1/endpoints/{names.last(endpoint)}/deployedModels/{deployed.id}"
        health = spec.health_route or own
        predict = spec.predict_route or f"{own}:predict"
        project = names.project_of(endpoint)
        variables = {
            "AIP_MODE": "PREDICTION",
            "AIP_MODE_VERSION": "1.0.0",
            "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
            "AIP_PROJECT_NUMBER": project,
            "AIP_ENDPOINT_ID": names.last(endpoint),
            "AIP_DEPLOYED_MODEL_ID": deployed.id,
            "AIP_MODEL_NAME": names.last(model.name),
            "AIP_VERSION_NAME": model.version_id,
            "AIP_HEALTH_ROUTE": health,
            "AIP_PREDICT_ROUTE": predict,
            "AIP_STORAGE_URI": model.artifact_uri,
            "AIP_MACHINE_TYPE": deployed.dedicated_resources.machine_spec.machine_type,
            "GOOGLE_CLOUD_PROJECT": project,
        }
        log = self._logs / f"deployed-{deployed.id}.log"
        launch = containers.Launch.of  # refuses here, before anything is started
        launch(spec, variables, log, "model.container_spec")
        timeout = spec.deployment_timeout.ToMilliseconds() / 1000
        plan = Plan(
            launch=lambda port, key: launch(
                spec,
                variables | {"AIP_HTTP_PORT": str(port), guard.VARIABLE: key},
                log,
                "model.container_spec",
            ),
            health_route=health,
            predict_route=predict,
            artifact_uri=model.artifact_uri,
            digests=version.extra.get(DIGESTS, {}),
            timeout=timeout or _STARTING_SECONDS,
        )
        title = f"{names.last(model.name)}@{model.version_id} ({deployed.id})"
        return Replica(plan, self._traffic.session, title)


def _replace(target: Any, values: Mapping[str, Any]) -> None:
    """Give a map field these values and no others."""
    copied = dict(values)
    target.clear()
    target.update(copied)


def _check_deployed(deployed: Any) -> None:
    """Refuse what is wrong or not implemented in a deployment."""
    protobuf.only(deployed, _DEPLOYED, "deployed_model")
    kind = deployed.WhichOneof("prediction_resources")
    if kind is None:
        raise ApiError.invalid(
            "deployed_model.prediction_resources",
            "«deployed_model» no dice con qué recursos: «dedicated_resources» o "
            "«automatic_resources».",
        )
    if deployed.id and not (deployed.id.isdecimal() and len(deployed.id) <= 19):
        raise ApiError.invalid("deployed_model.id", "«deployed_model.id» es un número.")
    resources = getattr(deployed, kind)
    path = f"deployed_model.{kind}"
    protobuf.only(resources, ("machine_spec", "min_replica_count", "max_replica_count"), path)
    if resources.min_replica_count > 1:
        raise ApiError.unimplemented(f"«{path}.min_replica_count» mayor que 1")
    if kind == "dedicated_resources":
        protobuf.only(resources.machine_spec, ("machine_type",), f"{path}.machine_spec")


def _check_split(split: Mapping[str, int], known: set[str], field: str) -> None:
    """Refuse a traffic split that is not empty, does not add up to 100 or names a stranger."""
    if not split:
        return
    for key, share in split.items():
        if key not in known:
            raise ApiError.invalid(field, f"«{field}»: no hay modelo desplegado «{key}».")
        if not 0 <= share <= 100:
            raise ApiError.invalid(field, f"«{field}.{key}» = {share} no está entre 0 y 100.")
    total = sum(split.values())
    if total != 100:
        raise ApiError.invalid(field, f"«{field}» suma {total}; debe sumar 100.")
