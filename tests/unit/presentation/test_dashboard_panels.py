"""The panels' definitions, and the Grafana dashboards that come from them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spotify_mlops.config import paths
from spotify_mlops.config.params import Params
from spotify_mlops.io.bigquery import tables
from spotify_mlops.presentation.dashboard import grafana
from spotify_mlops.presentation.dashboard.panel import PLACEHOLDERS, Panel, Threshold, fill
from spotify_mlops.presentation.dashboard.panels import panels

PARAMS = Params(profile="grafana")
PANELS = panels(PARAMS)
DASHBOARDS = Path(paths.root()) / "dashboards"
DECLARED = {name for table in (*tables.all_tables(PARAMS.windows), *tables.views(PARAMS))
            for name in (table.name, table.rows)}  # fmt: skip


def test_what_must_be_there_is_there() -> None:
    wanted = {
        "popularity_distribution", "events_per_minute", "model_metrics", "popularity_by_country",
        "rising", "search_lead", "freshness", "freshness_now", "lag", "dead_letters",
        "late_and_duplicates", "audit_status", "drift", "scores_over_time", "cost",
    }  # fmt: skip
    assert wanted <= {panel.name for panel in PANELS}


def test_names_are_unique_and_rows_of_a_board_are_full() -> None:
    assert len({panel.name for panel in PANELS}) == len(PANELS)
    for board in grafana.BOARDS:
        left = 12
        for panel in (panel for panel in PANELS if panel.board == board):
            left = (left or 12) - panel.width
            assert left >= 0, panel.name
        assert left == 0


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_asks_and_reads_tables_that_exist(panel: Panel) -> None:
    assert panel.question.startswith("¿") or "¿" in panel.question
    assert panel.tables
    assert panel.tables <= DECLARED
    assert set(re.findall(r"\{(\w+)\}", panel.sql)) <= set(PLACEHOLDERS)
    assert [t.value for t in panel.thresholds] == sorted(t.value for t in panel.thresholds)


def test_a_status_is_that_of_the_last_threshold_reached() -> None:
    panel = Panel("p", "operations", "T", "¿?", "stat", "",
                  thresholds=(Threshold(2, "warning"), Threshold(10, "critical")))  # fmt: skip
    found = [panel.status(value) for value in (0, 2, 9.9, 10, 50)]
    assert found == ["good", "warning", "warning", "critical", "critical"]


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="models"):
        fill("SELECT 1 WHERE model IN {models} AND x = '{not one}'", {})


def test_the_committed_dashboards_are_what_the_panels_give(tmp_path: Path) -> None:
    for made in grafana.write(tmp_path, PARAMS):
        assert (DASHBOARDS / made.name).read_text(encoding="utf-8") == made.read_text(
            encoding="utf-8"
        ), "escríbelos de nuevo: python -m spotify_mlops.presentation.dashboard.grafana"


@pytest.mark.parametrize("board", grafana.BOARDS)
def test_a_dashboard_has_its_panels_and_declares_its_variables(board: str) -> None:
    content = json.loads(grafana.dashboard(board, PARAMS))
    mine = [panel for panel in PANELS if panel.board == board]
    assert [panel["title"] for panel in content["panels"]] == [panel.title for panel in mine]
    declared = {variable["name"] for variable in content["templating"]["list"]}
    queries = json.dumps([panel["targets"] for panel in content["panels"]])
    assert set(re.findall(r"\$\{(\w+)[:}]", queries)) == declared
    for panel in content["panels"]:
        target = panel["targets"][0]
        assert target["datasource"]["type"] == grafana.DATA_SOURCE
        assert "{" not in re.sub(r"\$\{\w+(:\w+)?\}", "", target["rawSql"])


def test_a_row_costs_what_its_columns_weigh() -> None:
    assert tables.AUDITS.row_bytes == 8 * 10 + 1 + 8  # ten numbers or times, a bool, a time
