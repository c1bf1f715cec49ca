"""What is run by the clock: commands of the project, as jobs of Cloud Run.

A retraining has no hour of its own: ``monitor`` decides on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pulumi_gcp import cloudrunv2, cloudscheduler

from spotify_mlops.config import carried
from spotify_mlops.operations.cloud import figures

from . import grants
from .grants import Account, allow
from .names import Role
from .network import Network
from .place import Place

AUDIT_MINUTES = 15
"""Between two audits."""
_LONGEST = 6 * 3600
"""Seconds that a command may take: a retraining and a deployment are part of ``monitor``."""
_STATE = "/tmp/spotify-mlops"
"""Where a command keeps what it does not need again: no image may write elsewhere."""


@dataclass(frozen=True)
class Scheduled:
    """A command, and when."""

    name: str
    words: tuple[str, ...]
    image: str
    """That has what it imports."""
    cron: str
    """In UTC."""


def commands(place: Place) -> tuple[Scheduled, ...]:
    """Return the scheduled commands; none before there are images to run them."""
    pipeline, training = place.names.pipeline_image, place.params.cloud.training_image
    if pipeline is None:
        return ()
    return (
        Scheduled("monitor", ("monitor",), training, "7 * * * *"),
        Scheduled("audit", ("audit",), pipeline, f"*/{AUDIT_MINUTES} * * * *"),
        Scheduled("compaction", ("archive", "compact"), pipeline, "30 3 * * *"),
    )


def job_name(place: Place, command: str) -> str:
    """Return the name of a command's job: profiles never mix."""
    return f"{place.names.model}-{command}"


def variables(place: Place) -> dict[str, str]:
    """Return the environment in which a command of the project has these params."""
    found = carried.variables(place.params) | {"SPOTIFY_MLOPS_STATE": _STATE}
    return dict(sorted(found.items()))


def make(place: Place, network: Network, accounts: Mapping[Role, Account]) -> None:
    """Make the jobs, and what starts each at its hour."""
    cloud = place.params.cloud
    for command in commands(place):
        name = job_name(place, command.name)
        job = _job(place, network, accounts["monitor"], command)
        started = allow(
            place, accounts["scheduler"], grants.job(command.name, job), "roles/run.invoker"
        )
        cloudscheduler.Job(
            command.name,
            name=name,
            region=cloud.location,
            schedule=command.cron,
            time_zone="Etc/UTC",
            http_target=cloudscheduler.JobHttpTargetArgs(
                http_method="POST",
                uri=f"https://run.googleapis.com/v2/projects/{cloud.project}"
                f"/locations/{cloud.location}/jobs/{name}:run",
                oauth_token=cloudscheduler.JobHttpTargetOauthTokenArgs(
                    service_account_email=accounts["scheduler"].email
                ),
            ),
            opts=place.options(*started),
        )


def _job(place: Place, network: Network, runs_as: Account, command: Scheduled) -> cloudrunv2.Job:
    container = cloudrunv2.JobTemplateTemplateContainerArgs(
        image=command.image,
        commands=["python", "-m", "spotify_mlops"],
        args=[*command.words, "--json"],  # one line that the log's metrics read
        envs=[
            cloudrunv2.JobTemplateTemplateContainerEnvArgs(name=name, value=value)
            for name, value in variables(place).items()
        ],
        resources=cloudrunv2.JobTemplateTemplateContainerResourcesArgs(
            limits={"cpu": str(figures.RUN_VCPUS), "memory": f"{figures.RUN_GIB}Gi"}
        ),
    )
    reaches = cloudrunv2.JobTemplateTemplateVpcAccessArgs(
        network_interfaces=[
            cloudrunv2.JobTemplateTemplateVpcAccessNetworkInterfaceArgs(
                subnetwork=network.subnetwork.name
            )
        ],
        egress="ALL_TRAFFIC",  # the log's names are of the network alone
    )
    return cloudrunv2.Job(
        command.name,
        name=job_name(place, command.name),
        location=place.params.cloud.location,
        template=cloudrunv2.JobTemplateArgs(
            template=cloudrunv2.JobTemplateTemplateArgs(
                containers=[container],
                service_account=runs_as.email,
                timeout=f"{_LONGEST}s",
                max_retries=0,  # the next hour does it again
                vpc_access=reaches,
            )
        ),
        deletion_protection=False,  # it has nothing of its own
        opts=place.options(),
    )
