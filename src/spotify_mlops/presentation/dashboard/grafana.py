"""The panels as Grafana dashboards.

``python -m spotify_mlops.presentation.dashboard.grafana [FOLDER [PARAMS]]`` writes them.

They use Grafana's own BigQuery data source (``grafana-bigquery-datasource``, 10.4 or later), whose
macros and quoting of variables are in its documentation. The builders are a development
dependency: dashboards are made here, and committed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config import paths
from ...config.params import Params, load
from ...domain.labels import LEVELS
from .panel import Board, Panel, Status, fill
from .panels import panels

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.common import DataSourceRef

BOARDS: dict[Board, tuple[str, str]] = {
    "business": ("negocio", "Popularidad: negocio"),
    "operations": ("operaciones", "Popularidad: operaciones"),
}
"""File name and title."""
DATA_SOURCE = "grafana-bigquery-datasource"
_VALUES = {
    "dataset": "`${dataset}`",
    "start": "$__timeFrom()",
    "end": "$__timeTo()",
    "since": "$__timeFrom()",
    "until": "$__timeTo()",
    "countries": "(${country:singlequote})",
    "levels": "(${level:singlequote})",
    "models": "(${model:singlequote})",
}
_COLORS: dict[Status, str] = {"good": "green", "warning": "orange", "critical": "red"}
_UNITS = {
    "count": "locale",
    "share": "percentunit",
    "score": "none",
    "per_minute": "cpm",
    "seconds": "s",
    "usd": "currencyUSD",
    "times": "none",
}
_HEIGHTS = {"stat": 5, "line": 9, "stacked": 9, "bars": 9, "table": 9}


def write(folder: Path, params: Params) -> list[Path]:
    """Write the dashboards as JSON files; return them."""
    written = []
    for board, (name, _) in BOARDS.items():
        path = folder / f"{name}.json"
        path.write_text(dashboard(board, params), encoding="utf-8")
        written.append(path)
    return written


def dashboard(board: Board, params: Params) -> str:
    """Return a dashboard as Grafana's JSON; the same each time.

    Args:
        board: which.
        params: window, lags, limits and prices; addresses and names of stores are not used.
    """
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    name, title = BOARDS[board]
    made = (
        build.Dashboard(title)
        .uid(f"spotify-mlops-{name}")
        .tags(["spotify-mlops"])
        .timezone("utc")
        .refresh("10s" if board == "operations" else "1m")
        .time("now-24h" if board == "business" else "now-1h", "now")
        .readonly()
    )
    shown = [panel for panel in panels(params) if panel.board == board]
    for variable in _variables(frozenset().union(*(panel.placeholders for panel in shown))):
        made = made.with_variable(variable)
    for panel in shown:
        made = made.with_panel(_panel(panel))
    content = json.dumps(made.build(), cls=JSONEncoder, ensure_ascii=False, indent=2)
    return content + "\n"


def _source() -> DataSourceRef:
    from grafana_foundation_sdk.models.common import DataSourceRef

    return DataSourceRef(type_val=DATA_SOURCE, uid="${bigquery}")


def _variables(used: frozenset[str]) -> list[Any]:
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.models.dashboard import VariableRefresh

    def several(name: str, label: str, table: str) -> Any:
        sql = (
            f"SELECT DISTINCT {name} FROM {{dataset}}.{table} "
            f"WHERE window_start BETWEEN {{start}} AND {{end}} ORDER BY {name}"
        )
        query: dict[str, object] = {
            "editorMode": "code",
            "format": 1,
            "rawQuery": True,
            "rawSql": fill(sql, _VALUES),
            "refId": name,
        }
        return (
            build.QueryVariable(name)
            .label(label)
            .datasource(_source())
            .query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .current(_every())
        )

    found: list[Any] = [
        build.DatasourceVariable("bigquery").label("BigQuery").type(DATA_SOURCE),
        build.TextBoxVariable("dataset").label("Dataset").default_value("spotify"),
    ]
    if "countries" in used:
        found.append(several("country", "País", "spotify_features_rows"))
    if "levels" in used:
        found.append(
            build.CustomVariable("level")
            .label("Nivel")
            .values(",".join(reversed(LEVELS)))
            .multi(True)
            .include_all(True)
            .current(_every())
        )
    if "models" in used:
        found.append(several("model", "Modelo", "spotify_predictions_rows"))
    return found


def _every() -> Any:
    from grafana_foundation_sdk.models.dashboard import VariableOption

    return VariableOption(selected=True, text="All", value="$__all")


def _panel(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import bigquery
    from grafana_foundation_sdk.models.bigquery import EditorMode, QueryFormat

    timed = panel.kind in ("line", "stacked")
    query = (
        bigquery.Dataquery()
        .datasource(_source())
        .raw_query(True)
        .editor_mode(EditorMode.CODE)
        .format(QueryFormat.TIMESERIES if timed else QueryFormat.TABLE)
        .raw_sql(fill(panel.sql, _VALUES))
        .ref_id("A")
    )
    made = _BUILDERS[panel.kind](panel)
    made = (
        made.title(panel.title)
        .description(panel.question)
        .datasource(_source())
        .with_target(query)
        .span(2 * panel.width)
        .height(_HEIGHTS[panel.kind])
        .no_value(panel.empty)
    )
    if panel.kind != "table":
        made = made.unit(_UNITS[panel.unit])
    for column, unit in panel.units.items():
        made = made.override_by_name(column, [_property("unit", _UNITS[unit])])
    for series, color in panel.colors.items():
        fixed = {"mode": "fixed", "fixedColor": color}
        made = made.override_by_name(series, [_property("color", fixed)])
    if panel.thresholds:
        made = made.thresholds(_thresholds(panel))
    return made


def _property(name: str, value: object) -> Any:
    from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

    return DynamicConfigValue(id_val=name, value=value)


def _thresholds(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

    steps = [Threshold(value=None, color=_COLORS[panel.base])]
    steps += [Threshold(value=t.value, color=_COLORS[t.status]) for t in panel.thresholds]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _transformation(name: str, **options: object) -> Any:
    from grafana_foundation_sdk.models.dashboard import DataTransformerConfig

    return DataTransformerConfig(id_val=name, options=options)


def _wide(rows: str) -> Any:
    """Return the transformation of rows into a column a series, as Grafana's charts want it."""
    return _transformation(
        "groupingToMatrix", columnField="series", rowField=rows, valueField="value"
    )


