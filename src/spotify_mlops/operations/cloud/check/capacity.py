"""Whether there is room, in the project and in the budget, for what the profile wants."""

from __future__ import annotations

from typing import Any

from ....config.errors import ParamsError
from .. import cost, figures, shape
from .finding import Context, Finding


def quotas(context: Context) -> Finding | None:
    """Look whether the region has room for the most workers that the profile may take."""
    params = context.params
    kind = shape.machine(params.dataflow.machine)
    if params.engine.runner != "dataflow" or not context.is_in_google or kind is None:
        return None
    project, region = params.cloud.project, params.cloud.location
    found = context.apis.ask("compute", f"compute/v1/projects/{project}/regions/{region}")
    count = params.dataflow.max_workers
    vcpus = count * kind.vcpus
    needed = {
        "CPUS": vcpus,
        f"{kind.name.partition('-')[0].upper()}_CPUS": vcpus,
        "INSTANCES": count,
        "DISKS_TOTAL_GB": count * figures.DATAFLOW_DISK_GIB,
        "IN_USE_ADDRESSES": 1,  # of the NAT; workers have private ones
    }
    short = [
        {"metric": quota["metric"], "needed": needed[quota["metric"]], "free": _free(quota)}
        for quota in found.get("quotas", [])
        if quota.get("metric") in needed and _free(quota) < needed[quota["metric"]]
    ]
    facts = {"short": short, "vcpus": vcpus, "workers": count, "region": region}
    return Finding("quotas", "bad" if short else "good", "short" if short else "enough", facts)


def _free(quota: dict[str, Any]) -> float:
    return float(quota.get("limit", 0)) - float(quota.get("usage", 0))


def subnetwork(context: Context) -> Finding | None:
    """Look whether the workers' network is there and lets private machines reach Google."""
    params = context.params
    path = params.dataflow.subnetwork
    if params.engine.runner != "dataflow" or not path:
        return None
    if not path.startswith("projects/"):
        path = f"projects/{params.cloud.project}/{path}"
    found = context.apis.find("compute", f"compute/v1/{path}")
    if found is None:
        return Finding("subnetwork", "bad", "missing", {"name": path})
    private = bool(found.get("privateIpGoogleAccess"))
    facts = {"name": path, "range": found.get("ipCidrRange", "")}
    return Finding(
        "subnetwork", "good" if private else "bad", "there" if private else "closed", facts
    )


def budget(context: Context) -> Finding | None:
    """Look whether the estimate is within the monthly limit."""
    if not context.is_in_google:
        return None
    try:
        found = cost.estimate(context.params)
    except ParamsError as error:
        return Finding("budget", "unknown", "said", {"said": str(error)})
    limit = context.params.platform.monthly_limit
    facts = {"total": found.total, "limit": limit, "rate": found.rate}
    return Finding("budget", "good" if found.total <= limit else "bad", "estimate", facts)
