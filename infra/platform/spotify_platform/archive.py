"""The archive: the bucket of the log's records, of models, of training sets and of graphs."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_gcp import storage

from . import grants
from .grants import Account, allow
from .names import Role
from .place import Place

_OLDER_VERSIONS_DAYS = 7
"""How long what was overwritten or deleted can be had back; leases alone are written every 20 s."""
_GRAPH_DAYS = 30
"""How long the graph of a job is kept, which nobody reads once the job runs."""
_OBJECTS = "roles/storage.objectUser"
"""To read, write, list and delete objects (a lease is one)."""
_SETTINGS = "roles/storage.legacyBucketReader"
"""To see the bucket's settings, as who sends a graph, runs it or loads from there does."""


def make(place: Place, accounts: Mapping[Role, Account]) -> storage.Bucket:
    """Make the bucket: nothing in it can be made public, by anybody."""
    params = place.params
    graphs = params.dataflow.staging.removeprefix(f"gs://{place.names.bucket}").strip("/")
    rules = [_deleting(days_since_noncurrent_time=_OLDER_VERSIONS_DAYS)]
    if graphs:
        rules.append(_deleting(age=_GRAPH_DAYS, matches_prefixes=[f"{graphs}/"]))
    bucket = storage.Bucket(
        "archive",
        name=place.names.bucket,
        location=params.cloud.location,
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        versioning=storage.BucketVersioningArgs(enabled=True),
        soft_delete_policy=storage.BucketSoftDeletePolicyArgs(
            retention_duration_seconds=0  # versions do it, and Beam warns of a second way
        ),
        lifecycle_rules=rules,
        force_destroy=not params.platform.deletion_protection,
        opts=place.holding_data(),
    )
    of_bucket = grants.bucket(bucket)
    for role in ("training", "monitor"):
        allow(place, accounts[role], of_bucket, _OBJECTS)
    for sender in ("stream", "watcher", "deployer"):
        allow(place, accounts[sender], of_bucket, _OBJECTS, _SETTINGS)
    allow(place, accounts["serving"], of_bucket, "roles/storage.objectViewer")
    return bucket


def _deleting(
    *,
    age: int | None = None,
    days_since_noncurrent_time: int | None = None,
    matches_prefixes: list[str] | None = None,
) -> storage.BucketLifecycleRuleArgs:
    return storage.BucketLifecycleRuleArgs(
        action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
        condition=storage.BucketLifecycleRuleConditionArgs(
            age=age,
            days_since_noncurrent_time=days_since_noncurrent_time,
            matches_prefixes=matches_prefixes,
        ),
    )
