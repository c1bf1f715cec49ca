"""The cloud form, rehearsed: its own profile, and only addresses of this machine in it.

Kafka behind TLS that asks for Google's tokens, an archive in a bucket, secrets in Secret Manager,
the streaming job sent to Dataflow by the official client; BigQuery, MongoDB and Vertex AI as ``up``
starts them. The short form is always run; the whole one by ``make rehearsal``. What every process
asks of Google is recorded, and held against what the platform allows its account.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
import tls_broker
import worlds
from google.cloud import storage

import google_project
import lenient
import pools
import storage_server
import vault
from google_project import Project
from local_services import services
from rights import calls, comparison
from rights.recorder import sitecustomize as recorder
from spotify_mlops import sources
from spotify_mlops.config import params, paths
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.config.params import Params
from spotify_mlops.io import answering, mongo, retry
from spotify_mlops.io.bigquery import warehouse
from spotify_mlops.io.flink import WORKERS
from spotify_mlops.io.local import processes, secret, state
from spotify_mlops.io.mongo import clients
from spotify_mlops.model import client, dataset
from spotify_mlops.model.promotions import PromotionHistory
from spotify_mlops.model.training import train
from spotify_mlops.operations import apps, bounded, compare
from spotify_mlops.operations.engines import cluster
from spotify_mlops.presentation.es import card

PATIENCE = 60.0
SHORT = worlds.SMALL | {"simulator_events": 8_000, "model_iterations": 10}
WHOLE = {
    "simulator_events": 40_000,
    "simulator_days": 8,
    "simulator_tracks": 80,
    "live_clock": 7_200,
    "model_iterations": 10,
    **lenient.GATE,
    "gate_country_regression": 1,
}
RETRAIN = ("--set", "retrain_min_accuracy=1", "--set", "monitor_windows=1")
"""Have a model never be good enough."""
PANELS = """
import sys
from spotify_mlops.config import params
from spotify_mlops.io import retry
from spotify_mlops.presentation.dashboard.watch import Choice, Watch
watch = Watch(params.load(sys.argv[1])).start()
for board in ("business", "operations"):
    assert retry.until(lambda: watch.look(Choice(board), 60).complete, bool, 300)
watch.close()
"""


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in which every process that the test starts writes what it asks of Google."""
    file = tmp_path / "calls"
    monkeypatch.setenv(recorder.FILE, str(file))
    monkeypatch.setenv("PYTHONPATH", str(Path(recorder.__file__).parent))
    own = recorder.Recorder(str(file), recorder.TEST)
    yield file
    own.stop()


class _Elsewhere:
    """What a project has that is nowhere on this machine: images, and who watches the job."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._instances = 1
        project.answers = {
            "/tags/": (200, {"version": f"x/versions/{google_project.DIGEST}"}),
            "/dockerImages/": (200, {}),
            "/workerPools/": self._pool,
            ":searchAllResources$": (200, {}),
        }

    def _pool(self, method: str, path: str) -> tuple[int, Any]:
        if method == "PATCH":
            self._instances = self._project.sent[-1]["scaling"]["manualInstanceCount"]
        return 200, {"scaling": {"manualInstanceCount": self._instances}}


@pytest.fixture
def settings(
    own_state: Path, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Params]:
    """The profile of the cloud, every address of it on this machine, and a short history."""
    with ExitStack() as servers:
        project = servers.enter_context(google_project.running())
        _Elsewhere(project)
        servers.enter_context(tls_broker.identified())
        secrets = servers.enter_context(vault.running())
        servers.enter_context(storage_server.running())
        with monkeypatch.context() as elsewhere:  # beside the one that `up` starts
            elsewhere.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "broker"))
            broker, authority = servers.enter_context(tls_broker.running(tmp_path))
        services.up(task_managers=2, with_dataflow=True)
        uri = state.read()["mongo"].addresses["uri"]
        user = f"{clients.OWNER}:{secret.key('mongo')}@"
        found = params.load(
            "gcp",
            kafka_bootstrap=broker,
            kafka_ca=str(authority),
            bigquery_rest="local",
            bigquery_grpc="local",
            vertex="local",
            secret_manager=f"http://127.0.0.1:{secrets.server_port}",
            google_apis=project.address,
            dataflow_endpoint="local",
            **SHORT,
        )
        storage.Client(project="test").create_bucket(found.cloud.archive.removeprefix("gs://"))
        name = f"projects/{found.cloud.project}/secrets/mongo-uri/versions/latest"
        whole = uri.replace("://", f"://{user}") + "&authMechanism=SCRAM-SHA-256"
        secrets.values[name] = whole.encode()
        retry.again(
            lambda: answering.require(found),
            lambda error: isinstance(error, ServiceError), PATIENCE, pause=0.2,
        )  # fmt: skip
        warehouse.ensure_dataset(found)  # which the platform makes, as the bucket
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what the notebooks leave be in a folder of the test's."""
    for folder in ("notebooks", "params"):
        shutil.copytree(paths.root() / folder, tmp_path / "home" / folder)
    monkeypatch.setenv("SPOTIFY_MLOPS_HOME", str(tmp_path / "home"))


