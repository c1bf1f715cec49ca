"""Connections that are opened and left: the local servers answer whoever asks all the same."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import pytest

from spotify_mlops.io.http import ports
from spotify_mlops.io.http.connections import Limits
from spotify_mlops.io.local import state

HALF = b"GET / HTTP/1.1\r\nhost: 127.0."


@pytest.mark.parametrize(("name", "port"), [("bigquery", "rest"), ("vertex", "http")])
def test_a_server_answers_beside_half_open_connections(
    services: dict[str, state.Record], name: str, port: str
) -> None:
    from local_services import services as local_services

    address = ports.HOST, state.read()[name].ports[port]
    with ExitStack() as opened:
        silent = []
        for number in range(Limits().connections + 50):
            client = opened.enter_context(socket.create_connection(address, timeout=60))
            client.sendall(HALF if number % 2 else b"")
            silent.append(client)
        found = {status.name: status.state for status in local_services.status()}
        assert found[name] == "running"
        for client in silent[:50]:  # those that had been quiet for longest made room
            with suppress(ConnectionResetError):
                while client.recv(100):
                    pass
