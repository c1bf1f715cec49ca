"""A parameter says where a secret is; one that says which is refused, and not repeated."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from spotify_mlops.cli import main
from spotify_mlops.config import params, paths
from spotify_mlops.config.errors import ParamsError

PLANTED = "Pl4nted-hunter2"
REFERENCES = (
    "env:KAFKA_PASSWORD",
    "secret://kafka-password",
    "secret://kafka-password/3",
    "secret://other-project/kafka-password/latest",
)
LITERALS: list[tuple[str, Any]] = [
    ("kafka_password", PLANTED),
    ("kafka_password", f"env:{PLANTED}!"),
    ("kafka_password", f"secret://a/b/c/{PLANTED}"),
    ("kafka_password", [PLANTED]),
    ("kafka_password", {PLANTED: PLANTED}),
    ("kafka_username", PLANTED),
    ("mongo_uri", PLANTED),
    ("mongo_uri", f"mongodb://user:{PLANTED}@db.example.org/"),
    ("mongo_uri", f"mongodb+srv://user:{PLANTED}%2F@db.example.org/?retryWrites=true"),
    ("mongo_uri", f"mongodb://user:{PLANTED}/@db.example.org"),
    ("mongo_uri", f"mongodb://db.example.org/?tlsCertificateKeyFilePassword={PLANTED}"),
    ("mongo_uri", f"mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:{PLANTED}"),
    ("bigquery_rest", f"https://user:{PLANTED}@proxy.example.org"),
    ("vertex", f"https://:{PLANTED}@proxy.example.org"),
    ("kafka_bootstrap", f"user:{PLANTED}@broker.example.org:9092"),
    ("archive", f"gs://user:{PLANTED}@bucket"),
    ("charts_folders", [f"https://user:{PLANTED}@example.org/charts"]),
    ("horizon", f"mongodb://user:{PLANTED}@db"),
    ("horizon", {"a": f"mongodb://user:{PLANTED}@db"}),
    (f"mongodb://user:{PLANTED}@db", 3),
]
HARMLESS: list[tuple[str, Any]] = [
    ("mongo_uri", "mongodb://127.0.0.1:27017/?appName=x"),
    ("mongo_uri", "mongodb+srv://user@db.example.org/?authMechanism=MONGODB-X509"),
    ("mongo_uri", "env:MONGO_URI"),
    ("bigquery_rest", "http://127.0.0.1:9050"),
    ("kafka_ca", "env:CA"),
    ("kafka_ca", "secret://kafka-ca/2"),
    ("serving_image", "europe-docker.pkg.dev/p/r/serving:1@sha256:0123abcd"),
    ("serving_image", "registry.example.org:5000/serving@sha256:0123abcd"),
    ("archive", "gs://bucket/folder"),
]


def told(error: BaseException) -> str:
    """Return all that ``--debug`` would show."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_is_kept_as_it_is(reference: str) -> None:
    assert params.load("local", kafka_password=reference).kafka.password == reference


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_what_has_no_password_is_no_secret(name: str, value: Any) -> None:
    assert params.load("local", **{name: value}).value(name) == value


@pytest.mark.parametrize(("name", "value"), LITERALS, ids=[f"{n}-{i}" for i, (n, _) in
                                                           enumerate(LITERALS)])  # fmt: skip
def test_a_secret_is_refused_and_not_repeated(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError) as caught:
        params.load("local", **{name: value})
    assert PLANTED not in told(caught.value)
    if "passw" in name or name == "mongo_uri":
        assert name in str(caught.value)
        assert "env:NOMBRE" in str(caught.value)
    placed = params.nested({name: value}) if name in params.names() else {name: value}
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({"profile": "own"} | placed), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        params.load(file)
    assert PLANTED not in told(caught.value)
    if name in params.names():
        monkeypatch.setenv(f"SPOTIFY_MLOPS_{name.upper()}", json.dumps(value))
        with pytest.raises(ParamsError) as caught:
            params.load("local")
        assert PLANTED not in told(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"kafka_password={PLANTED}",
        f"kafka_password: {PLANTED}",
        f"kafka_passwort={PLANTED}",
        f"kafka_password=!{PLANTED} x",
        f"kafka_password=[{PLANTED}",
        f"kafka_password=*{PLANTED}",
        f"mongo_uri=mongodb://u:{PLANTED}@h",
        f"mongodb://u:{PLANTED}@h=1",
        f"{PLANTED} {PLANTED}",
    ],
)
def test_a_command_does_not_repeat_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--debug", "audit", "--set", text])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "Error:" in shown.err
    assert PLANTED not in shown.out + shown.err


@pytest.mark.parametrize(
    "text",
    [
        f"profile: own\nkafka_password: {PLANTED}: x\n",
        f"profile: own\nkafka_password: !{PLANTED} x\n",
        f"profile: own\nkafka_password: *{PLANTED}\n",
        f"profile: own\nkafka_password: '{PLANTED}\n",
        f"profile: own\nkafka_password: @{PLANTED}\n",
        f"profile: own\nkafka_password: {PLANTED}\nkafka_password {PLANTED}\n",
    ],
)
def test_a_file_with_a_mistake_beside_a_secret_does_not_show_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        params.load(file)
    assert PLANTED not in told(caught.value)


def test_what_is_written_and_sent_has_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))
    monkeypatch.setenv("MONGO_URI", f"mongodb://u:{PLANTED}@h")
    monkeypatch.setenv("KAFKA_PASSWORD", PLANTED)
    settings = params.load("local", mongo_uri="env:MONGO_URI")
    written = params.params_file(settings)
    assert paths.state_dir() in written.parents
    assert params.load(written) == settings
    for content in (
        written.read_text(encoding="utf-8"),
        repr(settings),
        settings.model_dump_json(),
        pickle.dumps(settings).decode("latin-1"),
    ):
        assert PLANTED not in content
    assert "env:MONGO_URI" in written.read_text(encoding="utf-8")
