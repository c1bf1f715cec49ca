"""The secret of the state directory, and whose a connection is."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from spotify_mlops.config import paths
from spotify_mlops.config.errors import UserError
from spotify_mlops.io.http import peers
from spotify_mlops.io.local import secret


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))


def test_a_key_is_one_for_each_use_and_lasts():
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(secret.key, ["kafka"] * 32))
    assert len(found) == 1
    assert secret.key("mongo") not in found
    assert secret.matches("kafka", found.pop())
    assert not secret.matches("kafka", secret.key("mongo"))
    assert not secret.matches("kafka", "ñ")


def test_only_the_owner_reads_it():
    secret.key("kafka")
    assert (paths.state_dir() / secret.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_one_that_others_could_read_is_refused(mode):
    secret.key("kafka")
    (paths.state_dir() / secret.FILE).chmod(mode)
    with pytest.raises(UserError, match="no es de fiar"):
        secret.key("kafka")


def test_a_short_one_is_refused():
    secret.key("kafka")
    (paths.state_dir() / secret.FILE).write_bytes(b"1")
    with pytest.raises(UserError, match="no es de fiar"):
        secret.key("kafka")


@pytest.mark.parametrize(
    ("family", "host", "asked"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_a_connection_of_this_user(family, host, asked):
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        with socket.create_connection((asked, server.getsockname()[1])):
            accepted, _ = server.accept()
            with accepted:
                ends = accepted.getpeername()[:2], accepted.getsockname()[:2]
                assert peers._user(*ends) == os.geteuid()
                assert peers.is_owner(*ends)
                assert not peers.is_owner((ends[0][0], 1), ends[1])


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_a_connection_that_its_process_has_closed_is_nobodys():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"an order")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(100) == b"an order"
            assert not peers.is_owner(accepted.getpeername(), accepted.getsockname())
