"""What holds for every resource of the platform, whatever it is."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spotify_platform.inventory import Declared, declared, of_kind

from spotify_mlops.config import paths, references
from spotify_mlops.config.labels import labels
from spotify_mlops.config.params import Params

OF_DATA = {
    "storage.Bucket",
    "bigquery.Dataset",
    "managedkafka.Cluster",
    "managedkafka.Topic",
    "secretmanager.Secret",
    "mongodbatlas:index.AdvancedCluster",
}
"""Kinds that hold data; and tables, but for views."""
ON_DATA = re.compile(
    r"roles/(storage|secretmanager|artifactregistry|dataflow\.(worker|admin)|bigquery\.(data|admin|"
    r"metadata|user)|managedkafka\.(admin|acl|topic|consumer)|iam\.|run\.|pubsub|editor|owner|viewer)"
)
"""Roles that, given on the project, would hold for all data and all accounts in it."""


def grants(resources: list[Declared]) -> list[Declared]:
    return [one for one in resources if re.search(r"I(AM|am)", one.short) and "role" in one.inputs]


def texts(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a resource's inputs, within JSON too, and the last name on the way."""
    if isinstance(value, str):
        try:
            within = json.loads(value)
        except ValueError:
            within = value
        yield from texts(within, at) if not isinstance(within, str) else [(at, within)]
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, at)


def test_rights_are_added_and_those_of_others_stay(resources: list[Declared]) -> None:
    assert grants(resources)
    for grant in grants(resources):
        assert grant.short.endswith(("IAMMember", "IamMember")), grant
        assert isinstance(grant.inputs["member"], str)


def test_no_role_is_a_basic_one(resources: list[Declared]) -> None:
    basic = {"roles/owner", "roles/editor", "roles/viewer"}
    assert not [one for one in grants(resources) if one.inputs["role"] in basic]


def test_rights_on_data_are_on_what_holds_them(resources: list[Declared]) -> None:
    of_project = of_kind(resources, "projects.IAMMember")
    assert of_project
    for grant in of_project:
        assert not ON_DATA.match(grant.inputs["role"]), grant
    for role in of_kind(resources, "projects.IAMCustomRole"):
        reached = {permission.partition(".")[0] for permission in role.inputs["permissions"]}
        assert not reached & {"storage", "bigquery", "secretmanager", "iam", "resourcemanager"}


def test_nobody_but_the_platforms_own_accounts_is_given_anything(
    resources: list[Declared], profile: Params
) -> None:
    own = {
        f"serviceAccount:{one.inputs['accountId']}@project.iam.gserviceaccount.com"
        for one in of_kind(resources, "serviceaccount.Account")
    }
    for grant in grants(resources):
        assert grant.inputs["member"] in own, grant
    for acl in of_kind(resources, "managedkafka.Acl"):
        for entry in acl.inputs["aclEntries"]:
            assert entry["principal"].replace("User:", "serviceAccount:") in own
            assert (entry["permissionType"], entry["operation"] != "ALL") == ("ALLOW", True)


def test_the_table_of_rights_says_what_is_given(resources: list[Declared]) -> None:
    page = (Path(paths.root()) / "docs/plataforma.md").read_text(encoding="utf-8")
    (worker,) = of_kind(resources, "projects.IAMCustomRole")
    given: dict[str, tuple[set[str], set[str]]] = {
        one.inputs["accountId"]: (set(), set())
        for one in of_kind(resources, "serviceaccount.Account")
    }
    for grant in grants(resources):
        role = grant.inputs["role"].removeprefix("roles/")
        account = grant.inputs["member"].removeprefix("serviceAccount:").partition("@")[0]
        elsewhere = grant.short != "projects.IAMMember"
        given[account][elsewhere].add(worker.inputs["roleId"] if role == worker.name else role)
    (said_to_be,) = re.findall(r"los (\d+) recursos que declara", page)
    assert int(said_to_be) == len(resources)
    for account, (of_project, of_data) in given.items():
        (row,) = re.findall(rf"^\| `{account}` \|[^|]*\|([^|]*)\|([^|]*)\|$", page, re.MULTILINE)
        said = [{name for name in re.findall(r"`([\w.]+)`", cell)} - given.keys() for cell in row]
        assert said == [of_project, of_data], account


def test_workers_ask_the_endpoint_only_where_the_live_job_does(profile: Params) -> None:
    for predictor, asks in (("in_process", False), ("endpoint", True)):
        (role,) = of_kind(declared(profile.replace(predictor=predictor)), "projects.IAMCustomRole")
        assert ("aiplatform.endpoints.predict" in role.inputs["permissions"]) is asks


