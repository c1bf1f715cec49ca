"""Figures of early detection: how often a list is right, and how much it finds, by its length."""

from __future__ import annotations

import pandas as pd

from ..es import join, percent
from .style import (
    ACCENT,
    OTHER,
    Plot,
    canvas,
    drawing,
    in_two_forms,
    label_ends,
    spanish_axis,
)

_PANELS = {"precision": "De la lista, aciertan", "recall": "De todas, están en ella"}
_COLORS = (ACCENT, "#d55e00", "#009e73", OTHER)


@in_two_forms
def lists(frame: pd.DataFrame, source: str, title: str, unit: str) -> Plot:
    """Draw precision and recall by length of the list, one line an order.

    Args:
        frame: ``measure`` (``precision`` or ``recall``), ``order`` (its name), ``k``, ``value``,
            ``low``, ``high``; the first order is the one that matters.
    """
    said = []
    with drawing():
        figure, panels = canvas(
            title, unit, source, panels=len(_PANELS), columns=len(_PANELS), height=3.9
        )
        for axes, (measure, name) in zip(panels, _PANELS.items(), strict=True):
            part = frame[frame["measure"] == measure]
            ends = []
            for color, (order, line) in zip(
                _COLORS, part.groupby("order", sort=False), strict=False
            ):
                axes.fill_between(
                    line["k"], line["low"], line["high"], color=color, alpha=0.15, lw=0
                )
                axes.plot(line["k"], line["value"], color=color, marker="o", markersize=4)
                ends.append((str(order), float(line["value"].iloc[-1]), color))
            axes.set(title=name, xlabel="largo de la lista")
            axes.set_xticks(sorted(set(part["k"])))
            axes.set_ylim(bottom=0)
            spanish_axis(axes.xaxis, 0)
            spanish_axis(axes.yaxis, percent=True)
            if ends:
                label_ends(axes, ends)
                first = part[part["order"] == ends[0][0]]
                told = join(
                    f"{percent(value, 0)} con {k}"
                    for k, value in zip(first["k"], first["value"], strict=True)
                )
                said.append(f"{name}: {ends[0][0]}, {told}")
    return Plot(figure, title, f"{title}. {'; '.join(said)}.")
