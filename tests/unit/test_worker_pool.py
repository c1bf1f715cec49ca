"""Where Prism asks for workers: on loopback, and for this user alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import psutil
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from spotify_mlops.jobs.worker_pool import WorkerPool

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


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(PipelineOptions([]))
    yield pool
    pool.stop()


def test_it_listens_on_loopback_alone(pool: WorkerPool) -> None:
    port = int(pool.address.rpartition(":")[2])
    (listener,) = [
        connection.laddr.ip
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]
    assert listener.removeprefix("::ffff:") == "127.0.0.1"


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
