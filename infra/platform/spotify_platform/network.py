"""The network: one private subnetwork, and one known address for what leaves it."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi_gcp import compute

from .place import Place


@dataclass(frozen=True)
class Network:
    """What others are given of it."""

    subnetwork: compute.Subnetwork
    leaves_by: compute.Address
    """From where the world sees the workers: what MongoDB Atlas lets in."""


def make(place: Place) -> Network:
    """Make it: workers have no public address, and reach Google's APIs without one."""
    name = place.names.subnetwork
    network = compute.Network(
        "network", name=name, auto_create_subnetworks=False, opts=place.options()
    )
    subnetwork = compute.Subnetwork(
        "subnetwork",
        name=name,
        network=network.id,
        region=place.params.cloud.location,
        ip_cidr_range=place.params.platform.subnetwork_range,
        private_ip_google_access=True,
        opts=place.options(),
    )
    address = compute.Address(
        "address", name=name, region=place.params.cloud.location, opts=place.options()
    )
    router = compute.Router(
        "router",
        name=name,
        network=network.id,
        region=place.params.cloud.location,
        opts=place.options(),
    )
    compute.RouterNat(
        "nat",
        name=name,
        router=router.name,
        region=place.params.cloud.location,
        nat_ip_allocate_option="MANUAL_ONLY",
        nat_ips=[address.self_link],
        source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
        subnetworks=[
            compute.RouterNatSubnetworkArgs(
                name=subnetwork.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"]
            )
        ],
        log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
        opts=place.options(),
    )
    return Network(subnetwork, address)
