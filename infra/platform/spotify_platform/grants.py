"""Who may do what: one way to write it down, whatever it is on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pulumi
from pulumi_gcp import (
    artifactregistry,
    bigquery,
    cloudrunv2,
    projects,
    secretmanager,
    serviceaccount,
    storage,
)

from .names import Role
from .place import Place

Text = pulumi.Input[str]


@dataclass(frozen=True)
class Account:
    """A service account that was made."""

    role: Role
    resource: serviceaccount.Account

    @property
    def member(self) -> pulumi.Output[str]:
        """Its name in a grant."""
        return self.resource.member

    @property
    def email(self) -> pulumi.Output[str]:
        """Its address."""
        return self.resource.email


@dataclass(frozen=True)
class On:
    """What a role can be given on: how its grants are made, and what says which it is."""

    name: str
    grant: Callable[..., pulumi.Resource]
    which: dict[str, Text]


def allow(place: Place, who: Account, on: On, *roles: str) -> list[pulumi.Resource]:
    """Give an account roles on something, and to it alone: what others have stays."""
    return [
        on.grant(
            f"{who.role}-{role.rpartition('/')[2]}-{on.name}",
            role=role,
            member=who.member,
            opts=place.options(),
            **on.which,
        )
        for role in roles
    ]


def project(place: Place) -> On:
    """Return the project: for what is of no resource, such as starting a query."""
    return On("project", projects.IAMMember, {"project": place.params.cloud.project})


def bucket(made: storage.Bucket) -> On:
    """Return a bucket."""
    return On("bucket", storage.BucketIAMMember, {"bucket": made.name})


def dataset(made: bigquery.Dataset) -> On:
    """Return a dataset."""
    return On("dataset", bigquery.DatasetIamMember, {"dataset_id": made.dataset_id})


def secret(name: str, made: secretmanager.Secret) -> On:
    """Return a secret."""
    return On(f"secret-{name}", secretmanager.SecretIamMember, {"secret_id": made.secret_id})


def repository(made: artifactregistry.Repository) -> On:
    """Return a repository of images."""
    which: dict[str, Text] = {"repository": made.repository_id, "location": made.location}
    return On("repository", artifactregistry.RepositoryIamMember, which)


def account(made: Account) -> On:
    """Return a service account, to act as it."""
    return On(made.role, serviceaccount.IAMMember, {"service_account_id": made.resource.name})


def pool(name: str, made: cloudrunv2.WorkerPool) -> On:
    """Return a worker pool of Cloud Run, to give it instances and take them away."""
    return On(name, cloudrunv2.WorkerPoolIamMember, {"name": made.name, "location": made.location})


def job(name: str, made: cloudrunv2.Job) -> On:
    """Return a job of Cloud Run, to start it."""
    return On(name, cloudrunv2.JobIamMember, {"name": made.name, "location": made.location})
