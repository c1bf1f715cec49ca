"""What each call needs and what each role gives, as far as this project asks for it.

From Google's documentation, by the names of its pages. What whoever made something may do with it
by that (look at a query's job, or at an operation, that one began) is nothing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\{(?P<name>\w+)\}|(?P<rest>\*\*)|(?P<part>\*)|\[(?P<optional>[^]]*)\]")


@dataclass(frozen=True)
class Method:
    """A method of an API."""

    name: str
    """As the API's reference has it."""
    verbs: tuple[str, ...]
    """Of HTTP; ``RPC`` for gRPC."""
    path: re.Pattern[str]
    """Of all of it; its groups name resources."""
    needs: tuple[str, ...]
    """The permissions of whoever calls it, whatever it says; `calls` adds what that asks for."""

    @classmethod
    def of(cls, row: str) -> Method:
        """Read a row of the table."""
        name, verbs, path, needs = row.split()
        permissions = () if needs == "-" else tuple(needs.split(","))
        return cls(name, tuple(verbs.split("|")), re.compile(_pattern(path)), permissions)


def _pattern(template: str) -> str:
    """Return the expression of a path: ``{name}`` and ``*`` are a part of it, ``**`` the rest,
    and what is in ``[]`` may be missing."""
    found, at, names = "", 0, set()
    for token in _TOKEN.finditer(template):
        found += re.escape(template[at : token.start()])
        at = token.end()
        if (name := token["name"]) is not None:
            found += f"(?P={name})" if name in names else f"(?P<{name}>[^/:@]+)"
            names.add(name)
        elif (optional := token["optional"]) is not None:
            found += f"(?:{re.escape(optional)})?"
        else:
            found += ".+" if token["rest"] else "[^/:]+"
    return found + re.escape(template[at:])


def _methods(table: str) -> tuple[Method, ...]:
    rows = (line.strip() for line in table.splitlines())
    return tuple(Method.of(row) for row in rows if row and not row.startswith("#"))


