"""Figures of modelling and evaluation: scores, curves, calibration, confusion, slices, effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..es import interval, join, number, percent
from ..es.numbers import day, short_days
from .style import (
    ACCENT,
    GRID,
    INK,
    LEVEL_COLORS,
    MUTED,
    OTHER,
    SHARES,
    Plot,
    canvas,
    country_colors,
    drawing,
    folded,
    in_two_forms,
    is_narrow,
    label_ends,
    shade_levels,
    spanish_axis,
)


@in_two_forms
def scores(
    frame: pd.DataFrame,
    source: str,
    title: str,
    unit: str,
    *,
    highlight: Sequence[str] = (),
    threshold: float | None = None,
) -> Plot:
    """Draw estimates with their intervals as dots, one row a name, in the frame's order.

    Args:
        frame: ``name``, ``value``, ``low``, ``high``.
        highlight: names drawn in the accent colour; the others are grey.
        threshold: a vertical line, the least value that is accepted.
    """
    above = 0.75 if threshold is None else 1.25  # rows: what names the line stands over the numbers
    height = 1.1 + 0.34 * (max(len(frame), 2) + above)
    with drawing():
        figure, (axes,) = canvas(title, unit, source, height=height)
        for y, row in enumerate(frame.itertuples()):
            color = ACCENT if not highlight or row.name in highlight else OTHER
            axes.plot([row.low, row.high], [y, y], color=color, linewidth=3.2, alpha=0.45)
            axes.plot(row.value, y, "o", color=color, markersize=7)
            axes.annotate(
                number(row.value, 3),
                (row.value, y),
                xytext=(0, 7),
                textcoords="offset points",
                fontsize=8.5,
                color=INK,
                ha="center",
            )
        if threshold is not None:
            axes.axvline(threshold, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate(
                f"mínimo {number(threshold, 2)}",
                (threshold, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -2),
                textcoords="offset points",
                fontsize=8,
                color=MUTED,
                va="top",
            )
        axes.set_yticks(range(len(frame)), folded(frame["name"]), fontsize=9, color=INK)
        axes.set_ylim(len(frame) - 0.5, -above)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.08)
        spanish_axis(axes.xaxis, 2)
    alt = f"{title} ({unit}): " + "; ".join(
        f"{row.name}, {interval(row.value, row.low, row.high)}" for row in frame.itertuples()
    )
    return Plot(figure, title, alt + ".")


@in_two_forms
def ranges(frame: pd.DataFrame, source: str) -> Plot:
    """Draw the ranges on a time axis: a bar for their windows, a line on to their last label.

    Args:
        frame: ``name``, ``first``, ``last`` (windows), ``label`` (end of the last label's window),
            ``rows``; in the order of time.
    """
    colors = (OTHER, ACCENT, "#d55e00")
    title = "Los rangos, en el tiempo"
    unit = "barra: las ventanas de sus filas; línea: hasta donde llegan sus etiquetas"
    with drawing():
        figure, (axes,) = canvas(title, unit, source, height=1.35 + 0.42 * len(frame))
        for y, (row, color) in enumerate(zip(frame.itertuples(), colors, strict=False)):
            axes.plot(
                [row.first, row.last], [y, y], color=color, linewidth=13, solid_capstyle="butt"
            )
            axes.plot([row.last, row.label], [y, y], color=color, linewidth=2.2)
            axes.axvline(row.first, color=GRID, linewidth=1, zorder=0)
        axes.set_yticks(
            range(len(frame)), [f"{r.name}\n{number(r.rows)} filas" for r in frame.itertuples()]
        )
        axes.set_ylim(len(frame) - 0.5, -0.5)
        axes.grid(visible=False)
        times = [*frame["first"], frame["label"].iloc[-1]]
        axes.set_xticks(times, short_days(times), rotation=45 if is_narrow() else 0)
    alt = f"{title}: " + "; ".join(
        f"{r.name}, {number(r.rows)} filas del {day(r.first)} al {day(r.last)}"
        for r in frame.itertuples()
    )
    return Plot(figure, title, alt + ".")


@in_two_forms
def learning_curve(frame: pd.DataFrame, source: str) -> Plot:
    """Draw validation macro-F1 against the rows of training, one line a family.

    Args:
        frame: ``family``, ``rows``, ``macro_f1``; optionally ``low`` and ``high``.
    """
    with drawing():
        figure, (axes,) = canvas(
            "Curva de aprendizaje",
            "macro-F1 en validación según las filas de entrenamiento",
            source,
        )
        ends = []
        for i, (family, part) in enumerate(frame.groupby("family", sort=False)):
            color = (OTHER, ACCENT, "#d55e00")[i % 3]
            part = part.sort_values("rows")
            if {"low", "high"} <= set(part.columns):
                axes.fill_between(
                    part["rows"], part["low"], part["high"], color=color, alpha=0.18, lw=0
                )
            axes.plot(part["rows"], part["macro_f1"], color=color, marker="o", markersize=4)
            ends.append((str(family), float(part["macro_f1"].iloc[-1]), color))
        axes.set_xlabel("filas de entrenamiento")
        spanish_axis(axes.xaxis)
        spanish_axis(axes.yaxis, 2)
        label_ends(axes, ends)
    alt = "Curva de aprendizaje. " + "; ".join(
        f"{family}: de {number(part['macro_f1'].iloc[0], 3)} con {number(part['rows'].iloc[0])} "
        f"filas a {number(part['macro_f1'].iloc[-1], 3)} con {number(part['rows'].iloc[-1])}"
        for family, part in frame.sort_values("rows").groupby("family", sort=False)
    )
    return Plot(figure, "Curva de aprendizaje", alt + ".")


@in_two_forms
def calibration(frame: pd.DataFrame, source: str) -> Plot:
    """Draw announced probability against observed frequency, one panel a level.

    Args:
        frame: ``level``, ``predicted`` (mean probability of the bin), ``observed`` (share),
            ``rows``.
    """
    gaps = {}
    with drawing():
        figure, panels = canvas(
            "Calibración",
            "frecuencia observada según la probabilidad anunciada; en la diagonal, ambas coinciden",
            source,
            panels=3,
            columns=3,
            height=3.5,
            share=True,
        )
        for axes, (level, color) in zip(panels, LEVEL_COLORS.items(), strict=True):
            part = frame[frame["level"] == level]
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
            sizes = 14 + 120 * part["rows"] / max(float(part["rows"].max()), 1)
            axes.plot(part["predicted"], part["observed"], color=color, linewidth=1.4)
            axes.scatter(part["predicted"], part["observed"], s=sizes, color=color, linewidth=0)
            axes.set(title=level, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
            axes.set_xticks([0, 0.5, 1])
            axes.set_yticks([0, 0.5, 1])
            spanish_axis(axes.xaxis, percent=True)
            spanish_axis(axes.yaxis, percent=True)
            error = (part["predicted"] - part["observed"]).abs()
            gaps[level] = float((error * part["rows"]).sum() / part["rows"].sum())
    alt = "Error medio de calibración: " + join(
        f"{level} {percent(gap)}" for level, gap in gaps.items()
    )
    return Plot(figure, "Calibración", alt + ".")


@in_two_forms
def importance(frame: pd.DataFrame, source: str) -> Plot:
    """Draw what the model loses when one variable is shuffled, the largest loss first.

    Args:
        frame: ``name``, ``value`` (drop of macro-F1), ``low``, ``high``.
    """
    shown = frame.sort_values("value", ascending=False).head(14)
    with drawing():
        figure, (axes,) = canvas(
            "Qué variables pesan",
            "caída del macro-F1 al barajar cada variable (intervalo)",
            source,
            height=1.2 + (0.4 if is_narrow() else 0.27) * len(shown),
        )
        y = np.arange(len(shown))
        axes.barh(y, shown["value"], color=ACCENT, height=0.62)
        axes.hlines(y, shown["low"], shown["high"], color=INK, linewidth=1.1)
        axes.set_yticks(y, folded(shown["name"], 26))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        spanish_axis(axes.xaxis, 2)
    alt = "Caída del macro-F1 al barajar: " + join(
        f"{row.name} {number(row.value, 3)}" for row in shown.head(6).itertuples()
    )
    return Plot(figure, "Qué variables pesan", alt + ".")


@in_two_forms
def confusion(matrices: Mapping[str, pd.DataFrame], source: str) -> Plot:
    """Draw confusion matrices side by side: row shares, with the counts under them.

    Args:
        matrices: name -> counts, rows the true level, columns the predicted one.
    """
    said = []
    with drawing():
        figure, panels = canvas(
            "Dónde acierta y dónde se equivoca",
            "filas: nivel real; columnas: nivel predicho; parte de cada fila y número de casos",
            source,
            panels=len(matrices),
            columns=len(matrices),
            height=3.7,
        )
        for axes, (name, counts) in zip(panels, matrices.items(), strict=True):
            values = counts.to_numpy(float)
            shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
            axes.pcolormesh(shares, cmap=SHARES, vmin=0, vmax=1, edgecolors="none")
            for (row, column), share in np.ndenumerate(shares):
                color = "white" if share > 0.55 else "#1a1a1a"
                axes.text(
                    column + 0.5,
                    row + 0.44,
                    percent(share, 0),
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=11,
                    fontweight="bold",
                )
                axes.text(
                    column + 0.5,
                    row + 0.72,
                    number(values[row, column]),
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=8,
                )
            ticks = np.arange(len(counts)) + 0.5
            axes.set_xticks(ticks, list(counts.columns))
            axes.set_yticks(ticks, list(counts.index))
            axes.set(title=name)
            axes.invert_yaxis()
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            said.append(
                f"{name}: acierta "
                + join(
                    f"{percent(shares[i, i], 0)} de {level}" for i, level in enumerate(counts.index)
                )
            )
    return Plot(figure, "Matrices de confusión", "Matrices de confusión. " + "; ".join(said) + ".")


@in_two_forms
def misses(
    frames: Mapping[str, pd.DataFrame],
    source: str,
    thresholds: tuple[float, float],
    horizon: int,
    ahead: str,
) -> Plot:
    """Draw the scores around some predictions, a panel each.

    Args:
        frames: what a panel shows -> ``windows`` (from the row's own, negative before it),
            ``score`` (0-100, null where the track was not there).
        source: ``params.source``.
        thresholds: the lowest scores of Alta and Media.
        horizon: the window that was predicted, and ``ahead``, the same in words.
    """
    title = "Los fallos más seguros"
    unit = f"puesto (0–100), con los niveles en color; a trazos, ahora; a puntos, {ahead} después"
    height = 1 + 1.5 * -(-len(frames) // 2)
    with drawing():
        figure, panels = canvas(title, unit, source, panels=len(frames), columns=2, height=height)
        for axes, (name, frame) in zip(panels, frames.items(), strict=True):
            shade_levels(axes, thresholds)
            axes.plot(frame["windows"], frame["score"], color=ACCENT, marker="o", markersize=2.5)
            axes.axvline(0, color=MUTED, linewidth=1, linestyle="--")
            axes.axvline(horizon, color=MUTED, linewidth=1, linestyle=":")
            axes.set_title(name, fontsize=8.5)
            first = int(frame["windows"].min())
            axes.set(xlim=(first - 0.5, horizon + 0.5), ylim=(-4, 104), yticks=[0, 50, 100])
            axes.set_xticks([])
            axes.grid(visible=False)
    return Plot(
        figure, title, f"{title}. " + "; ".join(name.replace("\n", ": ") for name in frames)
    )


@in_two_forms
def effects(panels: Mapping[str, pd.DataFrame], source: str, title: str, unit: str) -> Plot:
    """Draw how the probability of Alta moves with one variable, others left as they are.

    Args:
        panels: title -> ``x`` (a number, or text for categories), ``value``, ``low``, ``high``;
            optionally ``code`` (country) for the colour.
        unit: of the vertical axis.
    """
    said = []
    with drawing():
        figure, axes_list = canvas(
            title, unit, source, panels=len(panels), columns=len(panels), height=3.7
        )
        for axes, (name, frame) in zip(axes_list, panels.items(), strict=True):
            if frame["x"].dtype == object:
                _draw_categories(axes, frame)
            else:
                axes.fill_between(
                    frame["x"], frame["low"], frame["high"], color=ACCENT, alpha=0.2, lw=0
                )
                axes.plot(frame["x"], frame["value"], color=ACCENT)
                axes.margins(x=0)
                spanish_axis(axes.xaxis, 2 if float(frame["x"].max()) <= 1 else 0)
            axes.set(title=name)
            spanish_axis(axes.yaxis, percent=True)
            top, low = frame.loc[frame["value"].idxmax()], frame.loc[frame["value"].idxmin()]
            said.append(
                f"{name}: máximo {percent(top['value'])} en {_x(top['x'])}, mínimo "
                f"{percent(low['value'])} en {_x(low['x'])}"
            )
        lows = [axes.get_ylim()[0] for axes in axes_list]
        highs = [axes.get_ylim()[1] for axes in axes_list]
        for axes in axes_list:
            axes.set_ylim(min(lows), max(highs))
    return Plot(figure, title, f"{title}: {unit}. " + "; ".join(said) + ".")


@in_two_forms
def over_time(frame: pd.DataFrame, source: str, unit: str) -> Plot:
    """Draw macro-F1 by block of the test range, one line a model.

    Args:
        frame: ``time``, ``model``, ``macro_f1``.
    """
    said = []
    with drawing():
        figure, (axes,) = canvas("¿Aguanta con el tiempo?", unit, source)
        ends = []
        for i, (model, part) in enumerate(frame.groupby("model", sort=False)):
            color = (ACCENT, OTHER, "#d55e00")[i % 3]
            part = part.sort_values("time")
            axes.plot(part["time"], part["macro_f1"], color=color)
            ends.append((str(model), float(part["macro_f1"].iloc[-1]), color))
            said.append(
                f"{model}: entre {number(part['macro_f1'].min(), 3)} y "
                f"{number(part['macro_f1'].max(), 3)}"
            )
        axes.margins(x=0)
        axes.grid(axis="x", visible=False)
        times = pd.DatetimeIndex(sorted(set(frame["time"])))
        shown = times[:: max(1, -(-len(times) // (4 if is_narrow() else 7)))]
        axes.set_xticks(list(shown), [day(t)[:-5] for t in shown])
        spanish_axis(axes.yaxis, 2)
        label_ends(axes, ends)
    alt = f"Macro-F1 entre {day(times[0])} y {day(times[-1])}. " + "; ".join(said)
    return Plot(figure, "¿Aguanta con el tiempo?", alt + ".")


@in_two_forms
def costs(values: Mapping[str, float], source: str, unit: str, highlight: str) -> Plot:
    """Draw the cost of following each model as bars, the cheapest first."""
    ordered = sorted(values.items(), key=lambda item: item[1])
    with drawing():
        figure, (axes,) = canvas(
            "Lo que cuesta equivocarse", unit, source, height=1.2 + 0.36 * max(len(ordered), 2)
        )
        drawn = axes.barh(
            folded(n for n, _ in ordered),
            [v for _, v in ordered],
            height=0.64,
            color=[ACCENT if n == highlight else OTHER for n, _ in ordered],
        )
        axes.bar_label(drawn, [number(v, 1) for _, v in ordered], padding=4, color=INK, fontsize=9)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.margins(x=0.1)
    alt = f"Coste ({unit}): " + join(f"{n}, {number(v, 1)}" for n, v in ordered)
    return Plot(figure, "Lo que cuesta equivocarse", alt + ".")


def _draw_categories(axes: Axes, frame: pd.DataFrame) -> None:
    places = np.arange(len(frame))
    codes = frame["code"] if "code" in frame.columns else [""] * len(frame)
    found = country_colors(code for code in codes if code)
    colors = [found.get(code, OTHER) for code in codes]
    axes.vlines(places, frame["low"], frame["high"], color=colors, linewidth=3.2, alpha=0.5)
    axes.scatter(places, frame["value"], color=colors, s=46, zorder=3)
    axes.set_xticks(places, list(frame["x"]), rotation=0 if len(frame) < 5 else 35)
    axes.set_xlim(-0.6, len(frame) - 0.4)
    axes.grid(axis="x", visible=False)


def _x(value: object) -> str:
    if isinstance(value, str):
        return value
    size = float(value)  # type: ignore[arg-type]
    return number(size, 0 if size == round(size) else 2)
