"""What the live page makes of rows: figures, words, notices, filters."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from spotify_mlops.config.params import Params
from spotify_mlops.presentation.dashboard import drawing, filters, notices, parts
from spotify_mlops.presentation.dashboard.panel import Panel
from spotify_mlops.presentation.dashboard.panels import panels
from spotify_mlops.presentation.dashboard.queries import Extent
from spotify_mlops.presentation.dashboard.watch import Answer, Choice, Seen, Watch
from spotify_mlops.presentation.figures.style import LEVEL_COLORS

PARAMS = Params(profile="test").replace(lags=[1, 24])
PANELS = {panel.name: panel for panel in panels(PARAMS)}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def over_time(*series: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time": [NOW, NOW + HOUR] * len(series),
            "series": [name for name in series for _ in range(2)],
            "value": list(range(2 * len(series))),
        }
    )


@pytest.mark.parametrize(
    ("unit", "amount", "text"),
    [
        ("count", 1_044_737, "1.044.737"),
        ("share", 0.1234, "12,3\u00a0%"),
        ("score", 0.6666, "0,67"),
        ("seconds", 0.305, "0,30\u00a0s"),
        ("seconds", 12.3, "12\u00a0s"),
        ("seconds", 600, "10,0\u00a0min"),
        ("per_minute", 26.44, "26,4 por min"),
        ("usd", 0.0159, "0,016\u00a0USD"),
        ("count", None, "–"),
    ],
)
def test_values_are_spanish(unit, amount, text) -> None:
    assert drawing.value(amount, unit) == text


def test_levels_have_their_colours_and_order_whatever_the_rows_order() -> None:
    rows = over_time("Baja", "Alta", "Media")
    traces = drawing.figure(PANELS["popularity_distribution"], rows)["data"]
    assert [(t["name"], t["marker"]["color"]) for t in traces] == list(LEVEL_COLORS.items())
    assert traces[0]["y"] == [2.0, 3.0]


def test_lines_without_fixed_colours_differ_by_more_than_colour() -> None:
    rows = over_time("partición 0", "partición 1", "partición 2")
    traces = drawing.figure(PANELS["lag"], rows)["data"]
    assert len({t["line"]["color"] for t in traces}) == 3
    assert len({t["line"]["dash"] for t in traces}) == 3


def test_a_free_colour_is_never_one_that_a_series_owns() -> None:
    panel = PANELS["model_metrics"]
    rows = pl.DataFrame({"category": ["F1"] * 5, "value": [0.5] * 5,
                         "series": ["modelo, dinámica", "persistencia", "a", "b", "c"],
                         "low": [0.4] * 5, "high": [0.7] * 5})  # fmt: skip
    traces = drawing.figure(panel, rows)["data"]
    assert len({t["marker"]["color"] for t in traces}) == 5
    assert traces[2]["error_x"]["array"] == pytest.approx([0.2])
    assert traces[2]["error_x"]["arrayminus"] == pytest.approx([0.1])


def test_thresholds_are_drawn() -> None:
    shapes = drawing.figure(PANELS["drift"], over_time("popularity@1"))["layout"]["shapes"]
    assert [shape["y0"] for shape in shapes] == [1]


def test_text_on_a_bar_can_be_read() -> None:
    found = {level: drawing._text_on(color) for level, color in LEVEL_COLORS.items()}
    assert found == {"Alta": "#ffffff", "Media": "#000000", "Baja": "#000000"}


def test_a_sentence_says_the_last_value_of_each_series() -> None:
    text = drawing.sentence(PANELS["late_and_duplicates"], over_time("tardíos", "duplicados"))
    assert "de 01/03/2026 12:00 a 01/03/2026 13:00" in text
    assert text.endswith("Al final: duplicados 3 y tardíos 1.")


def test_a_table_shows_numbers_by_their_unit() -> None:
    rows = pl.DataFrame({"País": ["España"], "Prob. de Alta": [0.5], "Subida": [None]},
                        schema_overrides={"Subida": pl.Float64})  # fmt: skip
    titles, cells, numeric = drawing.table(PANELS["rising"], rows)
    assert titles == ["País", "Prob. de Alta", "Subida"]
    assert cells == [["España", "50,0\u00a0%", "–"]]
    assert numeric == [False, True, True]


@pytest.mark.parametrize("name", [name for name, p in PANELS.items() if p.kind in parts.CHARTS])
def test_a_chart_without_rows_is_a_blank_one(name: str) -> None:
    assert drawing.blank(PANELS[name])["data"] == []


def extent(**changed: object) -> Extent:
    known = {
        "countries": ("CO",), "models": ("m@1",), "newest": NOW, "oldest": NOW - 100 * HOUR,
        "last_report": NOW, "behind_records": 10, "behind_seconds": 60.0,
    }  # fmt: skip
    return Extent(**(known | changed))  # type: ignore[arg-type]


def told(found: Extent | None, **changed: object) -> list[tuple[str, str]]:
    known = {"extent": found, "answers": {}, "complete": True, "at": NOW, "away_since": None}
    seen = Seen(**(known | changed))  # type: ignore[arg-type]
    return [(notice.status, notice.text) for notice in notices.notices(PARAMS.windows, seen, NOW)]


@pytest.fixture
def empty_state(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path))


@pytest.mark.usefixtures("empty_state")
class TestNotices:
    def test_nothing_is_said_when_all_is_well(self) -> None:
        assert told(extent()) == []

    def test_nothing_has_arrived(self) -> None:
        assert told(extent(newest=None, last_report=None))[0][1].startswith("Todavía no ha llegado")

    def test_the_stream_is_down_and_since_when(self) -> None:
        ((status, text),) = told(extent(last_report=NOW - timedelta(minutes=5)))
        assert status == "warning"
        assert "no informa desde el 01/03/2026 a las 11:55:00 UTC (hace 5 minutos)" in text

    def test_it_never_ran(self) -> None:
        assert "nunca" in told(extent(last_report=None))[0][1]

    def test_it_is_behind(self) -> None:
        ((_, text),) = told(extent(behind_records=12_000, behind_seconds=3 * 3600.0))
        assert "faltan 12.000 registros, 3 horas de eventos" in text

    def test_no_model_predicts(self) -> None:
        ((status, text),) = told(extent(by_persistence=True))
        assert (status, text.partition(":")[0]) == ("warning", "Ahora no predice ningún modelo")

    def test_bigquery_is_away_and_since_when(self) -> None:
        found = told(extent(), away_since=NOW, at=NOW - HOUR)
        assert [status for status, _ in found] == ["critical"]
        assert "desde las 12:00:00 UTC. Lo que se ve es de las 11:00:00" in found[0][1]


def test_a_selection_counts_windows_back_from_the_newest() -> None:
    found = extent().selection(windows=23 * HOUR, clock=HOUR, now=NOW)
    assert (found.start, found.end) == (NOW - 23 * HOUR, NOW)
    assert (found.since, found.until) == (NOW - HOUR, NOW)
    assert found.countries == ("CO",)
    assert set(found.levels) == set(LEVEL_COLORS)
    whole = extent().selection(windows=None, clock=None, now=NOW, levels=("Alta",))
    assert whole.start == NOW - 100 * HOUR
    assert whole.levels == ("Alta",)


def test_what_the_address_says_and_is_not_offered_is_left_out() -> None:
    assert filters._listed("CO,XX,'; DROP", ("CO", "ES")) == ["CO"]
    assert filters._one_of("siempre", filters._WINDOWS) == "24"


def test_a_board_is_not_filtered_by_what_it_does_not_offer() -> None:
    chosen = {"paises": ["CO"], "niveles": ["Alta"], "modelos": [], "ventanas": ["168"],
              "tiempo": ["1h"]}  # fmt: skip
    business = filters.choice("business", chosen)
    operations = filters.choice("operations", chosen)
    assert (business.countries, business.levels, business.windows) == (("CO",), ("Alta",), 168)
    assert business.clock is None
    assert (operations.countries, operations.levels, operations.clock) == ((), (), HOUR)


def test_a_panel_of_a_stat_says_status_in_words() -> None:
    panel = Panel("p", "operations", "T", "¿?", "stat", "", thresholds=PANELS["drift"].thresholds)
    rows = pl.DataFrame({"series": ["x"], "value": [2.0]})
    shown = str(parts._stat(panel, Answer(1, rows)))
    assert "mal" in shown
    assert "Todavía no hay datos" in str(parts._stat(panel, Answer(1, rows.clear())))
    assert "no aceptó" in str(parts._stat(panel, Answer(1, None, "why")))


def test_a_choice_is_new_until_it_is_answered_or_nobody_waits_for_it() -> None:
    watch = Watch(PARAMS)  # its thread is not started: nothing is asked
    assert not watch._is_new_choice()
    watch.look(Choice("business"))
    assert watch._is_new_choice()
    watch._kept[Choice("business")].answers["rising"] = Answer(1, None)
    assert not watch._is_new_choice()
    watch.look(Choice("operations"))
    assert watch._is_new_choice()
    watch._kept[Choice("operations")].asked -= 60  # its page was closed meanwhile
    assert not watch._is_new_choice()


def test_what_was_known_before_nobody_looked_is_not_shown_as_current() -> None:
    watch = Watch(PARAMS)
    watch._extent = extent()
    assert watch.look(Choice("business")).extent is None
    watch._refreshed = time.monotonic()
    assert watch.look(Choice("business")).extent == extent()
