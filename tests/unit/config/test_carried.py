"""Parameters that travel with a job: all of them, whatever the other machine has."""

from __future__ import annotations

import argparse
from datetime import timedelta

import pytest

from spotify_mlops.config import carried, params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params


def taken(*words: str) -> Params:
    parser = argparse.ArgumentParser()
    carried.add_options(parser)
    return carried.chosen(parser.parse_args(words))


def test_overrides_and_environment_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[1, 5]")
    sent = params.load("charts", horizon=4, allowed_lateness="90s")
    words = carried.arguments(sent)
    monkeypatch.setenv("SPOTIFY_MLOPS_LAGS", "[2]")  # of the other machine, or of its service
    monkeypatch.setenv("SPOTIFY_MLOPS_HORIZON", "8")
    assert taken(*words) == sent
    assert (sent.model.horizon, sent.windows.lags) == (4, [1, 5])


@pytest.mark.parametrize("profile", ["local", "charts", "charts_daily", "flink", "webapi"])
def test_every_profile_arrives_as_it_is(profile: str) -> None:
    sent = params.load(profile)
    assert taken(*carried.arguments(sent)).flat() == sent.flat()


def test_platforms_find_nothing_to_replace_in_it() -> None:
    sent = params.load("local", charts_folders=["$(AIP_MODEL_DIR)/x", "ñ"])
    words = carried.arguments(sent)
    assert not any("$" in word for word in words)
    assert taken(*words).sources.charts_folders == ["$(AIP_MODEL_DIR)/x", "ñ"]


def test_secrets_are_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", "mongodb://u:p4ss@db.example.org/?tls=true")
    sent = params.load("local", mongo_uri="env:MONGO_URI", kafka_password="secret://kafka")
    text = " ".join(carried.arguments(sent))
    assert "p4ss" not in text and "env:MONGO_URI" in text and "secret://kafka" in text


def test_without_them_a_profile_is_taken_with_its_overrides() -> None:
    assert taken().profile == "local"
    found = taken("--params", "charts", "--set", "horizon=4", "--set", "window_offset=2d")
    assert (found.profile, found.model.horizon) == ("charts", 4)
    assert found.windows.window_offset == timedelta(days=2)


def test_what_is_wrong_is_said() -> None:
    (option, text) = carried.arguments(params.load("local"))
    with pytest.raises(ParamsError, match="«--set» no cambia"):
        taken(option, text, "--set", "horizon=4")
    with pytest.raises(ParamsError, match="no se puede leer"):
        taken(option, text[:-1])
    with pytest.raises(ParamsError, match="un objeto de JSON"):
        taken(option, "[]")
    with pytest.raises(ParamsError, match=r"«horizonte» .*«horizon».* de la misma versión"):
        taken(option, text.replace('"horizon"', '"horizonte"'))
    with pytest.raises(ParamsError, match="64 KiB"):
        taken(option, text + " " * (64 << 10))


def test_an_environment_has_all_that_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    for profile in ("local", "gcp", "charts", "webapi"):
        wanted = params.load(profile, alert_email="a$(HOME)@example.org", horizon=3)
        found = carried.variables(wanted)
        assert not any("$" in value for value in found.values())
        with monkeypatch.context() as environment:
            for name, value in found.items():
                environment.setenv(name, value)
            assert params.load("local") == wanted
