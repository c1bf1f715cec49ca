"""Least privilege: that the comparison of calls and grants finds what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spotify_platform.inventory import Declared

from rights import calls, comparison, tables
from rights.calls import PROJECT, Call, Need
from rights.comparison import Grant
from spotify_mlops.operations.cloud.check import identity

JOBS = "/v1b3/projects/p/locations/l/jobs"
STREAM = "stream@p.iam.gserviceaccount.com"
SENT = Call("watcher", "h:1", "POST", JOBS, json.dumps({"environment": {
    "serviceAccountEmail": STREAM}}))  # fmt: skip


@pytest.fixture(scope="module")
def granted(resources: list[Declared]) -> list[Grant]:
    return comparison.declared(resources)


def needs_of(granted: list[Grant]) -> set[Need]:
    """Return needs that put every grant to use that is not excused."""
    return {
        Need(grant.who, permission, grant.on, "some.method")
        for grant in granted
        if not comparison.excused(grant)
        for permission in grant.permissions
    }


def test_what_the_program_grants_is_what_is_written_down(granted: list[Grant]) -> None:
    lines = comparison.FILE.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(map(str, granted)), f"write this in {comparison.FILE}"
    assert [str(grant) for grant in comparison.written()] == lines


def test_what_is_granted_and_used_is_neither_missing_nor_unused(granted: list[Grant]) -> None:
    needs = needs_of(granted)
    assert comparison.missing(needs, granted) == []
    assert comparison.unused(needs, granted) == []


def test_a_grant_that_is_not_there_is_told_with_account_call_and_resource(
    granted: list[Grant],
) -> None:
    needs = calls.needs([SENT])
    assert comparison.missing(needs, granted) == []
    without = [
        grant
        for grant in granted
        if (grant.who, grant.role)
        not in {
            ("watcher", "roles/dataflow.developer"),
            ("watcher", "roles/iam.serviceAccountUser"),
        }
    ]
    assert comparison.missing(needs, without) == [
        "watcher: dataflow.jobs.create on project, for dataflow.jobs.create",
        "watcher: iam.serviceAccounts.actAs on account stream, for dataflow.jobs.create",
    ]


def test_a_right_on_one_thing_is_none_on_another(granted: list[Grant]) -> None:
    bucket = next(grant.on[1] for grant in granted if grant.on[0] == "bucket")
    for name, told in ((bucket, []), (f"{bucket}-2", [f"serving: storage.objects.get on bucket "
                       f"{bucket}-2, for storage.objects.get"])):  # fmt: skip
        call = Call("serving", "h:1", "GET", f"/storage/v1/b/{name}/o/a%2Fb?alt=media", "")
        assert comparison.missing(calls.needs([call]), granted) == told


def test_a_grant_that_nothing_asks_for_is_told(granted: list[Grant]) -> None:
    more = Grant("serving", "roles/bigquery.jobUser", PROJECT, frozenset({"bigquery.jobs.create"}))
    assert comparison.unused(needs_of(granted), [*granted, more]) == [
        "serving: roles/bigquery.jobUser on project: nothing asks for it"
    ]
    # One that gives no more than another does is no better.
    reads = tables.ROLES["roles/storage.objectViewer"]
    on = next(grant.on for grant in granted if grant.on[0] == "bucket")
    twice = Grant("training", "roles/storage.objectViewer", on, reads)
    assert comparison.unused(needs_of(granted), [*granted, twice]) == [
        f"{twice}: nothing asks for it"
    ]


def test_what_is_excused_is_granted_and_not_used(
    granted: list[Grant], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Need("stream", "logging.logEntries.create", PROJECT, "some.method")
    assert comparison.unused({*needs_of(granted), used}, granted) == [
        "stream: roles/logging.logWriter on project: it is used here, too"
    ]
    monkeypatch.setitem(tables.ELSEWHERE, ("serving", "roles/run.invoker", ""), "no reason")
    assert comparison.unused(needs_of(granted), granted) == [
        "serving roles/run.invoker : it is not granted"
    ]


def test_a_call_of_no_known_method_is_refused_with_its_name() -> None:
    call = Call("monitor", "h:1", "POST", "/storage/v1/b/archive/o/a/compose", "")
    with pytest.raises(AssertionError, match="monitor: POST h:1/storage/v1/b/archive/o/a/compose"):
        calls.needs([call])
    assert calls.needs([Call("google", "h:1", "POST", "/whatever", "")]) == set()


QUERY = {"query": "SELECT * FROM `s.spotify_events`", "defaultDataset": {"datasetId": "d"}}
LOAD = {"destinationTable": {"datasetId": "d"}, "sourceUris": ["gs://x/a", "gs://x/b"]}


@pytest.mark.parametrize(
    ("call", "needed"),
    [
        (
            Call("dashboards", "h:1", "POST", "/bigquery/v2/projects/p/queries", json.dumps(QUERY)),
            {("bigquery.jobs.create", PROJECT), ("bigquery.tables.getData", ("dataset", "s"))},
        ),
        (
            Call("watcher", "h:1", "POST", "/bigquery/v2/projects/p/queries",
                 json.dumps(QUERY | {"query": "delete FROM mine WHERE TRUE"})),
            {
                ("bigquery.jobs.create", PROJECT),
                ("bigquery.tables.getData", ("dataset", "d")),
                ("bigquery.tables.updateData", ("dataset", "d")),
            },
        ),
        (
            Call("deployer", "h:1", "POST", "/bigquery/v2/projects/p/jobs",
                 json.dumps({"configuration": {"load": LOAD}})),
            {
                ("bigquery.jobs.create", PROJECT),
                ("bigquery.tables.create", ("dataset", "d")),
                ("bigquery.tables.update", ("dataset", "d")),
                ("bigquery.tables.updateData", ("dataset", "d")),
                ("storage.buckets.get", ("bucket", "x")),
                ("storage.objects.get", ("bucket", "x")),
            },
        ),
        (
            Call("stream", "", "RPC", "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows?"
                 "write_stream=projects/p/datasets/d/tables/t/streams/1", ""),
            {("bigquery.tables.updateData", ("dataset", "d"))},
        ),
        (
            Call("stream", "", "RPC", "/google.cloud.bigquery.storage.v1.BigQueryRead/"
                 "CreateReadSession?read_session.table=projects/p/datasets/_1/tables/t", ""),
            {("bigquery.readsessions.create", PROJECT)},
        ),
        (
            Call("monitor", "h:1", "POST", "/batch/storage/v1", "--1\n\nDELETE http://h:1/storage"
                 "/v1/b/x/o/a%2Fb?prettyPrint=false HTTP/1.1\nUser-Agent: y\n\n--1--\n"),
            {("storage.objects.delete", ("bucket", "x"))},
        ),
        (
            Call("deployer", "h:1", "PATCH", "/run/v2/projects/p/locations/l/workerPools/w", "{}"),
            {
                ("run.workerpools.update", ("pool", "w")),
                ("iam.serviceAccounts.actAs", ("account", "watcher")),
            },
        ),
    ],
)  # fmt: skip
def test_what_a_call_needs_is_read_from_what_it_says(
    call: Call, needed: set[tuple[str, tuple[str, str]]]
) -> None:
    assert {(need.permission, need.on) for need in calls.needs([call])} == needed


def test_a_body_belongs_to_the_call_before_it_in_its_process(tmp_path: Path) -> None:
    file = tmp_path / "calls"
    head = {"who": "watcher", "where": "h:1", "method": "POST", "path": JOBS, "call": 0,
            "beside": False}  # fmt: skip
    lines = [head | {"pid": pid} for pid in (1, 2)]
    lines += [{"who": "watcher", "pid": 2, "call": 0, "body": part} for part in ('{"a"', ": 1}")]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert [call.body for call in calls.read(file)] == ["", '{"a": 1}']


def test_who_deploys_is_asked_for_what_the_project_gives_and_the_bucket(
    granted: list[Grant],
) -> None:
    """``cloud check`` tells of a right that lacks: of one that is given elsewhere, it would."""
    given = {kind: set[str]() for kind in ("project", "bucket")}
    for grant in granted:
        if grant.who == "deployer" and grant.on[0] in given:
            given[grant.on[0]] |= grant.permissions
    assert set(identity.PERMISSIONS) <= given["project"]
    assert set(identity.OBJECT_PERMISSIONS) <= given["bucket"]
