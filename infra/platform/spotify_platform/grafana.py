"""Grafana, where the params say one: folder, data source, both boards, and the panels' limits as
alert rules."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumiverse_grafana as provider
import yaml
from pulumiverse_grafana import alerting, oss

from spotify_mlops.config import paths
from spotify_mlops.presentation.dashboard import grafana
from spotify_mlops.presentation.dashboard.panel import PLACEHOLDERS, Panel, fill
from spotify_mlops.presentation.dashboard.panels import panels

from .place import Place

_PROVISIONING = paths.root() / "dashboards" / "provisioning"
_SECONDS = 60
"""Between two looks at the limits."""
_RANGE = 3600
"""Seconds that a rule looks back."""
_TIMED = ("line", "stacked")


def make(place: Place) -> None:
    """Make them in the Grafana at ``platform_grafana``; its token is in ``GRAFANA_AUTH``."""
    address = place.params.platform.grafana
    if not address:
        return
    where = pulumi.ResourceOptions(provider=provider.Provider("grafana", url=address))
    (described,) = _provisioned("datasources", "datasources")
    (boards,) = _provisioned("dashboards", "providers")
    folder = oss.Folder("folder", title=boards["folder"], opts=where)
    source = oss.DataSource(
        "bigquery",
        name=described["name"],
        uid=described["uid"],
        type=described["type"],
        json_data_encoded=json.dumps(
            described["jsonData"] | {"defaultProject": place.params.cloud.project}
        ),
        opts=where,
    )
    for board, (name, _) in grafana.BOARDS.items():
        oss.Dashboard(
            name,
            folder=folder.uid,
            config_json=grafana.dashboard(board, place.params),
            opts=where,
        )
    alerting.RuleGroup(
        "limits",
        name="spotify-mlops",
        folder_uid=folder.uid,
        interval_seconds=_SECONDS,
        rules=[_rule(place, panel, source) for panel in limited(place)],
        opts=where,
    )


def limited(place: Place) -> list[Panel]:
    """Return the panels with a limit beyond which something is wrong."""
    return [panel for panel in panels(place.params) if panel.critical is not None]


def _provisioned(folder: str, key: str) -> list[dict[str, Any]]:
    """Return what a Grafana that is not made here reads from its provisioning file."""
    (file,) = (_PROVISIONING / folder).glob("*.yaml")
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))[key])


def _rule(place: Place, panel: Panel, source: oss.DataSource) -> alerting.RuleGroupRuleArgs:
    query = {
        "refId": "A",
        "editorMode": "code",
        "format": 0 if panel.kind in _TIMED else 1,
        "rawQuery": True,
        "rawSql": _sql(place, panel),
    }
    last = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}
    beyond = {"refId": "C", "type": "math", "expression": f"$B >= {panel.critical!r}"}
    return alerting.RuleGroupRuleArgs(
        name=panel.title,
        condition="C",
        for_="5m",
        no_data_state="OK",  # whoever is silent is told of by Cloud Monitoring
        exec_err_state="Error",
        annotations={"summary": panel.question},
        labels=place.labels,
        datas=[
            _data("A", source.uid, query),
            _data("B", "__expr__", last),
            _data("C", "__expr__", beyond),
        ],
    )


def _data(ref: str, source: pulumi.Input[str], model: dict[str, Any]) -> Any:
    return alerting.RuleGroupRuleDataArgs(
        ref_id=ref,
        datasource_uid=source,
        relative_time_range=alerting.RuleGroupRuleDataRelativeTimeRangeArgs(from_=_RANGE, to=0),
        model=json.dumps(model),
    )


def _sql(place: Place, panel: Panel) -> str:
    """Return the panel's SQL for a rule: without a board's variables, and in its own unit alone."""
    dataset = f"`{place.params.bigquery.dataset}`"
    values = dict.fromkeys(PLACEHOLDERS, "") | {
        "dataset": dataset,
        **dict.fromkeys(("start", "since"), "$__timeFrom()"),
        **dict.fromkeys(("end", "until"), "$__timeTo()"),
        "models": f"(SELECT DISTINCT model FROM {dataset}.spotify_model_metrics)",
    }
    columns = "time, series, value" if panel.kind in _TIMED else "series, value"
    others = ", ".join(f"'{series}'" for series in panel.units)
    where = f" WHERE series NOT IN ({others})" if others else ""
    return f"SELECT {columns} FROM ({fill(panel.sql, values)}){where}"
