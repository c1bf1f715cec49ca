"""Params: precedence, units, and what a user reads when a value does not fit."""

from __future__ import annotations

import pickle
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from spotify_mlops.config import params, untrusted
from spotify_mlops.config.durations import format_duration
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.explained import explain
from spotify_mlops.config.params import Params

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"horizon": 0}, "«horizon» = 0: debe ser 1 o más"),
    ({"horizon": "mañana"}, "«horizon» = 'mañana': debe ser un número entero"),
    ({"horizon": 1.5}, "«horizon» = 1.5: debe ser un número entero"),
    ({"horizon": {}}, "«horizon» = {}: debe ser un número entero"),
    ({"horizont": 3}, "parámetro desconocido «horizont» (¿«horizon»?)"),
    ({"window": "pronto"}, "una duración se escribe como 500ms, 10s, 10m, 1h o 7d"),
    ({"window": "0s"}, "debe ser mayor que cero"),
    ({"window_offset": "2h"}, "window_offset debe ser menor que window"),
    ({"lags": [3, 1]}, "en orden creciente"),
    ({"lags": "1, 2"}, "debe ser una lista"),
    ({"lags": ["a"]}, "«lags.0» = 'a': debe ser un número entero"),
    ({"topic": "a b"}, "«topic» = 'a b': no tiene la forma"),
    ({"profile": ""}, "«profile» = '': no puede estar vacío"),
    ({"project": 5}, "«project» = 5: debe ser un texto"),
    ({"countries": []}, "«countries» = []: no puede estar vacía"),
    ({"countries": ["CO", "CO"]}, "«countries» = ['CO', 'CO']: repite un país"),
    ({"family": "xgboost"}, "debe ser 'seed' o 'dynamics'"),
    ({"level_alta": 100}, "debe ser menor que 100"),
    ({"level_alta": 30}, "level_media debe ser menor que level_alta"),
    ({"live_clock": 0}, "debe ser mayor que 0"),
    ({"late_share": 2}, "«late_share» = 2: debe ser 1 o menos"),
    ({"late_share": "mucho"}, "debe ser un número"),
    ({"simulator_start": "ayer"}, "debe ser una fecha como 2026-01-05"),
    ({"test_start": "2020-13-01"}, "debe ser una fecha como 2026-01-05"),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=[next(iter(w)) for w, _ in WRONG])
def test_a_wrong_value_is_explained_in_one_spanish_line(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        params.load("local", **overrides)
    text = str(caught.value)
    assert text.startswith("local.yaml: ")
    assert message in text
    assert "\n" not in text
    assert not re.search(r"\b(Input|should|must|valid|value|expected|got)\b", text)


def test_no_declared_constraint_is_explained_in_english() -> None:
    """A value of the wrong type, too low, too high or too strange for each parameter."""
    for name in params.names():
        for value in (object(), -1, 10**9, 1e300, "?", "", [], [object()], {"a": 1}, None):
            try:
                Params(profile="p").replace(**{name: value})
            except params.ValidationError as error:
                text = explain(error, params.FLAT)
                assert not re.search(r"\b(Input|should|must be|valid|expected)\b", text), text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"model_estimator": "KNeighborsClassifier"},
            "«model_estimator» = 'KNeighborsClassifier': no se puede exportar a ONNX",
        ),
        ({"model_grid": {"max_depth": [3]}}, "«model_grid» tiene max_depth, y de HistGradient"),
        (
            {"model_estimator": "LogisticRegression", "model_grid": {"max_iter": [9]}},
            "y de LogisticRegression se pueden elegir C",
        ),
        ({"model_grid": {"max_iter": []}}, "«model_grid.max_iter»"),
        (
            {"model_grid": {"max_iter": [*range(10, 20)], "max_leaf_nodes": [*range(2, 9)]}},
            "da 70 candidatos",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_is(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        params.load("local", **overrides)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ParamsError, match=r"shards.*; .*horizon"):
        params.load("local", horizon=0, shards=0)


def test_override_then_environment_then_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "profile: mine\nmodel: {horizon: 5}\nwindows: {window: 10m, lags: [1]}\n", encoding="utf-8"
    )
    monkeypatch.setenv("SPOTIFY_MLOPS_WINDOW", "20m")
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[1, 2]")
    loaded = params.load(path, lags=[1, 2, 3], shards=None)
    assert (loaded.model.horizon, loaded.windows.window, loaded.windows.lags) == (
        5,
        timedelta(minutes=20),
        [1, 2, 3],
    )
    assert loaded.windows.shards == Params(profile="p").windows.shards


