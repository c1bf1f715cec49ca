"""Retraining as a custom job of Vertex AI: the training container on the latest windows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from google.cloud import aiplatform_v1

from ...config import carried
from ...config.errors import ServiceError
from ...config.params import Params
from ...io import files, retry, vertex
from ...io.archive.location import archive_root
from ...model import dataset, training_set
from ...model.registry import model_id
from ...model.training_result import TrainingResult

POLL_SECONDS = 1.0
_ENDED = {
    aiplatform_v1.JobState.JOB_STATE_SUCCEEDED,
    aiplatform_v1.JobState.JOB_STATE_FAILED,
    aiplatform_v1.JobState.JOB_STATE_CANCELLED,
    aiplatform_v1.JobState.JOB_STATE_EXPIRED,
}


def retrain(params: Params, features: pl.DataFrame, labels: pl.DataFrame) -> TrainingResult:
    """Train on the features of closed windows, on the history that does best; return the run.

    Args:
        params: of the model.
        features: of the windows to learn from.
        labels: of those whose label window is closed.

    Raises:
        ParamsError: the dataset has content on which training is not allowed.
        ServiceError: the job failed; the message has the end of its log.
    """
    dataset.check_content(params)
    params = params.replace(model_histories=params.monitor.retrain_histories)
    data = training_set.export(params, features, labels)
    run_dir = f"{archive_root(params)}/{training_set.FOLDER}/runs/{Path(data).name}"
    _run_job(params, data, run_dir)
    return TrainingResult.load(files.local_folder(run_dir), sealed="://" not in run_dir)


def _run_job(params: Params, data: str, run_dir: str) -> None:
    client = vertex.client(params.cloud, aiplatform_v1.JobServiceClient)
    name = f"{model_id(params)}-{Path(data).name}"
    created = client.create_custom_job(
        parent=vertex.parent(params.cloud),
        custom_job=aiplatform_v1.CustomJob(
            display_name=name,
            job_spec={
                "worker_pool_specs": [
                    {
                        "machine_spec": {"machine_type": params.cloud.training_machine},
                        "replica_count": 1,
                        "container_spec": {
                            "image_uri": params.cloud.training_image,
                            "command": ["python", "-m", "spotify_mlops.cli.training_job"],
                            "args": [*carried.arguments(params), "--run-dir", run_dir],
                            "env": [{"name": training_set.URI_VARIABLE, "value": data}],
                        },
                    }
                ],
                "service_account": params.cloud.training_service_account,
                "base_output_directory": {"output_uri_prefix": f"{run_dir}/output"},
            },
        ),
    )
    found = retry.until(
        lambda: client.get_custom_job(name=created.name),
        lambda job: job.state in _ENDED,
        None,
        POLL_SECONDS,
    )
    if found.state != aiplatform_v1.JobState.JOB_STATE_SUCCEEDED:
        raise ServiceError(f"El entrenamiento {name} no acabó: {found.error.message}")
