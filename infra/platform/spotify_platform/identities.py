"""The service accounts: one a role, each with what its own calls need."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_gcp import projects, serviceaccount

from . import grants
from .grants import Account, allow
from .names import ROLES, Role
from .place import Place

_DOES: dict[Role, str] = {
    "stream": "Trabajadores de Dataflow",
    "watcher": "Envía la tarea en directo y la vigila",
    "training": "Entrenamientos de Vertex AI",
    "serving": "Modelos desplegados en Vertex AI",
    "monitor": "Órdenes programadas: monitor, audit, archive compact",
    "scheduler": "Pone en marcha las órdenes programadas",
    "dashboards": "Grafana: lee las tablas",
    "deployer": "Imágenes, modelo, endpoint y tarea en directo",
}
_QUERIES = ("roles/bigquery.jobUser", "roles/bigquery.readSessionUser")
"""To run a query and to read its rows; on which data, the dataset says."""
_OF_THE_PROJECT: dict[Role, tuple[str, ...]] = {
    "stream": (
        "roles/logging.logWriter",
        "roles/monitoring.metricWriter",
        "roles/managedkafka.client",
    ),
    "watcher": (
        *_QUERIES,
        "roles/dataflow.developer",
        "roles/logging.logWriter",
        "roles/managedkafka.client",
    ),
    "training": ("roles/logging.logWriter",),
    "serving": ("roles/logging.logWriter",),
    "monitor": (
        *_QUERIES,
        "roles/aiplatform.user",
        "roles/logging.logWriter",
        "roles/managedkafka.client",
    ),
    "scheduler": (),
    "dashboards": ("roles/bigquery.jobUser",),
    "deployer": (
        *_QUERIES,
        "roles/aiplatform.user",
        "roles/cloudasset.viewer",
        "roles/compute.viewer",
        "roles/dataflow.developer",
        "roles/managedkafka.client",
        "roles/serviceusage.serviceUsageViewer",
    ),
}
"""What is of no resource: to connect, to start something, to tell. The data are elsewhere."""
_ACTS_AS: dict[Role, tuple[Role, ...]] = {
    "watcher": ("stream",),
    "monitor": ("training", "serving"),
    "deployer": ("stream", "watcher", "training", "serving"),
}
"""Who starts something that runs as another."""
_WORKER = (
    "autoscaling.sites.readRecommendations",
    "autoscaling.sites.writeMetrics",
    "autoscaling.sites.writeState",
    "compute.instanceGroupManagers.update",
    "compute.instances.delete",
    "compute.instances.setDiskAutoDelete",
    "dataflow.jobs.get",
    "dataflow.shuffle.read",
    "dataflow.shuffle.write",
    "dataflow.streamingWorkItems.ImportState",
    "dataflow.streamingWorkItems.commitWork",
    "dataflow.streamingWorkItems.getData",
    "dataflow.streamingWorkItems.getWork",
    "dataflow.streamingWorkItems.getWorkerMetadata",
    "dataflow.workItems.lease",
    "dataflow.workItems.sendMessage",
    "dataflow.workItems.update",
)
"""Of ``roles/dataflow.worker``, all but those on the objects of every bucket of the project."""


def make(place: Place) -> Mapping[Role, Account]:
    """Make the accounts, with what is theirs of the project and of each other."""
    made = {role: _account(place, role) for role in ROLES}
    of_project = grants.project(place)
    for role, roles in _OF_THE_PROJECT.items():
        allow(place, made[role], of_project, *roles)
    for role, others in _ACTS_AS.items():
        for other in others:
            allow(place, made[role], grants.account(made[other]), "roles/iam.serviceAccountUser")
    worker = projects.IAMCustomRole(
        "worker",
        role_id="spotifyMlopsDataflowWorker",
        title="Trabajador de Dataflow, sin los objetos de los buckets",
        permissions=[*_WORKER, *_asked(place)],
        opts=place.options(),
    )
    projects.IAMMember(
        "stream-worker-project",
        project=place.params.cloud.project,
        role=worker.name,
        member=made["stream"].member,
        opts=place.options(),
    )
    return made


def _asked(place: Place) -> tuple[str, ...]:
    """Return what workers need to ask the endpoint, where the live job does."""
    if place.params.stream.predictor != "endpoint":
        return ()
    return ("aiplatform.endpoints.predict",)


def _account(place: Place, role: Role) -> Account:
    resource = serviceaccount.Account(
        role,
        account_id=place.names.accounts[role],
        display_name=_DOES[role],
        opts=place.options(),
    )
    return Account(role, resource)
