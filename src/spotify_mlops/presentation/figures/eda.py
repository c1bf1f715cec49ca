"""Figures of the exploration: volume, rhythm, tail, countries, life of a track, signals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, num2date
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..es import country, join, number, percent
from ..es.names import EVENT_TYPE_NAMES
from ..es.numbers import MONTHS, WEEKDAYS, day
from .style import (
    ACCENT,
    EVENT_TYPE_COLORS,
    MUTED,
    SHARES,
    Plot,
    canvas,
    country_colors,
    drawing,
    has_room,
    in_two_forms,
    is_narrow,
    label_ends,
    place_of,
    spanish_axis,
    write_cells,
)

_LEVEL_NAME = 14
"""Letters that the name of a country has room for, side by side with others."""


@in_two_forms
def volume(frame: pd.DataFrame, source: str, unit: str) -> Plot:
    """Draw the volume over time, one line a country.

    Args:
        frame: ``time`` (timestamp), ``country``, ``value``.
        source: ``params.source``.
        unit: what ``value`` counts, e.g. ``reproducciones por día``.
    """
    wide = frame.pivot_table(index="time", columns="country", values="value", aggfunc="sum")
    with drawing():
        height = max(3.5, 1 + 0.25 * len(wide.columns))
        title = "Volumen en el tiempo"
        figure, (axes,) = canvas(title, f"{unit}, por país", source, height=height)
        ends = []
        for code, color in country_colors(wide.columns).items():
            axes.plot(wide.index, wide[code], color=color)
            ends.append((country(code), float(wide[code].dropna().iloc[-1]), color))
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
        axes.grid(axis="x", visible=False)
        spanish_axis(axes.yaxis)
        _spanish_dates(axes)
        label_ends(axes, ends, gap=min(0.07, 1 / len(ends)))
    totals = wide.sum().sort_values(ascending=False)
    alt = (
        f"Líneas de {unit} entre {day(wide.index.min())} y "
        f"{day(wide.index.max())}. De mayor a menor total: "
        + join(f"{country(c)} ({number(v)})" for c, v in totals.items())
        + "."
    )
    return Plot(figure, title, alt)


@in_two_forms
def rhythm(frame: pd.DataFrame, source: str) -> Plot:
    """Draw the week as a heat map, one panel a country: local hour by weekday.

    Args:
        frame: ``country``, ``weekday`` (0 is Monday), ``hour`` (local), ``value``.
    """
    countries = list(dict.fromkeys(frame["country"]))
    means = frame.groupby("country")["value"].mean()
    highest = float((frame["value"] / frame["country"].map(means)).quantile(0.99))
    peaks = []
    with drawing():
        figure, panels = canvas(
            "El ritmo de la semana",
            "reproducciones por hora local; 1 = la media del país",
            source,
            panels=len(countries),
            columns=2,
            height=1.0 + 1.75 * ((len(countries) + 1) // 2),
        )
        for axes, code in zip(panels, countries, strict=True):
            part = frame[frame["country"] == code]
            wide = part.pivot_table(index="weekday", columns="hour", values="value", aggfunc="mean")
            wide = wide.reindex(index=range(7), columns=range(24))
            relative = wide / np.nanmean(wide.to_numpy())
            sns.heatmap(
                relative,
                ax=axes,
                cmap="cividis",
                vmin=0,
                vmax=highest,
                cbar=place_of(axes).is_last_col(),
                cbar_kws={"format": FuncFormatter(lambda v, _: number(v, 1))},
                yticklabels=WEEKDAYS,
                xticklabels=False,
                rasterized=False,
            )
            axes.set(title=country(code), xlabel="", ylabel="")
            axes.set_xticks([0.5, 6.5, 12.5, 18.5], ["0 h", "6 h", "12 h", "18 h"], rotation=0)
            axes.tick_params(axis="y", rotation=0)
            peak_day, peak_hour = relative.stack().idxmax()
            peaks.append(f"{country(code)}, {WEEKDAYS[int(peak_day)]} a las {int(peak_hour)} h")
    alt = "Mapas de calor de día de la semana por hora local. Máximo: " + "; ".join(peaks) + "."
    return Plot(figure, "El ritmo de la semana", alt)


@in_two_forms
def season(frame: pd.DataFrame, source: str) -> Plot:
    """Draw the year as a heat map: mean weekly plays of each month and year, all countries.

    Args:
        frame: ``time`` (timestamp of the week), ``value``.
    """
    times = pd.DatetimeIndex(frame["time"])
    weekly = frame["value"].groupby(times).sum()
    index = pd.DatetimeIndex(weekly.index)
    wide = weekly.groupby([index.year, index.month]).mean().unstack()
    wide = wide.reindex(columns=range(1, 13)).set_axis(MONTHS, axis="columns") / 1e6
    shown = wide.T if is_narrow() else wide
    with drawing():
        figure, (axes,) = canvas(
            "El ritmo del año",
            "millones de reproducciones por semana, media de cada mes",
            source,
            height=1.3 + 0.42 * len(shown),
        )
        sns.heatmap(
            shown,
            ax=axes,
            cmap=SHARES,
            linewidths=1,
            cbar=False,
            xticklabels=True,
            yticklabels=True,
        )
        values = shown.to_numpy(float)
        shares = (values - np.nanmin(values)) / max(np.nanmax(values) - np.nanmin(values), 1e-9)
        write_cells(axes, shares, shown.map(number).to_numpy())
        axes.set(xlabel="", ylabel="")
        axes.grid(visible=False)
        axes.tick_params(axis="y", rotation=0)
    top_year, top_month = wide.stack().idxmax()
    alt = (
        f"Mapa de calor de año por mes. El mes con más reproducciones por semana es "
        f"{top_month} de {int(top_year)}, con "
        f"{number(wide.loc[top_year, top_month])} millones."
    )
    return Plot(figure, "El ritmo del año", alt)


@in_two_forms
def tail(frame: pd.DataFrame, source: str) -> Plot:
    """Draw how concentrated listening is: plays by rank, and the cumulative share.

    Args:
        frame: ``country``, ``plays`` (total of one track there).
    """
    shares = []
    colors = country_colors(frame["country"])
    with drawing():
        figure, (left, right) = canvas(
            "La cola larga",
            "cada punto es una canción en un país, de la más a la menos oída",
            source,
            panels=2,
            columns=2,
            height=max(3.5, 1 + 0.25 * len(colors)),
        )
        ends = []
        for code, part in frame.groupby("country", sort=False):
            plays = np.sort(part["plays"].to_numpy(float))[::-1]
            plays = plays[plays > 0]
            color = colors[str(code)]
            rank = np.arange(1, len(plays) + 1)
            left.plot(rank, plays, color=color)
            cumulative = np.cumsum(plays) / plays.sum()
            right.plot(rank / len(plays), cumulative, color=color)
            top = float(cumulative[max(round(0.2 * len(plays)) - 1, 0)])
            shares.append((str(code), top))
            ends.append((country(str(code)), top, color))
        left.set(xscale="log", yscale="log", xlabel="puesto (escala log)", title="Reproducciones")
        spanish_axis(left.xaxis)
        spanish_axis(left.yaxis)
        for axis in (left.xaxis, left.yaxis):
            axis.set_minor_formatter(NullFormatter())
        right.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        right.axvline(0.2, color=MUTED, linewidth=1, linestyle="--")
        right.set(title="Parte acumulada del total", xlabel="parte de las canciones", xlim=(0, 1))
        right.set_ylim(0, 1.01)
        spanish_axis(right.xaxis, percent=True)
        spanish_axis(right.yaxis, percent=True)
        ends.sort(key=lambda end: -end[1])  # from the top curve down, as they lie at the mark
        step = min(0.11, 1 / len(ends))
        named = [(name, 1 - step * i, color) for i, (name, _, color) in enumerate(ends)]
        label_ends(right, named, gap=0.8 * step)
    alt = "El 20 % de las canciones más oídas reúne: " + join(
        f"{percent(share, 0)} de las reproducciones en {country(code)}" for code, share in shares
    )
    return Plot(figure, "La cola larga", alt + ".")


@in_two_forms
def overlap(shared: pd.DataFrame, source: str) -> Plot:
    """Draw how many of a country's listened tracks are listened elsewhere too.

    Args:
        shared: countries by countries, two at least; the share of the row's tracks that the
            column has.
    """
    names = [country(code) for code in shared.index]
    with drawing():
        figure, (axes,) = canvas(
            "Lo que los países comparten",
            "de las canciones más oídas de la fila, qué parte lo es también en la columna",
            source,
            height=1.4 + 0.5 * len(shared),
        )
        values = shared.to_numpy(float).copy()
        np.fill_diagonal(values, np.nan)
        numbers = has_room(len(names), 5)
        sns.heatmap(
            pd.DataFrame(values, names, names),
            ax=axes,
            cmap=SHARES,
            vmin=0,
            vmax=1,
            linewidths=1,
            cbar=not numbers,
            cbar_kws={"format": FuncFormatter(lambda v, _: percent(v, 0))},
        )
        if numbers:
            write_cells(axes, values, shared.map(lambda v: percent(v, 0)).to_numpy())
        axes.grid(visible=False)
        axes.tick_params(axis="both", rotation=0)
        if not has_room(len(names), _LEVEL_NAME):
            axes.tick_params(axis="x", rotation=90)
    stacked = pd.DataFrame(values, names, names).stack()
    (row, column), best = stacked.idxmax(), float(stacked.max())
    (low_row, low_column), worst = stacked.idxmin(), float(stacked.min())
    alt = (
        f"Mapa de calor entre países. La pareja que más comparte: {percent(best, 0)} de {row} está "
        f"en {column}; la que menos: {percent(worst, 0)} de {low_row} está en {low_column}."
    )
    return Plot(figure, "Lo que los países comparten", alt)


@in_two_forms
def lead(frame: pd.DataFrame, source: str, unit: str) -> Plot:
    """Draw how what happens now goes with the change of plays later.

    Args:
        frame: ``signal`` (event type), ``lag`` (windows), ``correlation``.
        unit: name of one window, e.g. ``horas``.
    """
    with drawing():
        figure, (axes,) = canvas(
            "Qué se adelanta a las reproducciones",
            f"correlación de cada señal con el cambio de puesto, {unit} después",
            source,
        )
        ends = []
        for name, part in frame.groupby("signal", sort=False):
            color = EVENT_TYPE_COLORS.get(str(name), ACCENT)
            axes.plot(part["lag"], part["correlation"], color=color, marker="o", markersize=4)
            label = EVENT_TYPE_NAMES.get(str(name), str(name))
            ends.append((label, float(part["correlation"].iloc[-1]), color))
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.set_xlabel(f"{unit} después")
        spanish_axis(axes.yaxis, 2)
        label_ends(axes, ends)
    best = frame.loc[frame["correlation"].abs().idxmax()]
    alt = (
        f"Líneas de correlación por retraso. La más fuerte: "
        f"{EVENT_TYPE_NAMES.get(best['signal'], best['signal'])}, {number(best['correlation'], 2)} "
        f"a {number(best['lag'])} {unit}."
    )
    return Plot(figure, "Qué se adelanta a las reproducciones", alt)


@in_two_forms
def life(frame: pd.DataFrame, source: str, unit: str) -> Plot:
    """Draw the typical life of a track since its first plays: median and middle half.

    Args:
        frame: ``age`` (windows or days), ``median``, ``low``, ``high`` (share of the track's own
            maximum), ``tracks`` (how many reach that age).
        unit: unit of ``age``, e.g. ``días``.
    """
    with drawing():
        figure, (axes,) = canvas(
            "La vida de una canción",
            "reproducciones como parte del máximo de cada canción: mediana y mitad central",
            source,
        )
        axes.fill_between(frame["age"], frame["low"], frame["high"], color=ACCENT, alpha=0.22, lw=0)
        axes.plot(frame["age"], frame["median"], color=ACCENT)
        axes.set_ylim(0, 1)
        axes.margins(x=0)
        axes.set_xlabel(f"{unit} desde la primera reproducción")
        spanish_axis(axes.yaxis, percent=True)
        spanish_axis(axes.xaxis)
    peak = frame.loc[frame["median"].idxmax()]
    last = frame.iloc[-1]
    alt = (
        f"La mediana llega a {percent(peak['median'], 0)} del máximo a "
        f"{number(peak['age'])} {unit} "
        f"y está en {percent(last['median'], 0)} a {number(last['age'])} {unit}."
    )
    return Plot(figure, "La vida de una canción", alt)


def _spanish_dates(axes: Axes) -> None:
    """Write the dates under an axis as ``5 ene``, or ``ene 2018`` over more than half a year."""
    low, high = (num2date(x) for x in axes.get_xlim())
    long = (high - low).days > 200

    def write(x: float, _: int | None) -> str:
        time = num2date(x)
        return (
            f"{MONTHS[time.month - 1]} {time.year}"
            if long
            else (f"{time.day} {MONTHS[time.month - 1]}")
        )

    most = 4 if is_narrow() else 8
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=most // 2, maxticks=most))
    axes.xaxis.set_major_formatter(FuncFormatter(write))
