"""Figures by country, of one country and of twenty."""

from __future__ import annotations

from zoneinfo import available_timezones

import numpy as np
import pandas as pd
import pytest

from spotify_mlops.config import params
from spotify_mlops.domain.events import COUNTRIES
from spotify_mlops.presentation.dashboard.panels import panels
from spotify_mlops.presentation.es import country
from spotify_mlops.presentation.es.countries import COUNTRY_NAMES, ZONES
from spotify_mlops.presentation.figures import COUNTRY_COLORS, country_colors, eda
from spotify_mlops.presentation.narrative import eda as narrative

TWENTY = ["DE", "GB", *sorted(COUNTRIES - {"DE", "GB"})[:18]]


def test_every_country_has_a_name_and_a_zone() -> None:
    assert COUNTRIES - set(COUNTRY_NAMES) == set()
    assert set(ZONES) == set(COUNTRY_NAMES)
    assert len(set(COUNTRY_NAMES.values())) == len(COUNTRY_NAMES)
    assert set(ZONES.values()) <= available_timezones()
    assert (country("GB"), ZONES["BR"], ZONES["CO"]) == (
        "Reino Unido",
        "America/Sao_Paulo",
        "America/Bogota",
    )


def test_countries_of_a_figure_differ_in_colour_while_there_are_colours() -> None:
    assert country_colors(["CO", "ES"]) == {c: COUNTRY_COLORS[c] for c in ("CO", "ES")}
    assert len(set(country_colors(["CO", "DE", "GB"]).values())) == 3
    assert len(set(country_colors(TWENTY[:7]).values())) == 7
    assert set(country_colors(TWENTY)) == set(TWENTY)


@pytest.mark.parametrize("codes", [["DE"], TWENTY], ids=["one", "twenty"])
def test_figures_name_all_their_countries(codes: list[str]) -> None:
    days = pd.date_range("2026-01-05", periods=4, tz="UTC")
    volume = pd.DataFrame(
        [(day, code, float(n)) for n, code in enumerate(codes, 1) for day in days],
        columns=["time", "country", "value"],
    )
    totals = pd.DataFrame(
        [(code, f"t{t}", 100.0 / t + n) for n, code in enumerate(codes) for t in range(1, 20)],
        columns=["country", "track_id", "plays"],
    )
    shared = narrative.overlap(totals)
    texts = [eda.volume(volume, "charts", "reproducciones").svg(), eda.tail(totals, "charts").svg()]
    if len(codes) > 1:
        assert np.array_equal(shared.index, sorted(codes))
        texts.append(eda.overlap(shared, "charts").svg())
    for text in texts:
        assert [c for c in codes if country(c) not in text] == []


def test_panels_name_the_countries_of_the_params() -> None:
    of = {p.name: p.sql for p in panels(params.load("charts", countries=["DE", "GB"]))}
    for name in ("popularity_by_country", "rising"):
        assert "WHEN 'DE' THEN 'Alemania' WHEN 'GB' THEN 'Reino Unido' ELSE country" in of[name]
