"""Where Prism asks for workers, and where it is asked: on loopback, by this user alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import apache_beam as beam
import grpc
import psutil
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_job_api_pb2_grpc,
)
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, is_empty

from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io.http import peers
from spotify_mlops.operations.engines import prism
from spotify_mlops.operations.engines.worker_pool import WorkerPool

NOBODY = 65534
ASK = """
import os, sys
import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
os.setuid(int(sys.argv[2]))
with grpc.insecure_channel(sys.argv[1]) as channel:
    pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
    for call, request in (
        (pool.StartWorker, beam_fn_api_pb2.StartWorkerRequest(worker_id="theirs")),
        (pool.StopWorker, beam_fn_api_pb2.StopWorkerRequest(worker_id="theirs")),
    ):
        try:
            call(request)
        except grpc.RpcError as error:
            print(error.code().name)
"""


def listening() -> list[tuple[str, int]]:
    """Return where this process takes connections."""
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(PipelineOptions([]))
    yield pool
    pool.stop()


def test_it_listens_on_loopback_alone(pool: WorkerPool) -> None:
    port = int(pool.address.rpartition(":")[2])
    (listener,) = [address for address, taken in listening() if taken == port]
    assert listener.removeprefix("::ffff:") == "127.0.0.1"


def test_a_bounded_job_listens_nowhere() -> None:
    before = listening()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        found = pipeline | beam.Create([before]) | beam.FlatMap(listening_besides)
        assert_that(found, is_empty())


def listening_besides(known: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [socket for socket in listening() if socket not in known]


def test_this_user_is_answered(pool: WorkerPool) -> None:
    with grpc.insecure_channel(pool.address) as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        answer = stub.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="none"), timeout=30)
    assert not answer.error


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux's tables of sockets")
def test_another_user_is_refused(pool: WorkerPool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, pool.address, str(NOBODY)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["PERMISSION_DENIED"] * 2


def test_a_job_is_not_given_to_another_users_prism(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(pool.address.rpartition(":")[2])  # something answers there, and not our process
    server = prism._LoopbackServer(
        beam_job_api_pb2_grpc.JobServiceStub,
        [sys.executable, "-c", "import time; time.sleep(600)"],
        port=port,
    )
    monkeypatch.setattr(peers, "is_owners_server", lambda asked: asked != port)
    before = set(psutil.Process().children())
    with pytest.raises(ServiceError, match=f"{port} de Prism lo tiene otro usuario"):
        server.start()
    assert set(psutil.Process().children()) <= before