def test_an_environment_variable_that_is_no_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[1, 2")
    with pytest.raises(ParamsError, match="SPOTIFY_MLOPS_LAGS"):
        params.load("local")


@pytest.mark.parametrize("text", ["500ms", "10s", "10m", "1h", "7d", "250us"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    loaded = Params(profile="p").replace(idle_timeout=text)
    assert format_duration(loaded.stream.idle_timeout) == text


@pytest.mark.parametrize("content", ["- a\n", "hola", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"mine\.yaml: se esperaba"):
        params.load(path)


@pytest.mark.parametrize("content", [b"a: [", b"a: b: c", b"profile: caf\xe9"])
def test_a_file_that_cannot_be_read_says_why_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"^No se puede leer mine\.yaml: [^\n]+$"):
        params.load(path)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ParamsError, match=r"nada\.yaml"):
        params.load("nada.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("topic: t\n", "«topic» va en su sección: «kafka: {topic: ...}»"),
        ("gate_min_accuracy: 1\n", "va en su sección: «gate: {min_accuracy: ...}»"),
        ("model: {topic: t}\n", "«topic» va en otra sección: «kafka: {topic: ...}»"),
        ("model: {seeds: 3}\n", "parámetro desconocido «seeds»"),
        ("model: {model_seed: 3}\n", "«model_seed» va en otra sección: «model: {seed: ...}»"),
        ("modle: {seed: 3}\n", "parámetro desconocido «modle»"),
        ("model: 3\n", "«model» es una sección: se espera «model: {parámetro: valor}»"),
        ("topic: t\nlags: [1]\n", "kafka: {topic: ...}»; «lags» va en su sección: «windows:"),
    ],
)
def test_a_file_says_where_a_parameter_goes(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"profile: mine\n{content}", encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        params.load(path)
    assert str(caught.value).startswith("mine.yaml: ")
    assert message in str(caught.value)


def test_every_parameter_has_one_flat_name_and_one_place(tmp_path: Path) -> None:
    leaves = sum(
        len(section.model_fields)
        for section in (type(getattr(Params(profile="p"), n)) for n in Params.model_fields)
        if hasattr(section, "model_fields")
    )
    assert len(params.names()) == leaves + 1  # and the profile
    loaded = params.load("charts")
    path = tmp_path / "flat.yaml"
    path.write_text(yaml.safe_dump(params.nested(loaded.flat())), encoding="utf-8")
    assert params.load(path) == loaded
    assert {name: loaded.value(name) for name in params.names()}["gate_min_accuracy"] == 0.65


def test_the_model_has_the_sources_countries_unless_it_has_its_own(tmp_path: Path) -> None:
    plain = params.load("local")
    assert plain.windows.model_countries == ["CO", "ES", "MX", "US"]
    other = plain.replace(countries=["BR", "DE"])
    assert other.windows.model_countries == ["BR", "DE"]
    assert other.replace(lags=[1]).replace(countries=["FR"]).windows.model_countries == ["FR"]
    own = other.replace(model_countries=["CO", "ES", "MX", "US"])
    assert own.replace(countries=["GB"]).windows.model_countries == ["CO", "ES", "MX", "US"]
    for settings in (plain, other, own):
        path = tmp_path / "same.yaml"
        written = settings.model_dump(mode="json", exclude_unset=True)
        path.write_text(yaml.safe_dump(written), encoding="utf-8")
        assert params.load(path) == settings
        assert pickle.loads(pickle.dumps(settings)).replace(lags=[1]) == settings.replace(lags=[1])
    with pytest.raises(ParamsError, match=r"«model_countries» = .*: repite un país"):
        params.load("local", model_countries=["BR", "BR"])


def test_norway_is_a_country(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("profile: mine\nsources: {countries: [DK, NO, se]}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"«countries\.2» = 'se'"):
        params.load(path)
    path.write_text("profile: mine\nsources: {countries: [DK, NO, SE]}\n", encoding="utf-8")
    assert params.load(path).sources.countries == ["DK", "NO", "SE"]
    monkeypatch.setenv("SPOTIFY_MLOPS_MODEL_COUNTRIES", "[NO]")
    assert params.load(path).windows.model_countries == ["NO"]
    read = [untrusted.parse_yaml(text) for text in ("true", "False", "no", "off", "tru", "truex")]
    assert read == [True, False, "no", "off", "tru", "truex"]
