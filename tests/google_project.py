"""A project of Google Cloud for tests: what its APIs answer of it, under one address."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import Answering, serving
from spotify_mlops.config import params
from spotify_mlops.config.params import Params

DIGEST = f"sha256:{'a' * 64}"
_REGISTRY = "us-central1-docker.pkg.dev/own/mlops"
OWN = {
    "project": "own",
    "archive": "gs://own-archive",
    "dataflow_staging": "gs://own-archive/dataflow",
    "dataflow_image": f"{_REGISTRY}/pipeline@{DIGEST}",
    "serving_image": f"{_REGISTRY}/serving:0.1.0",
    "training_image": f"{_REGISTRY}/training:0.1.0",
    "dataflow_service_account": "stream@own.iam.gserviceaccount.com",
    "serving_service_account": "serving@own.iam.gserviceaccount.com",
    "training_service_account": "training@own.iam.gserviceaccount.com",
    "kafka_bootstrap": "broker.managedkafka.own.invalid:9092",
}
"""Values of a profile that is nobody's example."""


class Project(ThreadingHTTPServer):
    """The APIs; ``answers`` has, by a pattern of the path, what is answered instead.

    ``changed`` are the requests that were no question, each its method and path; ``sent``, what
    JSON they brought.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any] | Callable[[str, str], tuple[int, Any]]] = {}
        self.denied: set[str] = set()
        self.disabled: set[str] = set()
        self.free = 200.0
        self.asked: list[str] = []
        self.changed: list[str] = []
        self.sent: list[Any] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def params(self, **changed: Any) -> Params:
        """Return the profile of the cloud, with every address of Google's here."""
        here = {
            "google_apis": self.address,
            "secret_manager": f"{self.address}/secretmanager",
            "bigquery_rest": self.address,
            "vertex": self.address,
            "dataflow_endpoint": self.address,
        }
        return params.load("gcp", **OWN | here | changed)

    def answer_to(
        self, method: str, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        for pattern, answer in self.answers.items():
            if re.search(pattern, path):
                return answer(method, path) if callable(answer) else answer
        if path.endswith("services:batchGet"):
            return 200, {
                "services": [
                    {"name": name, "state": "DISABLED" if api in self.disabled else "ENABLED"}
                    for name in query["names"]
                    for api in [name.rpartition("/")[2]]
                ]
            }
        if path.endswith((":testIamPermissions", "/testPermissions")):
            wanted = body["permissions"] if body else query["permissions"]
            return 200, {"permissions": [each for each in wanted if each not in self.denied]}
        if path.endswith("/regions/us-central1"):
            metrics = ("CPUS", "N2_CPUS", "INSTANCES", "DISKS_TOTAL_GB", "IN_USE_ADDRESSES")
            quotas = [{"metric": m, "limit": 200.0, "usage": 200.0 - self.free} for m in metrics]
            return 200, {"quotas": quotas}
        found = {
            r"^/cloudresourcemanager/v3/projects/own$": {"state": "ACTIVE", "displayName": "Own"},
            r"^/iam/v1/projects/-/serviceAccounts/(stream|serving|training)@[^:]*$": {
                "email": "stream"
            },
            r"/subnetworks/spotify-mlops$": {"privateIpGoogleAccess": True, "ipCidrRange": "r"},
            r"^/storage/v1/b/own-archive$": {"location": "US-CENTRAL1"},
            r"/secrets/mongo-uri/versions/latest$": {"state": "ENABLED"},
            r"/packages/(serving|training)/tags/0.1.0$": {"version": f"x/versions/{DIGEST}"},
            rf"/dockerImages/(pipeline|serving|training)@{DIGEST}$": {},
            r"^/bigquery/v2/projects/own/datasets$": {"datasets": []},
            r"^/v1/projects/health/": {},
            r"^/v1b3/projects/own/locations/us-central1/jobs$": {"jobs": []},
        }
        content = next((c for pattern, c in found.items() if re.search(pattern, path)), None)
        return (404, "not found") if content is None else (200, content)


class _Handler(Answering, BaseHTTPRequestHandler):
    server: Project

    def do_GET(self) -> None:
        self._do(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        of_json = "json" in self.headers.get("Content-Type", "")
        self._do(json.loads(body) if of_json else None)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self._do(None)

    def _do(self, body: Any) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.server.asked.append(path)
        if self.command != "GET" and not path.endswith(":testIamPermissions"):
            self.server.changed.append(f"{self.command} {path}")
            self.server.sent.append(body)
        status, content = self.server.answer_to(self.command, path, parse_qs(parts.query), body)
        if status >= 400:
            content = {"error": {"code": status, "message": content, "status": "X"}}
        self.answer(content, status)


@contextmanager
def running() -> Iterator[Project]:
    """Serve one that has all that the profile of the cloud asks for."""
    with serving(Project()) as project:
        yield project
