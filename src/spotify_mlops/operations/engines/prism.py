"""How a job starts on Prism: tied to its parent's life, and with measured switches.

All that listens does so on 127.0.0.1, for this user alone: a Beam job is code, and neither Prism
nor its workers ask who sends one. ``local_services/patches/prism.patch`` sees to Prism, and
`WorkerPool` to the workers.
"""

from __future__ import annotations

import logging
import os
import subprocess

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2_grpc
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner
from apache_beam.transforms.environments import Environment
from apache_beam.utils.subprocess_server import SubprocessServer

from local_services import tools

from ...config.errors import ServiceError
from ...io.http import peers, ports
from ...io.local import processes, tied
from .worker_pool import WorkerPool

_GIVEN = ("PATH", "HOME", "TMPDIR", processes.OWNER)
"""Variables that Prism has."""


class OwnPrismRunner(PrismRunner):
    """Starts a Prism of its own; Beam's keeps one for the process, which stays dead once killed."""

    _server: JobServer | None = None
    _pool: WorkerPool | None = None

    def default_environment(self, options: PipelineOptions) -> Environment:
        """Return where the job's steps run: in this process.

        Were this not called, Beam would look for a Docker image, and fail.
        """
        if self._pool is None:
            self._pool = WorkerPool(options)
        portable = options.view_as(PortableOptions)
        portable.environment_type = "EXTERNAL"
        portable.environment_config = self._pool.address
        return super().default_environment(options)

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Return the server of this runner's jobs."""
        if self._server is None:
            self._server = StopOnExitJobServer(_LoopbackPrism(options))
        return self._server

    def stop(self) -> None:
        """End Prism, and start no worker any more."""
        if self._server is not None:
            self._server.stop()
        if self._pool is not None:
            self._pool.stop()


class _LoopbackPrism(PrismJobServer):
    """Asks Prism at 127.0.0.1; Beam's "localhost" may be ::1, where anybody may listen.

    Prism has a session of its own, so as not to die of Ctrl-C before Python has acted on it, ends
    with Python, or when it stays idle, and has nothing of an environment where passwords may be.
    """

    def subprocess_cmd_and_endpoint(self) -> tuple[list[str], str]:
        """Return the command and the address where Prism will listen."""
        command, endpoint = super().subprocess_cmd_and_endpoint()
        given = [f"{name}={os.environ[name]}" for name in _GIVEN if name in os.environ]
        return [
            *(*tied.words(), "env", "-i", *given),
            *(*command, "--idle_shutdown_timeout=60s"),
        ], endpoint

    def start(self) -> object:
        """Start Prism and return the stub of its job service."""
        if self._server is None:
            command, endpoint = self.subprocess_cmd_and_endpoint()
            logger = logging.getLogger(PrismJobServer.__name__)
            if self._log_filter is not None:  # it gives Prism's own levels to what passes
                logger.addFilter(self._log_filter)
                logger.setLevel(logging.INFO)
            port = int(endpoint.rpartition(":")[2])
            self._server = _LoopbackServer(
                beam_job_api_pb2_grpc.JobServiceStub, command, port=port, logger=logger
            )
        return super().start()


class _LoopbackServer(SubprocessServer):
    def start(self) -> object:
        stub = super().start()
        # Between choosing the port and Prism's taking it somebody else may have.
        if not peers.is_owners_server(self._port):
            self.stop()
            raise ServiceError(f"El puerto {self._port} de Prism lo tiene otro usuario.")
        return stub

    def start_process(self) -> tuple[subprocess.Popen[bytes], str]:
        process, endpoint = super().start_process()
        return process, endpoint.replace("localhost", ports.HOST)


def runner() -> OwnPrismRunner:
    """Return the runner, always by name: ``DirectRunner`` changes meaning with the options."""
    return OwnPrismRunner()


def options() -> PipelineOptions:
    """Return the options of a streaming job on Prism.

    ``prism_disable_sdf_split``: Prism would split slow stateful bundles too and run both halves
    on one key. The worker is this process, where sinks and source share `Tracker`.
    """
    return PipelineOptions(
        [
            "--streaming",
            f"--prism_location={tools.prism()}",
            "--experiments=prism_disable_sdf_split",
            "--prism_log_level=error",
            # Also the deadline of the job's state stream: a shorter one ends the job itself.
            "--job_server_timeout=315360000",
        ]
    )
