"""Custom jobs and evaluations, in the Vertex AI stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import json_format, struct_pb2
from vertex_calls import (
    fields_of,
    finished,
    job,
    running_containers,
    status_of,
    unique,
    upload,
    upload_version,
    wait_for,
)
from vertex_server import VertexServer, running

from spotify_mlops.io import vertex


class TestJobs:
    """A training container's command as a process."""

    def test_a_job_runs_with_vertexs_variables(
        self, sdk: ModuleType, server: VertexServer, tmp_path: Path
    ) -> None:
        code = (
            "import json, os, pathlib\n"
            "names = [n for n in os.environ if n.startswith(('AIP_', 'CLOUD_ML_', 'MINE'))]\n"
            "out = pathlib.Path(os.environ['AIP_MODEL_DIR']) / 'told.json'\n"
            "out.write_text(json.dumps({n: os.environ[n] for n in names}))\n"
        )
        started = job(
            sdk,
            code,
            tmp_path / "out",
            env=[{"name": "MINE", "value": "$(CLOUD_ML_JOB_ID)/$$(X)/$(UNKNOWN)"}],
        )
        started.submit()
        assert finished(started) == "JOB_STATE_SUCCEEDED"
        assert started.start_time <= started.end_time
        assert json.loads((tmp_path / "out" / "model" / "told.json").read_text()) == {
            "AIP_MODEL_DIR": f"{tmp_path}/out/model/",
            "AIP_CHECKPOINT_DIR": f"{tmp_path}/out/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": f"{tmp_path}/out/logs/",
            "CLOUD_ML_JOB_ID": started.name,
            "CLOUD_ML_PROJECT_ID": server.params.cloud.project,
            "CLOUD_ML_REGION": server.params.cloud.location,
            "MINE": f"{started.name}/$(X)/$(UNKNOWN)",
        }
        listed = sdk.CustomJob.list(filter='labels.kind=test AND state="JOB_STATE_SUCCEEDED"')
        assert started.name in [found.name for found in listed]
        started.delete()
        with pytest.raises(exceptions.NotFound, match=started.name):
            sdk.CustomJob.get(started.resource_name)

    def test_a_job_that_fails_says_how_its_log_ends(self, sdk: ModuleType) -> None:
        started = job(sdk, "import sys; print('epoch 1'); sys.exit('sin datos')")
        started.submit()
        assert finished(started) == "JOB_STATE_FAILED"
        message = started.error.message
        assert message.startswith("La orden terminó con código 1. ")
        assert message.splitlines()[-2:] == ["epoch 1", "sin datos"]
        with pytest.raises(RuntimeError, match="sin datos"):
            started._block_until_complete()

    def test_a_job_is_cancelled(self, sdk: ModuleType, server: VertexServer) -> None:
        started = job(sdk, "import time; print('working', flush=True); time.sleep(600)")
        started.submit()
        wait_for(lambda: started.state.name == "JOB_STATE_RUNNING")
        with pytest.raises(exceptions.BadRequest, match="en marcha"):
            started.delete()
        started.cancel()
        assert finished(started) == "JOB_STATE_CANCELLED"
        assert not running_containers(server)
        with pytest.raises(exceptions.BadRequest, match="ya terminó"):
            started.cancel()

    def test_a_job_has_its_time(self, sdk: ModuleType) -> None:
        started = job(sdk, "import time; time.sleep(600)")
        started.submit(timeout=1)
        assert finished(started) == "JOB_STATE_FAILED"
        assert started.error.message.startswith("No terminó en 1 s. ")

    def test_a_job_dies_with_the_server_and_says_so(self, tmp_path: Path) -> None:
        with running(tmp_path) as own:
            sdk = vertex.sdk(own.params)
            started = job(sdk, "import time; time.sleep(600)")
            started.submit()
            wait_for(lambda: started.state.name == "JOB_STATE_RUNNING")
            (process,) = running_containers(own)
            own.kill()
            process.wait(60)
            own.start()
            assert started.state.name == "JOB_STATE_FAILED"
            assert started.error.message.startswith("El Vertex AI local se detuvo. Registro: ")

    def test_jobs_that_cannot_run_are_refused(self, sdk: ModuleType) -> None:
        with pytest.raises(exceptions.BadRequest, match="command") as refused:
            job(sdk, "pass", command=[]).submit()
        assert status_of(refused.value) == "FAILED_PRECONDITION"
        two = job(sdk, "pass")
        two.job_spec.worker_pool_specs[0].replica_count = 2
        with pytest.raises(exceptions.MethodNotImplemented, match="worker_pool_specs"):
            two.submit()
        gpu = job(sdk, "pass")
        gpu.job_spec.worker_pool_specs[0].machine_spec.accelerator_count = 1
        with pytest.raises(exceptions.MethodNotImplemented, match="accelerator_count"):
            gpu.submit()
        with pytest.raises(exceptions.MethodNotImplemented, match="network"):
            job(sdk, "pass").submit(network="projects/1/global/networks/n")


class TestEvaluations:
    """Imported, listed and read."""

    def test_an_imported_evaluation_is_read_back(
        self, sdk: ModuleType, server: VertexServer
    ) -> None:
        name = unique()
        upload(sdk, name)
        model = upload_version(sdk, name, is_default_version=False)
        client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
        metrics = json_format.ParseDict({"macroF1": 0.75, "n": 3}, struct_pb2.Value())
        imported = client.import_model_evaluation(
            parent=model.versioned_resource_name,
            model_evaluation=aiplatform_v1.ModelEvaluation(
                display_name="prueba",
                metrics_schema_uri="gs://schemas/classification.yaml",
                metrics=metrics,
            ),
        )
        (found,) = model.list_model_evaluations()
        assert found.metrics == {"macroF1": 0.75, "n": 3.0}
        assert found.resource_name == imported.name
        assert model.get_model_evaluation(found.name).display_name == "prueba"
        assert sdk.Model(name).list_model_evaluations() == []  # of the default version
        (listed,) = sdk.ModelEvaluation.list(model=model.versioned_resource_name)
        assert listed.metrics == found.metrics
        with pytest.raises(exceptions.BadRequest, match="filter"):
            sdk.ModelEvaluation.list(model=model.versioned_resource_name, filter="labels.a=b")
        with pytest.raises(exceptions.NotFound):
            sdk.ModelEvaluation(f"{model.resource_name}/evaluations/1")

    def test_a_required_field_is_named(self, sdk: ModuleType, server: VertexServer) -> None:
        model = upload(sdk, unique())
        client = vertex.client(server.params.cloud, aiplatform_v1.ModelServiceClient)
        with pytest.raises(exceptions.BadRequest) as refused:
            client.import_model_evaluation(
                parent=model.resource_name, model_evaluation={"metrics_schema_uri": "gs://s"}
            )
        assert fields_of(refused.value) == ["model_evaluation.metrics"]
