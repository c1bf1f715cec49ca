"""Params: precedence, units, and what a user reads when a value does not fit."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params, format_duration

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
    ({"countries": ["CO", "CO"]}, "countries repite un país"),
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
    for name in Params.model_fields:
        for value in (object(), -1, 10**9, 1e300, "?", "", [], [object()], {"a": 1}, None):
            try:
                Params.model_validate({"profile": "p", name: value})
            except params.ValidationError as error:
                text = params._explain(error)
                assert not re.search(r"\b(Input|should|must be|valid|expected)\b", text), text


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ParamsError, match=r"horizon.*; .*shards"):
        params.load("local", horizon=0, shards=0)


def test_override_then_environment_then_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("profile: mine\nhorizon: 5\nwindow: 10m\nlags: [1]\n", encoding="utf-8")
    monkeypatch.setenv("SPOTIFY_MLOPS_WINDOW", "20m")
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[1, 2]")
    loaded = params.load(path, lags=[1, 2, 3], shards=None)
    assert (loaded.horizon, loaded.window, loaded.lags) == (5, timedelta(minutes=20), [1, 2, 3])
    assert loaded.shards == Params(profile="p").shards


def test_an_environment_variable_that_is_no_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[1, 2")
    with pytest.raises(ParamsError, match="SPOTIFY_MLOPS_LAGS"):
        params.load("local")


@pytest.mark.parametrize("text", ["500ms", "10s", "10m", "1h", "7d", "250us"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    loaded = Params(profile="p", idle_timeout=text)  # type: ignore[arg-type]
    assert format_duration(loaded.idle_timeout) == text


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
