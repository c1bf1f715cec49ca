"""What listens while everything runs: on loopback alone, for this user, and for no web page."""

from __future__ import annotations

import http.client
import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import strangers
import worlds

from spotify_mlops import sources
from spotify_mlops.config.params import Params
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, secret, state
from spotify_mlops.operations import apps as deploy

NOBODY = 65534
TOKEN = "of-this-test"
PREFACE = """
import os, socket, sys
if sys.argv[2]:
    os.setuid(int(sys.argv[2]))
with socket.socket() as client:
    client.connect(("127.0.0.1", int(sys.argv[1])))
    client.settimeout(30)
    try:
        client.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n")
        client.sendall(bytes.fromhex("000000040000000000"))
        print(len(client.recv(9)))
    except ConnectionError:
        print(0)
"""
"""How an HTTP/2 client begins; prints how much of the server's first frame (9 bytes) came back."""


@pytest.fixture(scope="module")
def running(
    world: worlds.World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, state.Record]]:
    """Everything that listens: services, streaming job, endpoint, live page, JupyterLab."""
    settings = worlds.make()
    sources.ingest_simulator(settings)
    started = {name: state.get(name) for name in ("kafka", "bigquery", "mongo", "vertex")}
    apps = {
        "stream": lambda: deploy.start_stream(settings),
        "page": lambda: deploy.start_dashboard(settings, "sockets-page"),
        "serve": lambda: serve(world.settings),
        "lab": lambda: lab(tmp_path_factory.mktemp("lab")),
    }
    try:
        for name, start in apps.items():
            started[name] = start()
        yield {name: record for name, record in started.items() if record is not None}
    finally:
        for name in apps:
            if (record := started.get(name)) is not None:
                processes.stop(record)


def serve(settings: Params) -> state.Record:
    port = ports.free()
    return processes.start(
        "sockets-serve",
        [
            *(sys.executable, "-m", "spotify_mlops", "serve"),
            "--params",
            str(deploy.params_file(settings)),
        ],
        env={"AIP_HTTP_PORT": str(port)},
        ready=lambda: True,
        ports={"http": port},
    )


def lab(folder: Path) -> state.Record:
    """Start JupyterLab as ``make lab`` does, and a kernel in it."""
    port = ports.free()
    record = processes.start(
        "sockets-lab",
        [
            *(sys.executable, "-m", "jupyter", "lab", "notebooks", "--no-browser", "--allow-root"),
            *(f"--port={port}", f"--IdentityProvider.token={TOKEN}"),
        ],
        env={"JUPYTER_RUNTIME_DIR": str(folder), "JUPYTER_CONFIG_DIR": str(folder)},
        ready=lambda: ask_lab(port, "GET", "/api") == 200,
        ports={"http": port},
    )
    assert ask_lab(port, "POST", "/api/kernels") == 201
    deadline = time.monotonic() + 60
    while not any(listening(child) for child in family(record)[1:]):
        assert time.monotonic() < deadline, "the kernel does not start"
        time.sleep(0.1)
    return record


def ask_lab(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=60)
    try:
        connection.request(method, path, headers={"Authorization": f"token {TOKEN}"})
        return connection.getresponse().status
    finally:
        connection.close()


def family(record: state.Record) -> list[psutil.Process]:
    assert record.pid is not None
    root = psutil.Process(record.pid)
    return [root, *root.children(recursive=True)]


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Return where a process takes connections, address and port; nowhere when it has ended."""
    try:
        return [
            (connection.laddr.ip, connection.laddr.port)
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
    except psutil.NoSuchProcess:
        return []


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def test_every_listening_socket_is_on_loopback(running: dict[str, state.Record]) -> None:
    found = {
        name: [
            (process.name(), *socket) for process in family(record) for socket in listening(process)
        ]
        for name, record in running.items()
    }
    assert all(found.values()), found
    assert len({process for process, _, _ in found["stream"]}) == 2  # Prism, and the worker pool
    sockets = [socket for of_one in found.values() for socket in of_one]
    assert not [socket for socket in sockets if not is_loopback(socket[1])]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_prism_answers_this_user_alone(running: dict[str, state.Record]) -> None:
    (prism,) = [p for p in family(running["stream"]) if p.name() == "prism"]
    ((_, port),) = listening(prism)
    assert answered(port, user="") == 9
    assert answered(port, user=str(NOBODY)) == 0


SERVERS = {
    ("kafka", "broker"): "kafka",
    ("kafka", "controller"): "kafka",
    ("mongo", "server"): "mongo",
    ("bigquery", "rest"): "bigquery",
    ("bigquery", "grpc"): "storage",
    ("vertex", "http"): "vertex",
    ("serve", "http"): "serving",
}
"""Ports by process and name, and what speaks there (``strangers.KINDS``)."""


@pytest.mark.parametrize(
    "user",
    [
        None,
        pytest.param(
            NOBODY,
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
        ),
    ],
)
def test_no_server_answers_who_has_no_key(
    running: dict[str, state.Record], user: int | None
) -> None:
    asked = {str(running[name].ports[port]): kind for (name, port), kind in SERVERS.items()}
    if user is not None:  # a browser has no key: the page asks the kernel whose it is
        asked[str(running["page"].ports["http"])] = "page"
    assert strangers.ask(asked, user) == dict.fromkeys(asked, "refused")


WEB = {
    ("bigquery", "rest"): "/bigquery/v2/projects/p/queries",
    ("vertex", "http"): "/v1/projects/p/locations/l/customJobs",
    ("serve", "http"): "/predict",
    ("page", "http"): "/_dash-update-component",
}
KEYS = {"bigquery": "bigquery", "vertex": "vertex", "serve": "serving", "page": "none"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:{port}"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
@pytest.mark.parametrize(("server", "path"), WEB.items(), ids="-".join)
def test_no_server_answers_a_web_page(
    running: dict[str, state.Record],
    server: tuple[str, str],
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    """Not even one that had the key."""
    name, of = server
    port = running[name].ports[of]
    headers = {key: value.format(port=port) for key, value in headers.items()}
    given = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {secret.key(KEYS[name])}",
    }
    assert ask_as_page(port, "POST", path, given | headers) == status
    for method in ("GET", "OPTIONS", "DELETE") if status == 403 else ():
        assert ask_as_page(port, method, path, given | headers) == status


def ask_as_page(port: int, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=60)
    try:
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def answered(port: int, user: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PREFACE, str(port), user],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout)
