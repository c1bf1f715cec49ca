"""What a stranger to the state directory gets from a server: ``python strangers.py JSON``.

Run in a process of its own, because it may give up being root. ``JSON`` is ``{"ports": {PORT:
KIND}, "user": UID or null}``; the answer is a line of JSON, what each port said by number.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

PATIENCE = 20.0


def ask(ports: dict[str, str], user: int | None = None) -> dict[str, str]:
    """Return what a process of ``user`` without the secret gets from each port."""
    request = json.dumps({"ports": ports, "user": user})
    done = subprocess.run(
        [sys.executable, __file__, request], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def exchange(port: int, *requests: bytes) -> bytes:
    """Send requests one after the other and return the last answer; empty when it closed."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        for request in requests:
            connection.sendall(request)
            try:
                answer = connection.recv(65_536)
            except ConnectionResetError:
                answer = b""
    return answer


def _kafka_request(api: int, version: int, body: bytes) -> bytes:
    header = struct.pack(">hhih", api, version, 1, 8) + b"stranger"
    return struct.pack(">i", len(header) + len(body)) + header + body


def kafka(port: int) -> str:
    """Ask for the metadata of all topics, and for a mechanism that sends passwords as they are."""
    versions = exchange(port, _kafka_request(18, 0, b""))
    assert versions, "the broker is there and speaks"
    metadata = exchange(port, _kafka_request(3, 1, struct.pack(">i", -1)))
    plain = exchange(port, _kafka_request(17, 1, struct.pack(">h", 5) + b"PLAIN"))
    unsupported = struct.unpack(">h", plain[8:10])[0] == 33
    return "refused" if metadata == b"" and unsupported else f"{metadata!r} {plain!r}"


def mongo(port: int) -> str:
    """Find, insert and list through PyMongo, without a password and with a wrong one."""
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    wrong = {"username": "owner", "password": "0" * 64, "authMechanism": "SCRAM-SHA-256"}
    for user, code in (({}, 13), (wrong, 18)):
        with MongoClient("127.0.0.1", port, directConnection=True, **user) as client:
            for ask in (
                lambda: client["spotify_db"]["tracks"].find_one(),
                lambda: client["spotify_db"]["tracks"].insert_one({}),
                lambda: client.list_database_names(),
                lambda: client.admin.command("serverStatus"),
            ):
                try:
                    return f"answered {ask()}"
                except OperationFailure as error:
                    if error.code != code:
                        return str(error)
    return "refused"


def http_server(*asked: tuple[str, str]) -> Callable[[int], str]:
    """Make a kind that sends requests of JSON, without a key and with wrong ones."""

    def ask(port: int) -> str:
        for method, path in asked:
            for headers in ({}, *({"authorization": value} for value in WRONG)):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                connection.request(method, path, b"{}", JSON | headers)
                answer = connection.getresponse()
                if answer.status != 401:
                    return f"{method} {path} {headers}: {answer.status} {answer.read()!r}"
                connection.close()
        return "refused"

    return ask


def storage(port: int) -> str:
    """Call BigQuery's Storage APIs in all the ways of gRPC, without a key and with wrong ones."""
    import grpc

    service = "/google.cloud.bigquery.storage.v1.BigQuery"
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = (
            channel.unary_unary(f"{service}Read/CreateReadSession"),
            channel.unary_unary(f"{service}Write/CreateWriteStream"),
            channel.unary_stream(f"{service}Read/ReadRows"),
            channel.stream_stream(f"{service}Write/AppendRows"),
            channel.unary_unary("/grpc.health.v1.Health/Check"),
            channel.unary_unary("/nothing/Known"),
        )
        for call in calls:
            asked = iter([b""]) if isinstance(call, grpc.StreamStreamMultiCallable) else b""
            for metadata in ((), *((("authorization", value),) for value in WRONG)):
                try:
                    answer = call(asked, metadata=metadata, timeout=PATIENCE)
                    return f"answered {answer if isinstance(answer, bytes) else list(answer)}"
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                        return str(error)
    return "refused"


def page(port: int) -> str:
    """Ask for the live page."""
    answer = exchange(port, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    return f"answered {answer!r}" if answer else "refused"


JSON = {"content-type": "application/json"}
WRONG = ("Bearer " + "0" * 64, "0" * 64, "Basic b3duZXI6", "Bearer")
KINDS: dict[str, Callable[[int], str]] = {
    "kafka": kafka,
    "mongo": mongo,
    "bigquery": http_server(
        ("GET", "/bigquery/v2/projects/p/datasets"),
        ("POST", "/bigquery/v2/projects/p/queries"),
        ("POST", "/upload/bigquery/v2/projects/p/jobs?uploadType=resumable"),
        ("GET", "/metrics"),
        ("GET", "/readyz"),
        ("GET", "/unknown"),
    ),
    "storage": storage,
    "page": page,
    "vertex": http_server(
        ("GET", "/v1/projects/p/locations/l/models"),
        ("POST", "/v1/projects/p/locations/l/customJobs"),
        ("POST", "/v1/projects/p/locations/l/endpoints/e:predict"),
        ("GET", "/unknown"),
    ),
    "serving": http_server(
        ("POST", "/predict"),
        ("POST", "/v1/projects/p/locations/l/endpoints/e:predict"),
        ("GET", "/metrics"),
        ("GET", "/unknown"),
    ),
}


def main(asked: dict) -> dict[str, str]:
    """Become the user, then ask each port."""
    import grpc  # noqa: F401  # before: a stranger may not read the environment's files
    import pymongo  # noqa: F401

    if asked["user"] is not None:
        os.setgroups([])
        os.setgid(asked["user"])
        os.setuid(asked["user"])
    return {port: KINDS[kind](int(port)) for port, kind in asked["ports"].items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