METHODS = _methods("""
    # Cloud Storage: "IAM permissions for JSON methods". What is written may take another's place.
    storage.buckets.get     GET       /storage/v1/b/{bucket}         storage.buckets.get
    storage.buckets.testIamPermissions GET /storage/v1/b/{bucket}/iam/testPermissions -
    storage.objects.list    GET       /storage/v1/b/{bucket}/o       storage.objects.list
    storage.objects.insert  POST|PUT  /upload/storage/v1/b/{bucket}/o \
        storage.objects.create,storage.objects.delete
    storage.objects.get     GET       [/download]/storage/v1/b/{bucket}/o/** storage.objects.get
    storage.objects.delete  DELETE    /storage/v1/b/{bucket}/o/**    storage.objects.delete
    storage.objects.patch   PATCH     /storage/v1/b/{bucket}/o/** \
        storage.objects.get,storage.objects.update
    storage.objects.copy    POST      /storage/v1/b/{bucket}/o/**/copyTo/b/{bucket}/o/** \
        storage.objects.get,storage.objects.create,storage.objects.delete
    storage.objects.rewrite POST      /storage/v1/b/{bucket}/o/**/rewriteTo/b/{bucket}/o/** \
        storage.objects.get,storage.objects.create,storage.objects.delete

    # BigQuery: "IAM roles and permissions", "Create datasets", "Managing tables"; and the reference
    # of ``datasets.list``, which lists what one may see.
    bigquery.jobs.query     POST      /bigquery/v2/projects/*/queries bigquery.jobs.create
    bigquery.jobs.getQueryResults GET /bigquery/v2/projects/*/queries/* -
    bigquery.jobs.insert    POST|PUT  [/upload]/bigquery/v2/projects/*/jobs bigquery.jobs.create
    bigquery.jobs.get       GET       /bigquery/v2/projects/*/jobs/* -
    bigquery.datasets.list  GET       /bigquery/v2/projects/*/datasets -
    bigquery.datasets.insert POST     /bigquery/v2/projects/*/datasets bigquery.datasets.create
    bigquery.datasets.get   GET       /bigquery/v2/projects/*/datasets/{dataset} \
        bigquery.datasets.get
    bigquery.datasets.delete DELETE   /bigquery/v2/projects/*/datasets/{dataset} \
        bigquery.datasets.delete,bigquery.tables.delete
    bigquery.tables.list    GET       /bigquery/v2/projects/*/datasets/{dataset}/tables \
        bigquery.tables.list
    bigquery.tables.insert  POST      /bigquery/v2/projects/*/datasets/{dataset}/tables \
        bigquery.tables.create
    bigquery.tables.get     GET       /bigquery/v2/projects/*/datasets/{dataset}/tables/* \
        bigquery.tables.get
    bigquery.tables.patch   PATCH|PUT /bigquery/v2/projects/*/datasets/{dataset}/tables/* \
        bigquery.tables.get,bigquery.tables.update
    bigquery.tables.delete  DELETE    /bigquery/v2/projects/*/datasets/{dataset}/tables/* \
        bigquery.tables.delete
    bigquery.tabledata.list GET       /bigquery/v2/projects/*/datasets/{dataset}/tables/*/data \
        bigquery.tables.getData

    # BigQuery Storage: "Use the BigQuery Storage Read API", "BigQuery Storage Write API". Behind
    # the method is what routes the call.
    bigquerystorage.createReadSession RPC \
        /google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession?\
read_session.table=projects/*/datasets/{dataset}/tables/** \
        bigquery.readsessions.create,bigquery.tables.getData
    bigquerystorage.readRows RPC \
        /google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows?** bigquery.readsessions.getData
    bigquerystorage.createWriteStream RPC \
        /google.cloud.bigquery.storage.v1.BigQueryWrite/CreateWriteStream?\
parent=projects/*/datasets/{dataset}/tables/** bigquery.tables.updateData
    bigquerystorage.appendRows RPC \
        /google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows?\
write_stream=projects/*/datasets/{dataset}/tables/** bigquery.tables.updateData

    # Dataflow: "Access control with IAM". An update is a drain or a cancellation.
    dataflow.jobs.create    POST      /v1b3/projects/*/locations/*/jobs dataflow.jobs.create
    dataflow.jobs.list      GET       /v1b3/projects/*/locations/*/jobs dataflow.jobs.list
    dataflow.jobs.get       GET       /v1b3/projects/*/locations/*/jobs/* dataflow.jobs.get
    dataflow.jobs.update    PUT       /v1b3/projects/*/locations/*/jobs/* \
        dataflow.jobs.updateContents,dataflow.jobs.cancel
    dataflow.messages.list  GET       /v1b3/projects/*/locations/*/jobs/*/messages \
        dataflow.messages.list
    dataflow.metrics.get    GET       /v1b3/projects/*/locations/*/jobs/*/metrics \
        dataflow.metrics.get

    # Vertex AI: "IAM permissions"
    aiplatform.models.upload POST     /v1/projects/*/locations/*/models:upload \
        aiplatform.models.upload
    aiplatform.models.list  GET       /v1/projects/*/locations/*/models aiplatform.models.list
    aiplatform.models.get   GET       /v1/projects/*/locations/*/models/* aiplatform.models.get
    aiplatform.models.listVersions GET /v1/projects/*/locations/*/models/*:listVersions \
        aiplatform.models.list
    aiplatform.models.patch PATCH     /v1/projects/*/locations/*/models/* aiplatform.models.update
    aiplatform.models.mergeVersionAliases POST \
        /v1/projects/*/locations/*/models/*:mergeVersionAliases aiplatform.models.update
    aiplatform.models.evaluations.import POST \
        /v1/projects/*/locations/*/models/*/evaluations:import aiplatform.modelEvaluations.import
    aiplatform.models.evaluations.list GET \
        /v1/projects/*/locations/*/models/*/evaluations aiplatform.modelEvaluations.list
    aiplatform.endpoints.create POST  /v1/projects/*/locations/*/endpoints \
        aiplatform.endpoints.create
    aiplatform.endpoints.get GET      /v1/projects/*/locations/*/endpoints/* \
        aiplatform.endpoints.get
    aiplatform.endpoints.patch PATCH  /v1/projects/*/locations/*/endpoints/* \
        aiplatform.endpoints.update
    aiplatform.endpoints.delete DELETE /v1/projects/*/locations/*/endpoints/* \
        aiplatform.endpoints.delete
    aiplatform.endpoints.deployModel POST \
        /v1/projects/*/locations/*/endpoints/*:deployModel aiplatform.endpoints.deploy
    aiplatform.endpoints.undeployModel POST \
        /v1/projects/*/locations/*/endpoints/*:undeployModel aiplatform.endpoints.undeploy
    aiplatform.endpoints.predict POST /v1/projects/*/locations/*/endpoints/*:predict \
        aiplatform.endpoints.predict
    aiplatform.endpoints.rawPredict POST \
        /v1/projects/*/locations/*/endpoints/*:rawPredict aiplatform.endpoints.predict
    aiplatform.endpoints.operations.list GET \
        /ui/projects/*/locations/*/endpoints/*/operations aiplatform.operations.list
    aiplatform.endpoints.operations.get GET \
        /ui/projects/*/locations/*/endpoints/*/operations/* -
    aiplatform.operations.get GET     /ui/projects/*/locations/*/operations/* -
    aiplatform.customJobs.create POST /v1/projects/*/locations/*/customJobs \
        aiplatform.customJobs.create
    aiplatform.customJobs.get GET     /v1/projects/*/locations/*/customJobs/* \
        aiplatform.customJobs.get

    # "Access control with IAM" of each. Where all are at one address, a path begins with the API.
    secretmanager.versions.access GET \
        [/secretmanager]/v1/projects/*/secrets/{secret}/versions/*:access \
        secretmanager.versions.access
    secretmanager.versions.get GET    [/secretmanager]/v1/projects/*/secrets/{secret}/versions/* \
        secretmanager.versions.get
    cloudresourcemanager.projects.get GET [/cloudresourcemanager]/v3/projects/* \
        resourcemanager.projects.get
    cloudresourcemanager.projects.testIamPermissions POST \
        [/cloudresourcemanager]/v3/projects/*:testIamPermissions -
    serviceusage.services.batchGet GET [/serviceusage]/v1/projects/*/services:batchGet \
        serviceusage.services.get
    iam.serviceAccounts.get GET       [/iam]/v1/projects/-/serviceAccounts/{account}@* \
        iam.serviceAccounts.get
    iam.serviceAccounts.testIamPermissions POST \
        [/iam]/v1/projects/-/serviceAccounts/{account}@*:testIamPermissions -
    compute.regions.get     GET       [/compute]/compute/v1/projects/*/regions/* compute.regions.get
    compute.subnetworks.get GET       [/compute]/compute/v1/projects/*/regions/*/subnetworks/* \
        compute.subnetworks.get
    artifactregistry.packages.tags.get GET \
        [/artifactregistry]/v1/projects/*/locations/*/repositories/{repository}/packages/*/tags/* \
        artifactregistry.tags.get
    artifactregistry.dockerImages.get GET \
        [/artifactregistry]/v1/projects/*/locations/*/repositories/{repository}/dockerImages/** \
        artifactregistry.dockerimages.get
    run.workerPools.get     GET       [/run]/v2/projects/*/locations/*/workerPools/{pool} \
        run.workerpools.get
    run.workerPools.patch   PATCH     [/run]/v2/projects/*/locations/*/workerPools/{pool} \
        run.workerpools.update
    run.operations.get      GET       [/run]/v2/projects/*/locations/*/operations/* \
        run.operations.get
    cloudasset.searchAllResources GET [/cloudasset]/v1/projects/*:searchAllResources \
        cloudasset.assets.searchAllResources

    # Kafka, which Google runs: "Access control with IAM". What is done there, its own lists allow.
    managedkafka.connect    RPC       kafka? managedkafka.clusters.connect
""")  # fmt: skip

