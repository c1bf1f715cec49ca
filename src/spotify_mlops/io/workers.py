"""Where a runner of Beam asks for a job's workers: on loopback, for this user alone.

Beam's own pools (``LOOPBACK``, ``worker_pool_main``) listen on all interfaces and start a worker,
which runs what it is sent, for whoever asks.
"""

from __future__ import annotations

from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

from .http import peers, ports

_PINGS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
"""As Beam's pool has them: its runners ping without end."""


class OwnersWorkers(BeamFnExternalWorkerPoolServicer):
    """Beam's pool, whose workers are threads of this process, for the owner alone."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_PINGS)
        self._port = 0

    def serve(self, port: int = 0) -> str:
        """Begin to take requests, on a port or any that is free; return host and port."""
        self._port = self._server.add_insecure_port(f"{ports.HOST}:{port}")
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self._server)
        self._server.start()
        return f"{ports.HOST}:{self._port}"

    def stop(self) -> None:
        """Start no worker any more; those that run end with their job."""
        self._server.stop(grace=None)

    def StartWorker(  # noqa: N802 -- the service's own name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Start a worker."""
        self._check(context)
        return super().StartWorker(request, context)

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """End a worker; one that is not there has ended."""
        self._check(context)
        return super().StopWorker(request, context)

    def _check(self, context: grpc.ServicerContext) -> None:
        """Refuse the call of another user."""
        if not peers.is_owner(caller(context), (ports.HOST, self._port)):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "another user's process")


def caller(context: grpc.ServicerContext) -> tuple[str, int]:
    """Return the address and port of the other end of a call."""
    _, host, port = context.peer().split(":")  # ipv4:127.0.0.1:12345
    return host, int(port)
