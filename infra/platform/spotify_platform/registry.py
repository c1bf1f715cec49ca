"""The images: one repository, whose tags never move."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_gcp import artifactregistry

from . import grants
from .grants import Account, allow
from .names import Role
from .place import Place


def make(place: Place, accounts: Mapping[Role, Account]) -> artifactregistry.Repository:
    """Make the repository; who deploys writes to it, and workers read their image."""
    repository = artifactregistry.Repository(
        "images",
        repository_id=place.names.repository,
        location=place.params.cloud.location,
        format="DOCKER",
        docker_config=artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
        opts=place.options(),
    )
    of_repository = grants.repository(repository)
    allow(place, accounts["deployer"], of_repository, "roles/artifactregistry.writer")
    allow(place, accounts["stream"], of_repository, "roles/artifactregistry.reader")
    return repository
