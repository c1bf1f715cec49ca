"""The endpoint in Vertex AI (here in its local stand-in): which versions answer, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.api_core import exceptions
from google.cloud import aiplatform_v1

from ..config.errors import ServiceError
from ..config.params import Params
from ..config.progress import Progress, silent
from ..io import vertex
from ..io.vertex import operations
from .promotions import ServingPeriod
from .registry import model_id


class Endpoint:
    """The endpoint of the params' model; it is made when something is first deployed."""

    def __init__(self, params: Params) -> None:
        """Remember where it is; the first question connects."""
        self._params = params
        self._parent = parent = vertex.parent(params.cloud)
        self.name = f"{parent}/endpoints/{model_id(params)}"
        self._model = f"{parent}/models/{model_id(params)}"

    def serve(self, period: ServingPeriod, say: Progress = silent) -> None:
        """Let the versions of a period answer, and no other.

        The new ones are deployed first and answer before the others go, so no request fails.
        What an earlier call, or another process, left under way is waited for: a deployment
        that was given up is not begun a second time.

        Args:
            period: whose versions.
            say: is told how far a deployment is, which takes minutes.

        Raises:
            ServiceError: a version does not start, takes longer than ``deploy_timeout`` (doing
                it again goes on from there), or Vertex AI does not answer.
        """
        shares = period.shares
        try:
            deployed = self._settled(say)
            for version in shares.keys() - deployed.keys():
                self._deploy(version, say, first=not deployed)
                deployed = self._deployed()
            self._split({deployed[version]: share for version, share in shares.items()})
            for version in deployed.keys() - shares.keys():
                self._finish(
                    self._client().undeploy_model(
                        endpoint=self.name, deployed_model_id=deployed[version]
                    ),
                    "undeploy",
                    f"{self._params.model.name}@{version}",
                    say,
                )
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            raise ServiceError(f"El endpoint {self.name} no cambia: {error.message}") from error

    def traffic(self) -> dict[str, int]:
        """Return the percentage of the requests that each deployed version answers."""
        try:
            endpoint = self._client().get_endpoint(name=self.name)
        except exceptions.NotFound:
            return {}
        return {
            model.model_version_id: endpoint.traffic_split.get(model.id, 0)
            for model in endpoint.deployed_models
        }

    def deployed(self) -> list[str] | None:
        """Return the versions that are deployed; None where there is no endpoint."""
        try:
            endpoint = self._client().get_endpoint(name=self.name)
        except exceptions.NotFound:
            return None
        return sorted(model.model_version_id for model in endpoint.deployed_models)

    def remove(self, say: Progress = silent) -> None:
        """Undeploy every version and delete the endpoint; what is gone already stays gone.

        Raises:
            ServiceError: it takes longer than ``deploy_timeout`` (doing it again goes on from
                there), or Vertex AI does not answer.
        """
        try:
            if self.deployed() is None:
                return
            deployed = self._settled(say)
            if len(deployed) > 1:  # while others stay, only one without requests may go
                self._split({list(deployed.values())[-1]: 100})
            for version, model in deployed.items():
                begun = self._client().undeploy_model(endpoint=self.name, deployed_model_id=model)
                self._finish(begun, "undeploy", f"{self._params.model.name}@{version}", say)
            begun = self._client().delete_endpoint(name=self.name)
            self._finish(begun, "delete", self.name, say)
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            raise ServiceError(f"El endpoint {self.name} no se borra: {error.message}") from error

    def _finish(self, begun: Any, step: operations.Step, of: str, say: Progress) -> None:
        patience = self._params.cloud.deploy_timeout
        operations.finish(self._client(), begun, step, of, patience, say)

    def _client(self) -> aiplatform_v1.EndpointServiceClient:
        return vertex.client(self._params.cloud, aiplatform_v1.EndpointServiceClient)

    def _settled(self, say: Progress) -> dict[str, str]:
        """Return what `_deployed` does, when nothing that was begun before is under way."""
        deployed = self._deployed()
        left = operations.pending(self._client(), self.name)
        for name in left:
            patience = self._params.cloud.deploy_timeout
            of = model_id(self._params)
            operations.ended(self._client(), name, "earlier", of, patience, say)
        return self._deployed() if left else deployed

    def _deployed(self) -> dict[str, str]:
        """Return the id under which each version is deployed; the endpoint is made if need be."""
        try:
            endpoint = self._client().get_endpoint(name=self.name)
        except exceptions.NotFound:
            begun = self._client().create_endpoint(
                parent=self._parent,
                endpoint=aiplatform_v1.Endpoint(display_name=model_id(self._params)),
                endpoint_id=model_id(self._params),
            )
            self._finish(begun, "create", model_id(self._params), silent)
            return {}
        return {model.model_version_id: model.id for model in endpoint.deployed_models}

    def _deploy(self, version: str, say: Progress, *, first: bool) -> None:
        """Start a version beside those that answer; it gets no requests yet, but the first."""
        name = f"{self._params.model.name}@{version}"
        begun = self._client().deploy_model(
            endpoint=self.name,
            deployed_model=aiplatform_v1.DeployedModel(
                model=f"{self._model}@{version}",
                display_name=name,
                dedicated_resources={
                    "machine_spec": {"machine_type": self._params.cloud.serving_machine},
                    "min_replica_count": 1,
                },
                service_account=self._params.cloud.serving_service_account,
            ),
            traffic_split={"0": 100} if first else None,
        )
        self._finish(begun, "deploy", name, say)

    def _split(self, traffic: Mapping[str, int]) -> None:
        endpoint = self._client().get_endpoint(name=self.name)
        if dict(endpoint.traffic_split) == dict(traffic):
            return
        endpoint.traffic_split = dict(traffic)
        self._client().update_endpoint(endpoint=endpoint, update_mask={"paths": ["traffic_split"]})
