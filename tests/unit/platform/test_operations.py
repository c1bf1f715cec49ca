"""What runs by the clock, what somebody is told of, and what Grafana shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from spotify_platform.inventory import (
    BILLING_ACCOUNT,
    LEAVES_BY,
    PROJECT_NUMBER,
    Declared,
    declared,
    of_kind,
)

from command_tree import command, options
from spotify_mlops.config import carried, params, paths
from spotify_mlops.config.params import Params
from spotify_mlops.operations.cloud import watcher
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.presentation.dashboard import grafana
from spotify_mlops.presentation.dashboard.panels import panels


def test_a_scheduled_command_is_one_of_the_project(resources: list[Declared]) -> None:
    jobs = of_kind(resources, "cloudrunv2.Job")
    assert {job.name for job in jobs} == {"monitor", "audit", "compaction"}
    for job in jobs:
        (container,) = job.inputs["template"]["template"]["containers"]
        assert container["commands"] == ["python", "-m", "spotify_mlops"]
        given = {word for word in container["args"] if word.startswith("-")}
        assert given == {"--json"} and given <= options(command(container["args"]))


def test_a_scheduled_command_has_the_params_of_who_made_it(
    resources: list[Declared], profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in of_kind(resources, "cloudrunv2.Job"):
        (container,) = job.inputs["template"]["template"]["containers"]
        for variable in container["envs"]:
            monkeypatch.setenv(variable["name"], variable["value"])
            assert "$" not in variable["value"]  # Cloud Run replaces $(NAME)
        found = params.load("local")
        assert carried.arguments(found) == carried.arguments(profile)


def test_a_scheduled_command_is_started_by_an_account_that_may_do_nothing_else(
    resources: list[Declared], profile: Params
) -> None:
    cloud = profile.cloud
    names = {job.inputs["name"] for job in of_kind(resources, "cloudrunv2.Job")}
    assert {
        grant.inputs["name"] for grant in of_kind(resources, "cloudrunv2.JobIamMember")
    } == names
    started = of_kind(resources, "cloudscheduler.Job")
    assert {job.inputs["httpTarget"]["uri"] for job in started} == {
        f"https://run.googleapis.com/v2/projects/{cloud.project}/locations/{cloud.location}"
        f"/jobs/{name}:run"
        for name in names
    }
    of_scheduler = [
        one.inputs["role"]
        for one in resources
        if "serviceAccount:scheduler@" in str(one.inputs.get("member"))
    ]
    assert set(of_scheduler) == {"roles/run.invoker"}


def test_the_streaming_job_is_watched_by_one_that_deploying_starts(
    resources: list[Declared], profile: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pool,) = of_kind(resources, "cloudrunv2.WorkerPool")
    assert pool.inputs["name"] == watcher.pool_id(profile)
    assert pool.inputs["scaling"] == {"manualInstanceCount": 0}
    template = pool.inputs["template"]
    assert template["vpcAccess"]["egress"] == "ALL_TRAFFIC"
    (container,) = template["containers"]
    assert container["image"] == profile.dataflow.image
    assert container["commands"] == ["python", "-m", "spotify_mlops"]
    words = [word for word in container["args"] if not word.startswith("-")]
    assert words == ["stream"]
    assert set(container["args"]) - {"stream"} <= options(command(words))
    for variable in container["envs"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    assert carried.arguments(params.load("local")) == carried.arguments(profile)
    # It starts jobs that run as the workers' account, which itself may start none.
    account = template["serviceAccount"]
    given = {
        (one.inputs["role"], one.inputs.get("serviceAccountId", ""))
        for one in resources
        if one.inputs.get("member") == f"serviceAccount:{account}"
    }
    assert ("roles/dataflow.developer", "") in given
    assert [who for role, who in given if role == "roles/iam.serviceAccountUser"] == ["stream"]
    (scaled,) = of_kind(resources, "cloudrunv2.WorkerPoolIamMember")
    assert (scaled.inputs["name"], scaled.inputs["role"]) == (
        pool.inputs["name"], "roles/run.developer",
    )  # fmt: skip
    assert scaled.inputs["member"].startswith("serviceAccount:deployer@")


def test_nothing_is_scheduled_before_there_is_an_image(resources: list[Declared]) -> None:
    made = {one.short for one in declared(params.load("gcp"))}
    later = {one.short for one in resources} - made
    assert {
        *("cloudrunv2.Job", "cloudrunv2.WorkerPool", "cloudscheduler.Job", "logging.Metric")
    } <= later


def test_an_alert_says_what_to_do_in_commands_that_exist(resources: list[Declared]) -> None:
    policies = of_kind(resources, "monitoring.AlertPolicy")
    assert {policy.name for policy in policies} == {
        "audit_red", "lag_records", "freshness_seconds", "stream_silent", "dead_letters",
        "endpoint_errors", "endpoint_latency",
    }  # fmt: skip
    for policy in policies:
        text = policy.inputs["documentation"]["content"]
        for words in re.findall(r"«(?:spotify-mlops )?([a-z][a-z -]+)»", text):
            given = {word for word in words.split() if word.startswith("-")}
            assert given <= options(command(words.split())), words
        assert policy.inputs["notificationChannels"] == ["email-id"]


def test_the_runbook_answers_each_alert_of_the_platform_and_the_boards(
    resources: list[Declared],
) -> None:
    page = (Path(paths.root()) / "docs/guardia.md").read_text(encoding="utf-8")
    (rules,) = (one for one in resources if one.kind.endswith(":RuleGroup"))
    policies = of_kind(resources, "monitoring.AlertPolicy")
    alerts = [policy.inputs["displayName"].partition(" (")[0] for policy in policies]
    answered = re.findall(r"^\| \*\*([^*]+)\*\* \|", page, re.MULTILINE)
    assert sorted(answered) == sorted([*alerts, *(rule["name"] for rule in rules.inputs["rules"])])


def test_an_alert_looks_at_what_there_is(resources: list[Declared], profile: Params) -> None:
    metrics = {one.inputs["name"] for one in of_kind(resources, "logging.Metric")}
    (audit,) = (one for one in of_kind(resources, "cloudrunv2.Job") if one.name == "audit")
    for metric in of_kind(resources, "logging.Metric"):
        assert f'job_name="{audit.inputs["name"]}"' in metric.inputs["filter"]
    (endpoint,) = of_kind(resources, "vertex.AiEndpoint")
    looked_at = set()
    for policy in of_kind(resources, "monitoring.AlertPolicy"):
        text = json.dumps(policy.inputs["conditions"]).replace('\\"', '"')
        looked_at |= set(re.findall(r"logging\.googleapis\.com/user/([^\"]+)\"", text))
        for job in re.findall(r'labels\.job_name="([^"]+)"|[{,]job_name="([^"]+)"', text):
            assert dataflow.job_name(cluster.stream_name(profile)) in job
        for name in re.findall(r'endpoint_id="([^"]+)"', text):
            assert name == endpoint.inputs["name"]
    assert looked_at == metrics


def test_the_numbers_of_an_audit_are_where_the_metrics_look(resources: list[Declared]) -> None:
    import polars as pl

    from spotify_mlops.operations.audit import AuditReport
    from spotify_mlops.operations.lag import Lag

    report = AuditReport(
        pl.DataFrame({"partition": [0]}), None, (), Lag("none", None, None, None, ())
    )
    told = {"jsonPayload": json.loads(json.dumps(report.to_dict(), default=str))}
    for metric in of_kind(resources, "logging.Metric"):
        for field in re.findall(r"jsonPayload[a-z_.]+", str(dict(metric.inputs))):
            value: object = told
            for part in field.split("."):
                assert isinstance(value, dict)
                value = value[part]


def test_the_budget_is_of_the_project_and_tells_who_the_alerts_tell(
    resources: list[Declared], profile: Params
) -> None:
    (budget,) = of_kind(resources, "billing.Budget")
    assert budget.inputs["billingAccount"] == BILLING_ACCOUNT
    assert budget.inputs["budgetFilter"]["projects"] == [f"projects/{PROJECT_NUMBER}"]
    amount = budget.inputs["amount"]["specifiedAmount"]
    assert int(amount["units"]) + amount["nanos"] / 1e9 == profile.platform.monthly_limit
    assert budget.inputs["allUpdatesRule"]["monitoringNotificationChannels"] == ["email-id"]


def test_mongo_lets_in_what_leaves_the_network_and_nobody_else(resources: list[Declared]) -> None:
    (cluster,) = (one for one in resources if one.kind.endswith(":AdvancedCluster"))
    (allowed,) = (one for one in resources if one.kind.endswith(":ProjectIpAccessList"))
    assert cluster.inputs["advancedConfiguration"]["minimumEnabledTlsProtocol"] == "TLS1_2"
    assert set(allowed.inputs) == {"projectId", "ipAddress"}
    assert allowed.inputs["ipAddress"] == LEAVES_BY
    (nat,) = of_kind(resources, "compute.RouterNat")
    (address,) = of_kind(resources, "compute.Address")
    assert nat.inputs["natIpAllocateOption"] == "MANUAL_ONLY" and address.name in nat.after


def test_grafana_has_the_boards_that_are_committed_and_a_rule_for_each_limit(
    resources: list[Declared], profile: Params
) -> None:
    boards = {one.name: one for one in resources if one.kind.endswith(":Dashboard")}
    assert {name: one.inputs["configJson"] for name, one in boards.items()} == {
        name: grafana.dashboard(board, profile) for board, (name, _) in grafana.BOARDS.items()
    }
    (source,) = (one for one in resources if one.kind.endswith(":DataSource"))
    assert source.inputs["type"] == grafana.DATA_SOURCE
    described = Path(paths.root()) / "dashboards/provisioning/datasources"
    (file,) = described.glob("*.yaml")
    (known,) = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    assert source.inputs["uid"] == known["uid"]
    (group,) = (one for one in resources if one.kind.endswith(":RuleGroup"))
    limits = {
        panel.title: threshold.value
        for panel in panels(profile)
        for threshold in panel.thresholds
        if threshold.status == "critical"
    }
    assert len(group.inputs["rules"]) == len(limits) >= 4
    for rule in group.inputs["rules"]:
        query, _, beyond = (json.loads(data["model"]) for data in rule["datas"])
        assert beyond["expression"] == f"$B >= {limits[rule['name']]!r}"
        assert not re.search(r"\{[a-z]+\}|\$\{", query["rawSql"]), "a board's variable"
