"""A panel's rows as what a page shows: a figure for Plotly, values, a table, a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from ...config.spanish import DECIMALS, NO_VALUE, THOUSANDS
from ..es import about, join, number, percent
from ..figures.style import COUNTRY_COLORS
from .panel import Panel, Unit

_CYCLE = tuple(COUNTRY_COLORS.values())
"""Colours of series without one of their own: made for every kind of colour vision."""
_DASHES = ("solid", "dot", "dash", "dashdot", "longdash")
_TABLE_ROWS = 60
_HEIGHT = 320
_TIME = "%d/%m %H:%M"
_FORMATS: Mapping[Unit, tuple[str, str]] = {
    "share": (".0%", ".1%"),
    "score": (",.2~f", ",.3f"),
    "seconds": (",.3~f", ",.2f"),
    "per_minute": (",.0f", ",.1f"),
    "times": (",.2~f", ",.2f"),
}
"""d3's formats of an axis and of a value under the pointer."""
_COUNTS = (",.0f", ",.0f")
_UNIT_NAMES: Mapping[Unit, str] = {
    "per_minute": "por minuto",
    "seconds": "segundos",
    "times": "veces su límite",
}


def value(amount: float | None, unit: Unit) -> str:
    """Write a value with its unit, in Spanish."""
    if amount is None:
        return NO_VALUE
    match unit:
        case "share":
            return percent(amount)
        case "score":
            return number(amount, 2)
        case "seconds":
            return about(amount, 2)
        case "per_minute":
            return f"{number(amount, 0 if abs(amount) >= 100 else 1)} por min"
        case "usd":
            return f"{number(amount, 3)}\u00a0USD"
        case "times":
            return number(amount, 2)
        case _:
            return number(amount)


def table(panel: Panel, rows: pl.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return a table's titles, its cells as texts, and which columns are numbers.

    Of a chart's rows only the last are shown.
    """
    titles = {
        "time": "Hora (UTC)",
        "series": "Serie",
        "category": "Grupo",
        "value": "Valor",
        "low": "Mínimo",
        "high": "Máximo",
    }
    shown = rows if panel.kind == "table" else rows.tail(_TABLE_ROWS)
    numeric = [dtype.is_numeric() for dtype in shown.dtypes]
    units = [panel.units.get(name, "count" if panel.kind == "table" else panel.unit)
             for name in shown.columns]  # fmt: skip
    cells = [
        [_cell(item, unit) for item, unit in zip(row, units, strict=True)]
        for row in shown.iter_rows()
    ]
    return [titles.get(name, name) for name in shown.columns], cells, numeric


def _cell(item: Any, unit: Unit) -> str:
    if item is None:
        return NO_VALUE
    if isinstance(item, datetime):
        return f"{item:%d/%m/%Y %H:%M:%S}"
    return value(item, unit) if isinstance(item, (int, float)) else str(item)


def sentence(panel: Panel, rows: pl.DataFrame) -> str:
    """Say what a chart shows now, for who does not see it."""
    if panel.kind == "bars":
        parts = [
            f"{row['category']}, {row['series']}: {value(row['value'], panel.unit)}"
            for row in rows.iter_rows(named=True)
        ]
        return f"{panel.title}. {'; '.join(parts)}."
    last = rows.sort("time").group_by("series", maintain_order=True).last()
    parts = [
        f"{row['series']} {value(row['value'], panel.unit)}"
        for row in last.sort("series").iter_rows(named=True)
    ]
    first, latest = rows["time"].min(), rows["time"].max()
    assert isinstance(first, datetime)
    assert isinstance(latest, datetime)
    return (
        f"{panel.title}, de {first:%d/%m/%Y %H:%M} a {latest:%d/%m/%Y %H:%M} (UTC). "
        f"Al final: {join(parts)}."
    )


def figure(panel: Panel, rows: pl.DataFrame) -> dict[str, Any]:
    """Return a chart as Plotly takes it.

    Raises:
        ValueError: the panel is no chart.
    """
    match panel.kind:
        case "line":
            traces = _lines(panel, rows)
        case "stacked":
            traces = _stacked(panel, rows)
        case "bars":
            return _bars(panel, rows)
        case kind:
            raise ValueError(f"{kind} is no chart")
    layout = _layout(panel)
    layout["xaxis"] |= {"type": "date", "tickformat": "%H:%M\n%d/%m", "nticks": 6}
    layout["yaxis"] |= {"rangemode": "tozero"}
    layout["hovermode"] = "x unified"
    if panel.kind == "stacked":
        layout |= {"barmode": "stack", "bargap": 0.08}
    shapes = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": t.value, "y1": t.value,
         "line": {"color": "#c0392b", "width": 1.5, "dash": "dash"}}
        for t in panel.thresholds
    ]  # fmt: skip
    if shapes:
        layout["shapes"] = shapes
    return {"data": traces, "layout": layout}


def blank(panel: Panel) -> dict[str, Any]:
    """Return the figure of a chart without rows."""
    layout = _layout(panel)
    layout["xaxis"] |= {"visible": False}
    layout["yaxis"] |= {"visible": False}
    return {"data": [], "layout": layout}


def _lines(panel: Panel, rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "lines" if part.height > 1 else "markers",
            "name": name,
            "x": part["time"].to_list(),
            "y": part["value"].cast(pl.Float64).to_list(),
            "line": {
                "color": _color(panel, name, index),
                "width": 2,
                # Colour is not the only thing that tells lines apart.
                "dash": "solid" if panel.colors else _DASHES[index % len(_DASHES)],
            },
            "hovertemplate": _hover(panel),
        }
        for index, (name, part) in enumerate(_series(panel, rows))
    ]


def _stacked(panel: Panel, rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "type": "bar",
            "name": name,
            "x": part["time"].to_list(),
            "y": part["value"].cast(pl.Float64).to_list(),
            "marker": {"color": _color(panel, name, index), "line": {"width": 0}},
            "hovertemplate": _hover(panel),
        }
        for index, (name, part) in enumerate(_series(panel, rows))
    ]


def _bars(panel: Panel, rows: pl.DataFrame) -> dict[str, Any]:
    """Draw horizontal bars, a group a category; a share's series are stacked to the whole."""
    categories = rows["category"].unique(maintain_order=True).to_list()
    whole = panel.unit == "share"
    traces = []
    for index, (name, part) in enumerate(_series(panel, rows)):
        amounts = part["value"].cast(pl.Float64).to_list()
        color = _color(panel, name, index)
        trace: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": part["category"].to_list(),
            "x": amounts,
            "marker": {"color": color, "line": {"width": 0}},
            "text": [value(amount, panel.unit) for amount in amounts],
            "textposition": "inside" if whole or "low" in part.columns else "auto",
            "insidetextanchor": "middle" if whole else "start",
            "insidetextfont": {"color": _text_on(color)},
            "textangle": 0,
            "cliponaxis": False,
            "hovertemplate": _hover(panel, "x"),
        }
        if "low" in part.columns and part["low"].null_count() < part.height:
            trace["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": (part["high"] - part["value"]).to_list(),
                "arrayminus": (part["value"] - part["low"]).to_list(),
                "thickness": 1.2,
                "width": 3,
                "color": "#646b75",
            }
        traces.append(trace)
    layout = _layout(panel)
    axis = dict(layout["yaxis"])
    layout["yaxis"] = {
        "automargin": True,
        "range": [len(categories) - 0.5, -0.5],  # the first on top
        "categoryorder": "array",
        "categoryarray": categories,
        "fixedrange": True,
        "ticksuffix": "  ",
    }
    layout["xaxis"] |= axis | {"rangemode": "tozero", "nticks": 6}
    layout |= {"barmode": "stack" if whole else "group", "bargap": 0.25}
    layout["showlegend"] = len(traces) > 1
    if whole:
        layout["xaxis"]["range"] = [0, 1]
    return {"data": traces, "layout": layout}


