"""How a job starts on Prism: a wrapper that ends with its parent, and measured switches."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner

from ..local import tools


class OwnPrismRunner(PrismRunner):
    """Starts a Prism of its own; Beam's keeps one for the process, which stays dead once killed."""

    _server: JobServer | None = None

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Return the server of this runner's jobs."""
        if self._server is None:
            self._server = StopOnExitJobServer(PrismJobServer(options))
        return self._server

    def stop(self) -> None:
        """End Prism."""
        if self._server is not None:
            self._server.stop()


def runner() -> OwnPrismRunner:
    """Return the runner, always by name: ``DirectRunner`` changes meaning with the options."""
    return OwnPrismRunner()


def options() -> PipelineOptions:
    """Return the options of a streaming job on Prism.

    ``prism_disable_sdf_split``: Prism would split slow stateful bundles too and run both halves
    on one key. LOOPBACK: the worker is this process, where sinks and source share `Progress`.
    """
    return PipelineOptions(
        [
            "--streaming",
            "--environment_type=LOOPBACK",
            f"--prism_location={tools.prism_wrapper()}",
            "--experiments=prism_disable_sdf_split",
            "--prism_log_level=error",
            # Also the deadline of the job's state stream: a shorter one ends the job itself.
            "--job_server_timeout=315360000",
        ]
    )
