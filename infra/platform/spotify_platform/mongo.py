"""MongoDB Atlas, where the params name a project of it: the cluster, and who may reach it.

Its user and password are made by whoever then puts ``mongo_uri``'s secret in its place: they are
in no state of this program.
"""

from __future__ import annotations

import re

import pulumi
import pulumi_mongodbatlas as atlas

from .network import Network
from .place import Place

_NODES = 3
_REGIONS = {
    "asia-east1": "EASTERN_ASIA_PACIFIC",
    "asia-northeast1": "NORTHEASTERN_ASIA_PACIFIC",
    "asia-southeast1": "SOUTHEASTERN_ASIA_PACIFIC",
    "europe-west1": "WESTERN_EUROPE",
    "us-central1": "CENTRAL_US",
    "us-east1": "EASTERN_US",
    "us-west1": "WESTERN_US",
}
"""Atlas's own names of Google's regions, of those that were first; the others have Google's."""


def make(place: Place, network: Network) -> None:
    """Make a replica set that lets in what leaves the network, and nobody else; over TLS 1.2."""
    platform = place.params.platform
    if not platform.atlas_project:
        return
    region = atlas.AdvancedClusterReplicationSpecRegionConfigArgs(
        provider_name="GCP",
        region_name=region_name(place.params.cloud.location),
        priority=7,  # Atlas's highest: the only region is where the primary is
        electable_specs=atlas.AdvancedClusterReplicationSpecRegionConfigElectableSpecsArgs(
            instance_size=platform.atlas_tier, node_count=_NODES
        ),
    )
    atlas.AdvancedCluster(
        "mongo",
        project_id=platform.atlas_project,
        name=f"{place.params.mongo.database}-{place.params.profile}".replace("_", "-"),
        cluster_type="REPLICASET",
        replication_specs=[atlas.AdvancedClusterReplicationSpecArgs(region_configs=[region])],
        backup_enabled=True,
        advanced_configuration=atlas.AdvancedClusterAdvancedConfigurationArgs(
            minimum_enabled_tls_protocol="TLS1_2"
        ),
        termination_protection_enabled=platform.deletion_protection,
        tags=place.labels,
        opts=pulumi.ResourceOptions(protect=platform.deletion_protection),
    )
    atlas.ProjectIpAccessList(
        "mongo", project_id=platform.atlas_project, ip_address=network.leaves_by.address
    )


def region_name(location: str) -> str:
    """Return Atlas's name of a region of Google Cloud.

    >>> region_name("us-central1"), region_name("europe-west4")
    ('CENTRAL_US', 'EUROPE_WEST_4')
    """
    spelled = re.sub(r"(?<=[a-z])(?=[0-9])", "-", location)
    return _REGIONS.get(location, spelled.replace("-", "_").upper())
