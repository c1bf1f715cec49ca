"""How a job starts on Prism: a wrapper that ends with its parent, and measured switches."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.prism_runner import PrismRunner

from ..local import tools


def runner() -> PrismRunner:
    """Return the runner, always by name: ``DirectRunner`` changes meaning with the options."""
    return PrismRunner()


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