def _done(settings: Params, *arguments: str) -> str:
    """Run a command that has to succeed; return what it told."""
    found = worlds.command(settings, *arguments, timeout=600)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def _parts(settings: Params, *options: str) -> dict[str, dict[str, Any]]:
    """Return what ``cloud status`` tells of each part."""
    told = json.loads(worlds.command(settings, "cloud", "status", "--json", *options).stdout)
    return {each["check"]: each for each in told["checks"]}


def _is_as_on_a_laptop(settings: Params, champions: PromotionHistory) -> None:
    """Compare the tables with those of the same log and champions, all of it on this machine."""
    laptop = settings.replace(dataset="laptop", archive="local")
    here = PromotionHistory(laptop)
    for period in champions.periods():
        here.keep(period.version, champions.bundle(period.version).path)
        here.promote(period.version, period.effective_from)
    bounded.run(laptop, replay=True)
    found = compare.compare(settings, laptop)
    assert {table.name for table in found if table.live.rows} >= {
        *("spotify_events", "spotify_features", "spotify_labels", "spotify_predictions")
    }
    assert [table.name for table in found if not table.equal] == []
    assert mongo.clients.database(settings).tracks.count_documents({}) > 0


def _kept(settings: Params) -> set[str]:
    """Return what the bucket holds, by the folder; nobody holds a lease any more."""
    objects: Any = storage.Client(project="test").list_blobs(settings.cloud.archive[5:])
    names = {blob.name for blob in objects}
    assert not [name for name in names if name.endswith("lease")]
    return {name.split("/")[0] for name in names}


def _is_recorded(found: list[calls.Call]) -> None:
    """Check that nothing escaped the recorder, by what the objects' server was asked."""
    where = os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://")
    heard = Counter((call.verb, call.path) for call in found if call.where == where)
    assert heard.total() > 100
    assert Counter(storage_server.asked) - heard == Counter()


def test_what_the_cloud_would_leave_is_what_a_laptop_leaves(
    settings: Params, recorded: Path, tmp_path: Path
) -> None:
    sources.ingest_simulator(settings)
    past = settings.replace(dataset="past")
    bounded.run(past, replay=True)
    bundle = tmp_path / "bundle"
    train(settings, *dataset.read(past), card.write).write_bundle(bundle)
    champions = PromotionHistory(settings)
    champions.keep("1", bundle)
    champions.promote("1", datetime.combine(settings.simulator.start, time.min, UTC))

    streamed = worlds.catch_up(settings)
    assert streamed["windows"] > 10
    _done(settings, "audit", "--json")
    assert cluster.running(settings) is None  # drained, and nothing of it goes on
    _is_as_on_a_laptop(settings, champions)
    assert _kept(settings) == {"dataflow", "models", "progress", "raw"}
    found = calls.read(recorded)
    _is_recorded(found)
    assert {call.who for call in found} == {
        *("stream", "watcher", "monitor"),
        *(recorder.TEST, recorder.GOOGLE),
    }
    assert comparison.missing(calls.needs(found), comparison.written()) == []


def _running(settings: Params) -> cluster.RunningJob:
    job = cluster.running(settings)
    assert job is not None and (job.engine, job.state) == ("Dataflow", "RUNNING")
    return job


def _is_updated(settings: Params, before: cluster.RunningJob) -> bool:
    job = cluster.running(settings)
    return job is not None and job.began > before.began and job.state == "RUNNING"


