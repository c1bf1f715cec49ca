"""Figures of what a whole is made of: levels, types of event, counts of a kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns

from ..es import country, join, number, percent
from ..es.names import EVENT_TYPE_NAMES
from .style import (
    ACCENT,
    EVENT_TYPE_COLORS,
    INK,
    LEVEL_COLORS,
    SHARES,
    Plot,
    canvas,
    drawing,
    folded,
    in_two_forms,
    label_tops,
    spanish_axis,
    write_cells,
)

_LIGHT = {LEVEL_COLORS["Media"], EVENT_TYPE_COLORS["search_result"]}
"""Fills that need dark text."""
_BAR = 0.66
"""Height of a stacked bar, of the 1 that each has."""


@in_two_forms
def levels(frame: pd.DataFrame, source: str, title: str, unit: str) -> Plot:
    """Draw the share of each level per country as stacked bars.

    Args:
        frame: ``country``, ``level``, ``value``.
    """
    wide = frame.pivot_table(index="country", columns="level", values="value", aggfunc="sum")
    return _stacked(wide, LEVEL_COLORS, {n: n for n in LEVEL_COLORS}, source, title, unit)


@in_two_forms
def mix(frame: pd.DataFrame, source: str) -> Plot:
    """Draw the mix of event types per country as stacked bars.

    Args:
        frame: ``country``, ``event_type``, ``value``.
    """
    wide = frame.pivot_table(index="country", columns="event_type", values="value", aggfunc="sum")
    return _stacked(
        wide,
        EVENT_TYPE_COLORS,
        EVENT_TYPE_NAMES,
        source,
        "Qué eventos llegan de cada país",
        "parte de los eventos, por tipo",
    )


@in_two_forms
def transitions(matrix: pd.DataFrame, source: str, horizon: str) -> Plot:
    """Draw where each level goes within the horizon, as a heat map of row shares.

    Args:
        matrix: levels by levels, each row adds up to 1.
        horizon: the horizon in words, e.g. ``1 día``.
    """
    with drawing():
        figure, (axes,) = canvas(
            "De un nivel a otro",
            f"nivel ahora (filas) y nivel después de {horizon} (columnas)",
            source,
            height=3.1,
        )
        sns.heatmap(
            matrix,
            ax=axes,
            cmap=SHARES,
            vmin=0,
            vmax=1,
            cbar=False,
            linewidths=1,
        )
        texts = matrix.map(lambda v: percent(v, 0)).to_numpy()
        write_cells(axes, matrix.to_numpy(float), texts)
        axes.set(xlabel="", ylabel="")
        axes.tick_params(axis="both", rotation=0)
    alt = f"Después de {horizon}: " + "; ".join(
        f"de {level}, {percent(float(matrix.loc[level, level]), 0)} sigue igual"
        for level in matrix.index
    )
    return Plot(figure, "De un nivel a otro", alt + ".")


@in_two_forms
def bars(
    values: Mapping[str, float], source: str, title: str, unit: str, color: str = ACCENT
) -> Plot:
    """Draw counts as horizontal bars with their numbers, the largest first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    names, sizes = folded(n for n, _ in ordered), [v for _, v in ordered]
    with drawing():
        figure, (axes,) = canvas(title, unit, source, height=1.15 + 0.32 * max(len(names), 2))
        drawn = axes.barh(names, sizes, color=color, height=0.66)
        axes.bar_label(drawn, [number(v) for v in sizes], padding=4, fontsize=8.5, color=INK)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.margins(x=0.12)
    return Plot(figure, title, f"{title}: " + join(f"{n}, {number(v)}" for n, v in ordered) + ".")


def _stacked(
    wide: pd.DataFrame,
    colors: Mapping[str, str],
    names: Mapping[str, str],
    source: str,
    title: str,
    unit: str,
) -> Plot:
    """Draw rows of shares (index: country codes, columns: keys of ``colors``) as stacked bars."""
    wide = wide.reindex(columns=[name for name in colors if name in wide.columns]).fillna(0)
    wide = wide.div(wide.sum(axis=1), axis=0)
    with drawing():
        figure, (axes,) = canvas(title, unit, source, height=1.55 + 0.42 * len(wide))
        start = np.zeros(len(wide))
        places = [country(str(code)) for code in wide.index]
        for name in wide.columns:
            values = wide[name].to_numpy(float)
            axes.barh(places, values, left=start, height=_BAR, color=colors[name])
            ink = "#1a1a1a" if colors[name] in _LIGHT else "white"
            for y, (value, left) in enumerate(zip(values, start, strict=True)):
                if value >= 0.06:
                    axes.text(
                        left + value / 2,
                        y,
                        percent(value, 0),
                        fontsize=8.5,
                        color=ink,
                        ha="center",
                        va="center",
                    )
            start = start + values
        axes.set_xlim(0, 1)
        axes.set_ylim(len(wide) - 0.5, -0.5)
        axes.grid(visible=False)
        spanish_axis(axes.xaxis, percent=True)
        first = wide.iloc[0].to_numpy(float)
        middles = np.cumsum(first) - first / 2
        parts = zip(wide.columns, middles, strict=True)
        label_tops(axes, [(names[n], x, colors[n]) for n, x in parts], -_BAR / 2)
    alt = f"{title}. " + "; ".join(
        f"{country(str(code))}: " + join(f"{names[n]} {percent(row[n], 0)}" for n in wide.columns)
        for code, row in wide.iterrows()
    )
    return Plot(figure, title, alt + ".")
