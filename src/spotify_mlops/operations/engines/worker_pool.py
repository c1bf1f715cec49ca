"""Where Prism asks for the job's worker, which is this process."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions

from ...io.workers import OwnersWorkers


class WorkerPool:
    """A running pool; its workers are threads of this process."""

    def __init__(self, options: PipelineOptions) -> None:
        cache = options.view_as(WorkerOptions).max_cache_memory_usage_mb << 20
        self._workers = OwnersWorkers(state_cache_size=cache)
        self.address = self._workers.serve()

    def stop(self) -> None:
        """Start no worker any more; those that run end with their job."""
        self._workers.stop()