def _legend() -> Any:
    from grafana_foundation_sdk.builders import common
    from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement

    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    return legend.placement(LegendPlacement.BOTTOM).show_legend(True)


def _stat(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import common, stat
    from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueTextMode

    # Its rows become fields, so that each value has its name.
    named = _transformation(
        "rowsToFields",
        mappings=[
            {"fieldName": "series", "handlerKey": "field.name"},
            {"fieldName": "value", "handlerKey": "field.value"},
            {"fieldName": "detail", "handlerKey": "__ignore"},
        ],
    )
    return (
        stat.Panel()
        .with_transformation(named)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .color_mode(BigValueColorMode.VALUE if panel.thresholds else BigValueColorMode.NONE)
    )


def _line(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import common, timeseries
    from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode, VisibilityMode

    made = (
        timeseries.Panel().legend(_legend()).line_width(2).show_points(VisibilityMode.AUTO).min(0)
    )
    if panel.thresholds:
        shown = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        made = made.thresholds_style(shown)
    return made


def _stacked(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import common
    from grafana_foundation_sdk.models.common import GraphDrawStyle, StackingMode

    return (
        _line(panel)
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(100)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    )


def _bars(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import barchart
    from grafana_foundation_sdk.models.common import StackingMode, VisibilityMode, VizOrientation

    whole = panel.unit == "share"
    return (
        barchart.Panel()
        .legend(_legend())
        .with_transformation(_wide("category"))
        .orientation(VizOrientation.HORIZONTAL)
        .stacking(StackingMode.NORMAL if whole else StackingMode.NONE)
        .show_value(VisibilityMode.AUTO)
    )


def _table(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import table

    return table.Panel()


_BUILDERS = {
    "stat": _stat,
    "line": _line,
    "stacked": _stacked,
    "bars": _bars,
    "table": _table,
}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else paths.root() / "dashboards"
    target.mkdir(parents=True, exist_ok=True)
    chosen = load(sys.argv[2]) if len(sys.argv) > 2 else Params(profile="grafana")
    for file in write(target, chosen):
        sys.stdout.write(f"{file}\n")
