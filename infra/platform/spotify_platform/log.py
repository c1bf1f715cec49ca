"""The log: a cluster of managed Kafka, its topics, and who reads and writes which."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_gcp import managedkafka

from spotify_mlops.io.kafka import Topic, dead_letter_topic, topics

from .grants import Account
from .names import Role
from .network import Network
from .place import Place

_REPLICAS = 3
_SEE = ("DESCRIBE",)
"""Whether it is there: what is asked of each topic before any is used."""
_READ = (*_SEE, "READ")
_WRITE = (*_SEE, "WRITE")
_BOTH = (*_READ, "WRITE")
"""The source of events, and the heartbeats of who watches the streaming job."""


def make(place: Place, network: Network, accounts: Mapping[Role, Account]) -> managedkafka.Cluster:
    """Make the cluster, which none but the subnetwork reaches, and the topics."""
    params, names = place.params, place.names
    where = (params.cloud.project, params.cloud.location)
    cluster = managedkafka.Cluster(
        "log",
        cluster_id=names.cluster,
        location=params.cloud.location,
        capacity_config=managedkafka.ClusterCapacityConfigArgs(
            vcpu_count=str(params.platform.kafka_vcpus),
            memory_bytes=str(params.platform.kafka_memory_gib << 30),
        ),
        rebalance_config=managedkafka.ClusterRebalanceConfigArgs(mode="AUTO_REBALANCE_ON_SCALE_UP"),
        gcp_config=managedkafka.ClusterGcpConfigArgs(
            access_config=managedkafka.ClusterGcpConfigAccessConfigArgs(
                network_configs=[
                    managedkafka.ClusterGcpConfigAccessConfigNetworkConfigArgs(
                        subnet="projects/{}/regions/{}/subnetworks/{}".format(
                            *where, names.subnetwork
                        )
                    )
                ]
            )
        ),
        opts=place.holding_data(network.subnetwork),
    )
    for topic in topics(params):
        made = managedkafka.Topic(
            topic.name,
            topic_id=topic.name,
            cluster=cluster.cluster_id,
            location=params.cloud.location,
            partition_count=topic.partitions,
            replication_factor=_REPLICAS,
            configs=dict(topic.config),
            opts=place.holding_data(),
        )
        managedkafka.Acl(
            topic.name,
            acl_id=f"topic/{topic.name}",
            cluster=cluster.cluster_id,
            location=params.cloud.location,
            acl_entries=[
                managedkafka.AclAclEntryArgs(
                    principal=pulumi.Output.concat("User:", accounts[role].email),
                    operation=operation,
                    permission_type="ALLOW",
                    host="*",
                )
                for role, operations in _may(place, topic).items()
                for operation in operations
            ],
            opts=place.options(made),
        )
    return cluster


def _may(place: Place, topic: Topic) -> dict[Role, tuple[str, ...]]:
    """Return what each account does with a topic. Nobody else does anything."""
    kafka = place.params.kafka
    if topic.name == kafka.topic:
        return {"stream": _READ, "watcher": _BOTH, "monitor": _READ, "deployer": _BOTH}
    if topic.name == dead_letter_topic(kafka):
        return {"stream": _WRITE, "watcher": _SEE, "monitor": _SEE, "deployer": _SEE}
    return {"monitor": _READ, "deployer": _BOTH}