def test_nothing_runs_as_a_default_account(resources: list[Declared]) -> None:
    accounts = {
        f"{one.inputs['accountId']}@" for one in of_kind(resources, "serviceaccount.Account")
    }
    for resource in resources:
        for name, text in texts(dict(resource.inputs)):
            assert not re.search(r"developer\.gserviceaccount|appspot\.gserviceaccount", text)
            if name in ("serviceAccount", "serviceAccountEmail"):
                assert any(text.startswith(account) for account in accounts), resource
    for job in of_kind(resources, "cloudrunv2.Job"):
        assert job.inputs["template"]["template"]["serviceAccount"]
    for pool in of_kind(resources, "cloudrunv2.WorkerPool"):
        assert pool.inputs["template"]["serviceAccount"]


def test_everything_is_labelled(resources: list[Declared], profile: Params) -> None:
    (provider,) = (one for one in resources if one.kind == "pulumi:providers:gcp")
    assert json.loads(provider.inputs["defaultLabels"]) == labels(profile)
    for resource in resources:
        if not resource.kind.startswith("gcp:"):
            continue
        assert f"::{provider.name}::" in resource.provider, resource
        if "user_labels" in arguments(resource):  # which the provider does not give by itself
            assert resource.inputs["userLabels"] == labels(profile), resource


def arguments(resource: Declared) -> set[str]:
    """Return the names of what a resource of Google's provider may be given."""
    module, _, kind = resource.short.partition(".")
    made = getattr(importlib.import_module(f"pulumi_gcp.{module}"), kind)
    return set(inspect.signature(made._internal_init).parameters)


@pytest.mark.parametrize("protection", [True, False])
def test_data_are_protected_unless_the_params_say_otherwise(
    profile: Params, protection: bool
) -> None:
    made = declared(profile.replace(platform_deletion_protection=protection))
    kinds = set()
    for resource in made:
        holds = resource.short in OF_DATA or "schema" in resource.inputs
        assert resource.protected is (holds and protection), resource
        kinds |= {resource.short} if holds else set()
        for name, protected in (
            ("deletionProtection", protection),
            ("terminationProtectionEnabled", protection),
            ("forceDestroy", not protection),
            ("deleteContentsOnDestroy", not protection),
        ):
            if holds and name in resource.inputs:
                assert resource.inputs[name] is protected, resource
    assert kinds >= OF_DATA - {"mongodbatlas:index.AdvancedCluster"} | {"bigquery.Table"}


def test_a_bucket_cannot_be_public_and_keeps_what_is_overwritten(resources: list[Declared]) -> None:
    for bucket in of_kind(resources, "storage.Bucket"):
        assert bucket.inputs["uniformBucketLevelAccess"] is True
        assert bucket.inputs["publicAccessPrevention"] == "enforced"
        assert bucket.inputs["versioning"] == {"enabled": True}
        for rule in bucket.inputs["lifecycleRules"]:  # what is current stays, but for old graphs
            condition = rule["condition"]
            assert condition.get("daysSinceNoncurrentTime") or condition["matchesPrefixes"]


def test_the_log_is_reached_from_its_own_network_alone_and_over_tls(
    resources: list[Declared], profile: Params
) -> None:
    (cluster,) = of_kind(resources, "managedkafka.Cluster")
    access = cluster.inputs["gcpConfig"]["accessConfig"]
    assert set(access) == {"networkConfigs"}
    assert [config["subnet"] for config in access["networkConfigs"]] == [
        f"projects/{profile.cloud.project}/{profile.dataflow.subnetwork}"
    ]
    assert profile.kafka.security_protocol == "SASL_SSL"
    for subnetwork in of_kind(resources, "compute.Subnetwork"):
        assert subnetwork.inputs["privateIpGoogleAccess"] is True
    assert not of_kind(resources, "compute.Firewall")  # nothing comes in


def test_no_input_is_a_secret(resources: list[Declared]) -> None:
    assert not [one for one in resources if "secretVersion" in one.kind]
    secret = re.compile(r"password|secretdata|privatekey|apikey|token$|credential|^auth$", re.I)
    for resource in resources:
        for name, text in texts(dict(resource.inputs)):
            assert not secret.search(name), (resource.name, name)
            references.check_no_secret(name, re.sub(r"^(serviceAccount|User):", "", text))
