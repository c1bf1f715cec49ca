"""Who sends the streaming job and watches it: ``stream``, in a worker pool of Cloud Run.

The job goes on by itself; its heartbeats, its saved position and what MongoDB keeps are of whoever
watches it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_gcp import cloudrunv2

from spotify_mlops.operations.cloud import figures, watcher

from . import grants, schedules
from .grants import Account, allow
from .names import Role
from .network import Network
from .place import Place


def make(place: Place, network: Network, accounts: Mapping[Role, Account]) -> None:
    """Make the pool, without an instance; nothing before there is an image to run.

    Deploying gives it its instance once there is a model, and taking down takes it away.
    """
    if place.names.pipeline_image is None:
        return
    container = cloudrunv2.WorkerPoolTemplateContainerArgs(
        image=place.names.pipeline_image,
        commands=["python", "-m", "spotify_mlops"],
        args=["stream", "--json"],
        envs=[
            cloudrunv2.WorkerPoolTemplateContainerEnvArgs(name=name, value=value)
            for name, value in schedules.variables(place).items()
        ],
        resources=cloudrunv2.WorkerPoolTemplateContainerResourcesArgs(
            limits={"cpu": str(figures.WATCHER_VCPUS), "memory": f"{figures.WATCHER_GIB}Gi"}
        ),
    )
    reaches = cloudrunv2.WorkerPoolTemplateVpcAccessArgs(
        network_interfaces=[
            cloudrunv2.WorkerPoolTemplateVpcAccessNetworkInterfaceArgs(
                subnetwork=network.subnetwork.name
            )
        ],
        egress="ALL_TRAFFIC",  # the log's names are of the network alone
    )
    pool = cloudrunv2.WorkerPool(
        "stream",
        name=watcher.pool_id(place.params),
        location=place.params.cloud.location,
        scaling=cloudrunv2.WorkerPoolScalingArgs(manual_instance_count=0),
        template=cloudrunv2.WorkerPoolTemplateArgs(
            containers=[container],
            service_account=accounts["watcher"].email,
            vpc_access=reaches,
        ),
        deletion_protection=False,  # it has nothing of its own
        opts=pulumi.ResourceOptions.merge(
            place.options(), pulumi.ResourceOptions(ignore_changes=["scaling"])
        ),
    )
    allow(place, accounts["deployer"], grants.pool("stream", pool), "roles/run.developer")
