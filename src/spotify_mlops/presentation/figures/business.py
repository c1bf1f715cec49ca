"""The figure of the first phase: the question, in the life of one track."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from ..es import moment, number
from ..es.numbers import short_days
from .style import (
    ACCENT,
    LEVEL_COLORS,
    MUTED,
    Plot,
    canvas,
    drawing,
    in_two_forms,
    shade_levels,
    spanish_axis,
)


@in_two_forms
def question(
    frame: pd.DataFrame, source: str, track: str, thresholds: tuple[float, float], ahead: str
) -> Plot:
    """Draw the score of a track up to a window, and the window of which the level is asked.

    Args:
        frame: ``time`` (start of the window), ``score`` (0-100), of one track in one country. The
            last row is the window that is asked about, the last but one the present.
        source: ``params.source``.
        track: whose score it is, and where.
        thresholds: the lowest scores of Alta and Media.
        ahead: how far ahead the question looks, e.g. ``1 día``.
    """
    known, asked = frame.iloc[:-1], frame.iloc[-1]
    now = known.iloc[-1]
    title = "La pregunta, en una canción"
    with drawing():
        figure, (axes,) = canvas(title, f"puesto de {track}, de 0 a 100", source)
        _name_levels(axes, thresholds)
        axes.plot(known["time"], known["score"], color=ACCENT, marker="o", markersize=3)
        axes.axvline(now["time"], color=MUTED, linewidth=1, linestyle="--")
        axes.axvline(asked["time"], color=MUTED, linewidth=1, linestyle=":")
        # To either side, as the two may be close.
        for time, said, side in (
            (now["time"], "ahora", "right"),
            (asked["time"], f"{ahead} después", "left"),
        ):
            axes.text(time, 103, said, ha=side, fontsize=9)
        axes.text(asked["time"], 50, "¿?", ha="center", va="center", fontsize=20, fontweight="bold")
        spanish_axis(axes.yaxis, 0)
        _dates(axes, [known["time"].iloc[0], now["time"], asked["time"]])
    alt = (
        f"El puesto de {track} ventana a ventana, hasta el {moment(now['time'])}, en que es "
        f"{number(now['score'], 0)}. Se pregunta por su nivel {ahead} después."
    )
    return Plot(figure, title, alt)


def _name_levels(axes: Axes, thresholds: tuple[float, float]) -> None:
    """Shade the scores of each level, and name them at the right edge."""
    for level, low, high in shade_levels(axes, thresholds):
        axes.text(
            1.012,
            (low + high) / 200,
            level,
            transform=axes.transAxes,
            color=LEVEL_COLORS[level],
            fontsize=9,
            fontweight="bold",
            va="center",
        )
    axes.set_ylim(0, 100)
    axes.grid(visible=False)


def _dates(axes: Axes, times: Sequence[pd.Timestamp]) -> None:
    """Write the days of some times under an axis, and the hour where days alone would be equal."""
    days = short_days(times)
    hours = [f"{time:%H} h" for time in times]
    same = len(set(days)) < len(days)
    labels = [f"{d}\n{h}" for d, h in zip(days, hours, strict=True)] if same else days
    axes.set_xticks(list(times), labels)
