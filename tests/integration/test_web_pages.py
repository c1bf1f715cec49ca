"""A page of another site, in a real Chromium, against the servers of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser import chromium, needs_chromium
from playwright.sync_api import Page

from loopback import Answering, serving
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery, vertex
from spotify_mlops.io.local import state

EVIL = "evil.example"
ATTACK = """
async ([url, body, key]) => {
    const outcomes = [];
    const json = {"content-type": "application/json"};
    for (const options of [
        {mode: "no-cors", headers: {"content-type": "text/plain"}},
        {mode: "no-cors"},
        {mode: "cors", headers: {"content-type": "text/plain"}},
        {mode: "cors", headers: json},
        {mode: "cors", headers: {...json, authorization: "Bearer " + key}},
    ]) {
        try {
            const answer = await fetch(url, {method: "POST", body, ...options});
            outcomes.push(answer.type === "opaque" ? "opaque" : await answer.text());
        } catch (error) {
            outcomes.push("failed");
        }
    }
    return outcomes;
}
"""
READ = """
async (path) => {
    const answer = await fetch(path);
    return [answer.status, await answer.text()];
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of evil.example, whose name its owner can make mean this machine."""

    class Blank(Answering, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title>")

    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Blank)) as site,
        chromium(f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as browser,
    ):
        opened = browser.new_page()
        opened.goto(f"http://{EVIL}:{site.server_port}/")
        yield opened


@pytest.fixture
def params(local_params: Callable[..., Params]) -> Params:
    made = local_params()
    bigquery.client(made).create_dataset(made.bigquery.dataset)
    return made


@needs_chromium
def test_a_page_runs_nothing_in_bigquery(page: Page, params: Params) -> None:
    rest = state.read()["bigquery"].addresses["rest"]
    url = f"{rest}/bigquery/v2/projects/{params.cloud.project}/queries"
    sql = f"CREATE OR REPLACE TABLE {params.bigquery.dataset}.planted AS SELECT 1 AS a"
    body = json.dumps({"query": sql, "useLegacySql": False})
    outcomes = page.evaluate(ATTACK, [url, body, "0" * 64])
    assert set(outcomes) <= {"failed", "opaque"}
    assert list(bigquery.client(params).list_tables(params.bigquery.dataset)) == []


@needs_chromium
def test_a_page_runs_no_job_in_vertex(page: Page, params: Params) -> None:
    url = f"{state.read()['vertex'].addresses['url']}/v1/{vertex.parent(params.cloud)}/customJobs"
    before = {job.resource_name for job in vertex.sdk(params).CustomJob.list()}
    spec = {"imageUri": "i", "command": ["true"]}
    job = {"displayName": "j", "jobSpec": {"workerPoolSpecs": [{"containerSpec": spec}]}}
    outcomes = page.evaluate(ATTACK, [url, json.dumps(job), "0" * 64])
    assert set(outcomes) <= {"failed", "opaque"}
    assert {job.resource_name for job in vertex.sdk(params).CustomJob.list()} == before


@needs_chromium
@pytest.mark.parametrize(
    ("name", "address", "path"), [("bigquery", "rest", "/healthz"), ("vertex", "url", "/healthz")]
)
def test_a_name_that_comes_to_mean_this_machine_opens_nothing(
    page: Page, params: Params, name: str, address: str, path: str
) -> None:
    """Not even what is open to every program: the page would be of the same origin."""
    port = state.read()[name].addresses[address].rpartition(":")[2]
    browser = page.context.browser
    assert browser is not None
    with browser.new_page() as rebound:
        answer = rebound.goto(f"http://{EVIL}:{port}{path}")
        assert answer is not None and answer.status == 403
        status, text = rebound.evaluate(READ, path)
        assert status == 403 and "no es una dirección de esta máquina" in text