NO_METHOD = re.compile(
    "/|/computeMetadata/.*|/v1/projects/-/serviceAccounts/.*/allowedLocations|/batch/storage/v1"
    "|/jobs/overview"
)
"""Paths of no method: who one is, and where from (google-auth asks both); several methods in one
request, each of which counts; the Flink of this machine, which is asked for other jobs."""

STATEMENTS = {
    "SELECT": ("bigquery.tables.getData",),
    "WITH": ("bigquery.tables.getData",),
    "INSERT": ("bigquery.tables.getData", "bigquery.tables.updateData"),
    "UPDATE": ("bigquery.tables.getData", "bigquery.tables.updateData"),
    "DELETE": ("bigquery.tables.getData", "bigquery.tables.updateData"),
    "MERGE": ("bigquery.tables.getData", "bigquery.tables.updateData"),
    "ALTER": ("bigquery.tables.get", "bigquery.tables.update"),
}
"""What a query needs of its dataset, by its first word ("Run a query", "DML", "DDL")."""
LOAD = ("bigquery.tables.create", "bigquery.tables.update", "bigquery.tables.updateData")
LOAD_FROM = ("storage.buckets.get", "storage.objects.get")
"""To load, and from a bucket without wildcards ("Loading Parquet data from Cloud Storage")."""
ACT_AS = "iam.serviceAccounts.actAs"
"""To start what runs as another ("Attach service accounts to resources")."""

KINDS = {
    "storage.": "bucket",
    "bigquery.datasets.": "dataset",
    "bigquery.tables.": "dataset",
    "secretmanager.": "secret",
    "artifactregistry.": "repository",
    "iam.serviceAccounts.": "account",
    "run.workerpools.": "pool",
}
"""On what a permission is asked for, by its beginning; the others, on the project."""
ON_PROJECT = ("bigquery.datasets.create",)

