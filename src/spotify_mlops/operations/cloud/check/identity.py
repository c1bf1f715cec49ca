"""Who asks, of which project, and what it may do there."""

from __future__ import annotations

from collections.abc import Iterable

from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

from ....config.errors import one_line
from ....io.addresses import DEFAULT
from ....io.google_apis import RefusedError, account
from ....io.storage.objects import has_generations
from .finding import Check, Context, Finding

APIS = (
    *("aiplatform", "artifactregistry", "bigquery", "bigquerystorage", "billingbudgets"),
    *("cloudasset", "cloudbilling", "cloudresourcemanager", "cloudscheduler", "compute"),
    *("dataflow", "iam", "logging", "monitoring", "run", "secretmanager", "serviceusage"),
    "storage",
)
KAFKA_API = "managedkafka"
PERMISSIONS = (
    *("dataflow.jobs.create", "dataflow.jobs.list", "dataflow.jobs.cancel", "dataflow.jobs.get"),
    *("aiplatform.models.upload", "aiplatform.endpoints.create", "aiplatform.endpoints.deploy"),
    *("aiplatform.endpoints.predict", "aiplatform.customJobs.create", "bigquery.jobs.create"),
    *("compute.regions.get", "compute.subnetworks.get"),
)
"""In the project, of who deploys and watches: what is on a bucket, a secret or a repository alone
is not asked of the project, which does not give it."""
OBJECT_PERMISSIONS = tuple(f"storage.objects.{do}" for do in ("create", "delete", "get", "list"))
ACCOUNTS = ("dataflow_service_account", "serving_service_account", "training_service_account")
ACT_AS = "iam.serviceAccounts.actAs"


def credentials(context: Context) -> Finding | None:
    """Look for the process's Google identity."""
    if not context.is_in_google:
        return None
    params = context.params
    addresses = {params.cloud.google_apis, params.bigquery.rest, params.cloud.vertex}
    if DEFAULT not in addresses:
        return Finding("credentials", "good", "not_needed")
    try:
        found = context.apis.credentials()
    except GoogleAuthError as error:
        reason = "none" if isinstance(error, DefaultCredentialsError) else "useless"
        return Finding("credentials", "bad", reason, {"said": one_line(error, 160)})
    who = account(found)
    facts = {"account": who, "kind": type(found).__module__.rpartition(".")[2]}
    return Finding("credentials", "good", "found" if who else "unnamed", facts)


def project(context: Context) -> Finding | None:
    """Look whether the project is there and active."""
    if not context.is_in_google:
        return None
    name = context.params.cloud.project
    try:
        found = context.apis.ask("cloudresourcemanager", f"v3/projects/{name}")
    except RefusedError as error:
        if error.status not in (403, 404):
            raise
        # The API does not tell one from the other.
        return Finding("project", "bad", "missing", {"project": name, "said": one_line(error)})
    state = str(found.get("state", "ACTIVE"))
    facts = {"project": name, "title": found.get("displayName", name), "state": state}
    return Finding("project", "good" if state == "ACTIVE" else "bad", "state", facts)


def apis(context: Context) -> Finding | None:
    """Look which of the APIs that the profile needs are not enabled."""
    if not context.is_in_google:
        return None
    name = context.params.cloud.project
    wanted = [f"{api}.googleapis.com" for api in needed_apis(context)]
    names = [f"projects/{name}/services/{api}" for api in wanted]
    found = context.apis.ask(
        "serviceusage", f"v1/projects/{name}/services:batchGet", {"names": names}
    )
    enabled = {
        str(service["name"]).rpartition("/")[2]
        for service in found.get("services", [])
        if service.get("state") == "ENABLED"
    }
    return _lacking("apis", wanted, enabled, project=name)


def needed_apis(context: Context) -> tuple[str, ...]:
    """Return the APIs that the profile needs."""
    return (*APIS, KAFKA_API) if context.is_kafka_managed else APIS


def permissions(context: Context) -> Finding | None:
    """Look what who asks may not do in the project."""
    if not context.is_in_google:
        return None
    name = context.params.cloud.project
    found = context.apis.ask(
        "cloudresourcemanager",
        f"v3/projects/{name}:testIamPermissions",
        body={"permissions": list(PERMISSIONS)},
    )
    return _lacking("permissions", PERMISSIONS, found.get("permissions", []), project=name)


def bucket_permissions(context: Context) -> Finding | None:
    """Look what who asks may not do with the objects of the archive."""
    if not has_generations(context.params.cloud.archive):
        return None
    name = bucket_name(context.params.cloud.archive)
    found = context.apis.ask(
        "storage",
        f"storage/v1/b/{name}/iam/testPermissions",
        {"permissions": list(OBJECT_PERMISSIONS)},
    )
    granted = found.get("permissions", [])
    return _lacking("bucket_permissions", OBJECT_PERMISSIONS, granted, bucket=name)


def service_account(parameter: str) -> Check:
    """Return the check that an account is there, and may be given to what runs as it."""

    def check(context: Context) -> Finding | None:
        of_workers = parameter == "dataflow_service_account"
        email = str(context.params.value(parameter))
        if not email or (of_workers and context.params.engine.runner != "dataflow"):
            return None
        return _account(context, parameter, email)

    return check


def _account(context: Context, parameter: str, email: str) -> Finding:
    path = f"v1/projects/-/serviceAccounts/{email}"
    facts = {"account": email}
    found = context.apis.find("iam", path)
    if found is None:
        return Finding(parameter, "bad", "no_account", facts)
    if found.get("disabled"):
        return Finding(parameter, "bad", "disabled_account", facts)
    granted = context.apis.ask("iam", f"{path}:testIamPermissions", body={"permissions": [ACT_AS]})
    may = ACT_AS in granted.get("permissions", [])
    return Finding(parameter, "good" if may else "bad", "account" if may else "not_given", facts)


def bucket_name(uri: str) -> str:
    """Return the bucket of a ``gs://`` URI."""
    return uri.removeprefix("gs://").partition("/")[0]


def _lacking(check: str, wanted: Iterable[str], found: Iterable[str], **facts: str) -> Finding:
    wanted, found = list(wanted), set(found)
    lacking = [name for name in wanted if name not in found]
    known = {"lacking": lacking, "count": len(wanted), **facts}
    return Finding(check, "bad" if lacking else "good", "lacking" if lacking else "all", known)