def _series(panel: Panel, rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Return the rows of each series: first those with a colour, in its order."""
    found = {str(name): part for (name,), part in rows.group_by("series", maintain_order=True)}
    order = [name for name in panel.colors if name in found]
    order += [name for name in found if name not in order]
    return [(name, found[name]) for name in order]


def _color(panel: Panel, name: str, index: int) -> str:
    free = [color for color in _CYCLE if color not in panel.colors.values()]
    return panel.colors.get(name) or free[index % len(free)]


def _text_on(color: str) -> str:
    """Return black or white, whichever is read better on a colour (WCAG relative luminance)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if luminance > 0.179 else "#ffffff"


def _hover(panel: Panel, axis: str = "y") -> str:
    form = _FORMATS.get(panel.unit, _COUNTS)[1]
    unit = _UNIT_NAMES.get(panel.unit, "")
    return f"%{{{axis}:{form}}} {unit}<extra>%{{fullData.name}}</extra>"


def _layout(panel: Panel) -> dict[str, Any]:
    """Return what all charts share. Colours of text and lines are the page's, by its style."""
    return {
        "height": _HEIGHT,
        "margin": {"l": 48, "r": 14, "t": 36, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "inherit", "size": 12.5},
        "separators": DECIMALS + THOUSANDS,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False,
                   "itemdoubleclick": False, "traceorder": "normal"},
        "showlegend": True,
        "dragmode": False,
        "hoverlabel": {"namelength": -1},
        "xaxis": {"fixedrange": True, "automargin": True, "hoverformat": _TIME},
        "yaxis": {
            "fixedrange": True,
            "automargin": True,
            "nticks": 5,
            "tickformat": _FORMATS.get(panel.unit, _COUNTS)[0],
            "zeroline": False,
            "ticksuffix": "\u00a0s" if panel.unit == "seconds" else "",
        },
        "transition": {"duration": 0},
        "uirevision": panel.name,
    }  # fmt: skip
