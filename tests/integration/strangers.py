"""What a stranger to the state directory gets from a server: ``python strangers.py JSON``.

Run in a process of its own, because it may give up being root. ``JSON`` is ``{"ports": {PORT:
KIND}, "user": UID or null}``; the answer is a line of JSON, what each port said by number.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Callable

PATIENCE = 20.0


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


KINDS: dict[str, Callable[[int], str]] = {"kafka": kafka, "mongo": mongo}


def main(asked: dict) -> dict[str, str]:
    """Become the user, then ask each port."""
    import pymongo  # noqa: F401  # before: a stranger may not read the environment's files

    if asked["user"] is not None:
        os.setgroups([])
        os.setgid(asked["user"])
        os.setuid(asked["user"])
    return {port: KINDS[kind](int(port)) for port, kind in asked["ports"].items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
