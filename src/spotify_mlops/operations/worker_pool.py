"""Where Prism asks for the job's worker, which is this process: on loopback, for this user alone.

Beam's own pool (``environment_type=LOOPBACK``) listens on all interfaces and starts a worker, which
runs what it is sent, for whoever asks.
"""

from __future__ import annotations

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

from ..io.http import peers, ports

_PINGS = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]
"""As Beam's pool has them: its runners ping without end."""


class WorkerPool:
    """A running pool; its workers are threads of this process."""

    def __init__(self, options: PipelineOptions) -> None:
        self._server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_PINGS)
        port = self._server.add_insecure_port(f"{ports.HOST}:0")
        self.address = f"{ports.HOST}:{port}"
        cache = options.view_as(WorkerOptions).max_cache_memory_usage_mb << 20
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
            _OwnersWorkers((ports.HOST, port), state_cache_size=cache), self._server
        )
        self._server.start()

    def stop(self) -> None:
        """Start no worker any more; those that run end with their job."""
        self._server.stop(grace=None)


class _OwnersWorkers(BeamFnExternalWorkerPoolServicer):
    def __init__(self, server: tuple[str, int], state_cache_size: int) -> None:
        super().__init__(state_cache_size=state_cache_size)
        self._address = server

    def StartWorker(  # noqa: N802 -- the service's own name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        self._check(context)
        return super().StartWorker(request, context)

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        self._check(context)
        return super().StopWorker(request, context)

    def _check(self, context: grpc.ServicerContext) -> None:
        """Refuse the call of another user."""
        _, host, port = context.peer().split(":")  # ipv4:127.0.0.1:12345
        if not peers.is_owner((host, int(port)), self._address):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "another user's process")
