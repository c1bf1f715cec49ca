"""What a process asks of Google is heard, whichever library asks, and written down as its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import tls_broker

import storage_server
from loopback import Answering, serving
from rights import calls
from rights.recorder import sitecustomize as recorder

FOLDER = Path(recorder.__file__).parent
ASKS = """
import sys, urllib.request, requests, httplib2, grpc
web, rpc = sys.argv[1:]
requests.get(f"{web}/by/requests?a=1")
requests.post(f"{web}/by/requests", json={"a": 1})
urllib.request.urlopen(f"{web}/by/urllib").close()
httplib2.Http().request(f"{web}/by/httplib2")
with grpc.insecure_channel(rpc) as channel:
    routed = (("x-goog-request-params", "parent=projects%2Fp"),)
    channel.unary_unary("/google.cloud.One/Ask")(b"", metadata=routed)
    list(channel.stream_stream("/google.cloud.Many/Ask")(iter([b""])))
    channel.unary_unary("/another.One/Ask")(b"")
"""
WRITES = """
from apache_beam.io.filesystems import FileSystems
from spotify_mlops.io.storage import objects
for name in ("a", "b"):
    with FileSystems.create(f"gs://archive/{name}") as stream:
        stream.write(b"content" * 100_000)
FileSystems.rename(["gs://archive/a"], ["gs://archive/c"])
FileSystems.delete(["gs://archive/b", "gs://archive/c"])
objects.write("gs://archive/lease", b"{}", replaces=0)
objects.clear("gs://archive")
"""


@pytest.mark.parametrize(
    ("words", "lent", "who"),
    [
        ("python -m spotify_mlops stream --params x", None, "watcher"),
        ("python -m spotify_mlops stream --params x", "deployer", "deployer"),
        ("python -m spotify_mlops cloud deploy", None, "deployer"),
        ("python -m ipykernel_launcher -f x", "deployer", "deployer"),
        ("python -m spotify_mlops archive compact", None, "monitor"),
        ("python -c pass", "dashboards", "dashboards"),
        ("python -m spotify_mlops.serving", "deployer", "serving"),
        ("python -m spotify_mlops.cli.training_job", None, "training"),
        ("python -c main(['local_services.flink.worker'])", None, "stream"),
        ("python -m local_services.vertex", "deployer", recorder.GOOGLE),
        ("python -c pass", None, recorder.TEST),
    ],
)
def test_a_process_has_the_account_of_what_it_does(words: str, lent: str | None, who: str) -> None:
    assert recorder.account(words.split(), lent) == who


class Everything(Answering, BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({})


class Generic(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, details: Any) -> Any:
        if "Many" in details.method:
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: iter([b""]))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: b"")


@pytest.fixture
def rpc() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2), (Generic(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def run(file: Path, code: str, *arguments: str, **variables: str) -> None:
    heard = {"PYTHONPATH": str(FOLDER), recorder.FILE: str(file), recorder.LENT: "monitor"}
    words = [sys.executable, "-c", code, *arguments]
    subprocess.run(words, env=os.environ | heard | variables, check=True, timeout=120)


def test_every_library_is_heard(tmp_path: Path, rpc: str) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Everything)) as server:
        where = f"127.0.0.1:{server.server_port}"
        run(tmp_path / "calls", ASKS, f"http://{where}", rpc)
    found = calls.read(tmp_path / "calls")
    assert {call.who for call in found} == {"monitor"}
    assert [(call.where, call.verb, call.path, call.body) for call in found] == [
        (where, "GET", "/by/requests?a=1", ""),
        (where, "POST", "/by/requests", '{"a": 1}'),
        (where, "GET", "/by/urllib", ""),
        (where, "GET", "/by/httplib2", ""),
        ("", "RPC", "/google.cloud.One/Ask?parent=projects/p", ""),
        ("", "RPC", "/google.cloud.Many/Ask?", ""),
    ]


def test_what_a_server_of_objects_was_asked_was_heard(tmp_path: Path) -> None:
    names = ("GCE_METADATA_HOST", "GCE_METADATA_IP")
    with storage_server.running(), tls_broker.metadata() as identity:
        where = os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://")
        run(tmp_path / "calls", WRITES, **dict.fromkeys(names, identity.address))
    found = calls.read(tmp_path / "calls")
    heard = [(call.verb, call.path) for call in found if call.where == where]
    assert sorted(heard) == sorted(storage_server.asked)
    assert {need.method for need in calls.needs(found)} == {
        *("storage.objects.insert", "storage.objects.copy", "storage.objects.delete"),
        *("storage.objects.get", "storage.objects.list"),
    }