_READ_OBJECTS = "storage.objects.get storage.objects.list"
_READ_IMAGES = "artifactregistry.dockerimages.get artifactregistry.tags.get"
_READ_TABLES = """
    bigquery.datasets.get bigquery.tables.get bigquery.tables.getData bigquery.tables.list"""
_PROJECT = "resourcemanager.projects.get"

ROLES = {
    role: frozenset(permissions.split())
    for role, permissions in {
        "roles/aiplatform.user": f"""
            aiplatform.customJobs.create aiplatform.customJobs.get
            aiplatform.endpoints.create aiplatform.endpoints.delete aiplatform.endpoints.deploy
            aiplatform.endpoints.get aiplatform.endpoints.predict aiplatform.endpoints.undeploy
            aiplatform.endpoints.update aiplatform.modelEvaluations.import
            aiplatform.modelEvaluations.list aiplatform.models.get aiplatform.models.list
            aiplatform.models.update aiplatform.models.upload aiplatform.operations.list
            {_PROJECT}""",
        "roles/artifactregistry.reader": _READ_IMAGES,
        "roles/artifactregistry.writer": f"""
            {_READ_IMAGES} artifactregistry.repositories.uploadArtifacts""",
        "roles/bigquery.dataEditor": f"""
            {_READ_TABLES} bigquery.tables.create bigquery.tables.delete
            bigquery.tables.update bigquery.tables.updateData""",
        "roles/bigquery.dataViewer": _READ_TABLES,
        "roles/bigquery.jobUser": f"bigquery.jobs.create {_PROJECT}",
        "roles/bigquery.readSessionUser": f"""
            bigquery.readsessions.create bigquery.readsessions.getData {_PROJECT}""",
        "roles/cloudasset.viewer": "cloudasset.assets.searchAllResources",
        "roles/compute.viewer": f"compute.regions.get compute.subnetworks.get {_PROJECT}",
        "roles/dataflow.developer": f"""
            dataflow.jobs.cancel dataflow.jobs.create dataflow.jobs.get dataflow.jobs.list
            dataflow.jobs.updateContents dataflow.messages.list dataflow.metrics.get {_PROJECT}""",
        "roles/iam.serviceAccountUser": f"{ACT_AS} iam.serviceAccounts.get {_PROJECT}",
        "roles/logging.logWriter": "logging.logEntries.create",
        "roles/managedkafka.client": "managedkafka.clusters.connect",
        "roles/monitoring.metricWriter": "monitoring.timeSeries.create",
        "roles/run.developer": "run.operations.get run.workerpools.get run.workerpools.update",
        "roles/run.invoker": "run.jobs.run",
        "roles/secretmanager.secretAccessor": "secretmanager.versions.access",
        "roles/secretmanager.viewer": "secretmanager.versions.get",
        "roles/serviceusage.serviceUsageViewer": "serviceusage.services.get",
        "roles/storage.legacyBucketReader": "storage.buckets.get storage.objects.list",
        "roles/storage.objectUser": f"""
            {_READ_OBJECTS} storage.objects.create storage.objects.delete
            storage.objects.update""",
        "roles/storage.objectViewer": _READ_OBJECTS,
    }.items()
}
"""What a role gives of what is asked for here, or what it is granted for ("IAM roles and
permissions index"); most give more. That of the project, where it was granted on one."""

ELSEWHERE: dict[tuple[str, str, str], str] = {
    **{
        (who, "roles/logging.logWriter", ""): "the agents of what runs there write it"
        for who in ("stream", "watcher", "training", "serving", "monitor")
    },
    ("stream", "roles/monitoring.metricWriter", ""): "the agent of a Dataflow worker writes them",
    ("stream", "roles/artifactregistry.reader", ""): "a Dataflow worker pulls its image",
    ("stream", "roles/storage.legacyBucketReader", ""): "the harness of a Dataflow worker looks at "
    "the bucket of its graph, as roles/dataflow.worker lets it",
    ("watcher", "roles/bigquery.readSessionUser", ""): "an answer of more than a page, such as "
    "a thousand dead letters, comes by a session",
    ("stream", "worker", ""): "the harness of a Dataflow worker asks the service for work",
    ("scheduler", "roles/run.invoker", ""): "Cloud Scheduler starts the jobs by itself",
    ("monitor", "roles/iam.serviceAccountUser", "serving"): "a retrained model is deployed after "
    "more new windows than a rehearsal has; tests/integration/test_lifecycle.py goes so far",
}
"""Why a grant is put to use by a project that lives, and by no rehearsal: of whom, which role, and
on what by its name, where the account has that role on something else too."""