def _kill_a_worker() -> None:
    """Kill a process that runs steps of the job; Flink asks for another."""
    pools.workers(state.read()[WORKERS].pid)[0].kill()


def _ask_the_endpoint(settings: Params) -> None:
    """Have a model look a track up where the job keeps what it last knew of each."""
    track = mongo.database(settings).tracks.find_one()
    assert track is not None
    country, _, name = track["_id"].partition(":")
    (answer,) = client.predict(settings, [{"country": country, "track_id": name}])
    assert answer["level"]


def _ask_for_the_panels(settings: Params) -> None:
    """Have the boards' queries asked by Grafana's account, which has the same ones."""
    words = [sys.executable, "-c", PANELS, str(apps.params_file(settings))]
    lent = os.environ | {recorder.LENT: "dashboards"}
    subprocess.run(words, env=lent, check=True, timeout=900)


@pytest.mark.skipif(not os.environ.get("REHEARSAL"), reason="the whole one: make rehearsal")
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("home")
def test_a_project_from_its_first_record_to_its_last(settings: Params, recorded: Path) -> None:
    settings = settings.replace(**WHOLE)
    sources.ingest_simulator(settings)
    deploy = (*worlds.DEPLOY, "--yes")
    _done(settings, *deploy)
    first = _running(settings)
    again = json.loads(_done(settings, *deploy))["steps"]
    assert {each["state"] for each in again} == {"done", "omitted"}
    assert _running(settings).began == first.began

    _done(settings, "notebooks")
    simulator = state.read()[apps.SIMULATOR]
    _kill_a_worker()
    assert not retry.until(lambda: processes.is_alive(simulator), lambda alive: not alive, PATIENCE)
    watched = _running(settings)
    os.kill(state.read()[apps.STREAM].pid or 0, signal.SIGKILL)
    apps.start_stream(settings)
    assert retry.until(lambda: _is_updated(settings, watched), bool, 2 * PATIENCE)
    _ask_the_endpoint(settings)
    told = json.loads(_done(settings, "monitor", "--json", *RETRAIN))
    assert next(each["step"] for each in told["decisions"]) == "retrain"
    _done(settings, "archive", "compact")
    for step in ("train", "evaluate", "release"):
        _done(settings, step, "--set", "model_iterations=40")
    _ask_for_the_panels(settings)
    apps.stop_apps()  # which waits less than a drain may take
    retry.until(lambda: cluster.running(settings), lambda job: job is None, PATIENCE)
    assert cluster.running(settings) is None
    worlds.catch_up(settings)
    _done(settings, "audit", "--json")
    champions = PromotionHistory(settings)
    # That of the notebooks is the model of the deployment, and so its version; 2 is persistence,
    # and 3 was retrained.
    assert [period.version for period in champions.periods()] == ["1", "4"]
    _is_as_on_a_laptop(settings, champions)
    assert _kept(settings) >= {"dataflow", "models", "progress", "raw"}

    # As if Dataflow were elsewhere, and with it who watches the job.
    elsewhere = ("--set", f"dataflow_endpoint={state.read()['dataflow'].addresses['url']}")
    worlds.command(settings, "cloud", "check", *elsewhere)  # of a project that is nobody's: red
    # What does not answer within its seconds, as on a busy machine, is not known: asked again.
    found = retry.until(
        lambda: _parts(settings, *elsewhere),
        lambda parts: all(part["state"] != "unknown" for part in parts.values()),
        120,
    )
    assert (found["job"]["state"], found["watching"]["state"]) == ("off", "good"), found
    unprotected = ("--set", "platform_deletion_protection=false")
    _done(settings, "cloud", "teardown", "--yes", "--data", *unprotected, *elsewhere)
    told = json.loads(_done(settings, "cloud", "teardown", "--json", *elsewhere))
    assert {each["state"] for each in told["removals"]} == {"nothing"}
    assert told["left"]["state"] == "good"
    assert _kept(settings) == set()
    asked = calls.read(recorded)
    _is_recorded(asked)
    needs = calls.needs(asked)
    assert comparison.missing(needs, comparison.written()) == []
    assert comparison.unused(needs, comparison.written()) == []
