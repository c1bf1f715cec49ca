"""Phase 2: what the events are like. Small frames for the figures, and what they say."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl

from ...config.params import Params
from ...config.sections import Windows
from ...domain.labels import LEVELS
from ..es import country, day, duration, join, number, percent
from ..es.countries import ZONES
from ..es.names import EVENT_TYPE_NAMES
from ..es.numbers import MONTHS
from ..figures import eda as figures
from ..figures import shares
from ..figures.style import Plot
from .show import Text

_DAY = pd.Timedelta(days=1)


def hourly(windows: Windows) -> bool:
    """Whether windows are fine enough to speak of hours of the day."""
    return windows.window <= pd.Timedelta(hours=6)


def summary(volume: pd.DataFrame, windows: Windows) -> Text:
    """Say how much there is.

    Args:
        volume: ``time``, ``country``, ``event_type``, ``events`` (records), ``value`` (their
            ``count``).
    """
    plays = volume.loc[volume["event_type"] == "play", "value"].sum()
    by_country = volume.groupby("country")["value"].sum().sort_values(ascending=False)
    top = by_country.index[0]
    return Text(
        f"Hay **{number(volume['events'].sum())} eventos** únicos entre "
        f"{day(volume['time'].min())} "
        f"y {day(volume['time'].max() + windows.window)}, que equivalen a {number(plays)} "
        + (
            f"reproducciones en {len(by_country)} países. {country(str(top))} pone "
            f"el {percent(by_country.iloc[0] / by_country.sum(), 0)}."
            if len(by_country) > 1
            else f"reproducciones en {country(str(top))}."
        )
    )


def per_day(volume: pd.DataFrame, windows: Windows) -> tuple[pd.DataFrame, str]:
    """Return plays per country and day (or window, when it is longer), and the unit's name.

    Days that the data cover only in part are left out, since they would look like a fall.
    """
    plays = volume[volume["event_type"] == "play"]
    if windows.window >= _DAY:
        grouped = plays.groupby(["time", "country"], as_index=False)["value"].sum()
        return grouped, f"reproducciones por {duration(windows.window).removeprefix('1 ')}"
    whole = plays.groupby(plays["time"].dt.floor("D"))["time"].nunique()
    complete = whole.index[whole >= _DAY / windows.window]
    grouped = (
        plays.assign(time=plays["time"].dt.floor("D"))
        .groupby(["time", "country"], as_index=False)["value"]
        .sum()
    )
    kept = grouped[grouped["time"].isin(complete)]
    return (kept if len(kept) else grouped), "reproducciones por día"


def local_week(volume: pd.DataFrame) -> pd.DataFrame:
    """Return mean plays by country, local weekday (0 is Monday) and local hour."""
    plays = volume[volume["event_type"] == "play"]
    parts = []
    for code, part in plays.groupby("country"):
        local = part["time"].dt.tz_convert(ZoneInfo(ZONES.get(str(code), "UTC")))
        parts.append(
            pd.DataFrame(
                {
                    "country": code,
                    "weekday": local.dt.weekday,
                    "hour": local.dt.hour,
                    "value": part["value"],
                }
            )
        )
    frame = pd.concat(parts)
    return frame.groupby(["country", "weekday", "hour"], as_index=False)["value"].mean()


def rhythm_figure(volume: pd.DataFrame, params: Params) -> Plot:
    """Draw the rhythm that the windows are fine enough for: of the week, or of the year."""
    if hourly(params.windows):
        return figures.rhythm(local_week(volume), params.sources.source)
    return figures.season(volume[volume["event_type"] == "play"], params.sources.source)


def rhythm_finding(volume: pd.DataFrame, windows: Windows) -> Text:
    """Say when most is heard: at which hour in each country, or in which month."""
    return _week_finding(local_week(volume)) if hourly(windows) else _season_finding(volume)


def _week_finding(week: pd.DataFrame) -> Text:
    """Say when each country listens most, and how much more than at its quietest hour."""
    by_hour = week.groupby(["country", "hour"])["value"].mean()
    parts = []
    for code in by_hour.index.get_level_values("country").unique():
        hours = by_hour.loc[code]
        ratio = hours.max() / max(hours.min(), 1e-9)
        parts.append(f"{country(str(code))} a las {hours.idxmax()} h ({number(ratio, 1)} veces)")
    weekend = week[week["weekday"] >= 5]["value"].mean() / week[week["weekday"] < 5]["value"].mean()
    compared = "más" if weekend >= 1 else "menos"
    return Text(
        f"Hora local de más escucha, y cuántas veces la de menos: {join(parts)}. En fin de semana "
        "se "
        f"oye un {percent(abs(weekend - 1), 0)} {compared} que entre semana. La hora importa para "
        "el volumen; si importa para el *puesto* de una canción lo dirá la fase 5."
    )


def _season_finding(volume: pd.DataFrame) -> Text:
    """Say which month of the year listens most and how the total has grown."""
    plays = volume[volume["event_type"] == "play"]
    weekly = plays.groupby("time")["value"].sum()
    months = weekly.groupby(weekly.index.month).mean()
    first, last = weekly.iloc[:52].mean(), weekly.iloc[-52:].mean()
    return Text(
        f"El mes con más reproducciones por semana es {MONTHS[int(months.idxmax()) - 1]}, un "
        f"{percent(months.max() / months.min() - 1, 0)} sobre {MONTHS[int(months.idxmin()) - 1]}. "
        f"Entre las primeras 52 semanas y las últimas, el total de la lista cambió un "
        f"{percent(last / first - 1, 0)}: por eso el nivel es un puesto y no un número de "
        "reproducciones."
    )


def types_figure(volume: pd.DataFrame, params: Params) -> Plot | Text:
    """Draw the mix of event types; say so where there is but one."""
    if volume["event_type"].nunique() > 1:
        return shares.mix(volume, params.sources.source)
    name = EVENT_TYPE_NAMES[volume["event_type"].iloc[0]]
    return Text(f"Todos los eventos son del mismo tipo: «{name}».")


def tail_finding(totals: pd.DataFrame) -> Text:
    """Say how concentrated listening is.

    Args:
        totals: ``country``, ``track_id``, ``plays``.
    """
    parts = []
    for code, part in totals.groupby("country"):
        plays = np.sort(part["plays"].to_numpy(float))[::-1]
        share = plays[: max(round(0.2 * len(plays)), 1)].sum() / plays.sum()
        parts.append(f"{percent(share, 0)} en {country(str(code))}")
    return Text(
        f"El 20 % de las canciones más oídas reúne el {join(parts)} de las reproducciones. Con una "
        "cola así, un nivel definido por volumen absoluto tendría casi todo en *Baja*; el "
        "percentil reparte mejor los casos."
    )


def overlap(totals: pd.DataFrame, top: int = 100) -> pd.DataFrame:
    """Return, for each pair of countries, the share of the row's top tracks in the column's top."""
    best = {
        code: set(part.nlargest(top, "plays")["track_id"])
        for code, part in totals.groupby("country")
    }
    codes = list(best)
    shares = [[len(best[a] & best[b]) / max(len(best[a]), 1) for b in codes] for a in codes]
    return pd.DataFrame(shares, codes, codes)


def overlap_figure(shared: pd.DataFrame, params: Params) -> Plot | None:
    """Draw what the countries share, where there are several."""
    return figures.overlap(shared, params.sources.source) if len(shared) > 1 else None


def overlap_finding(shared: pd.DataFrame) -> Text:
    """Say which countries are alike and what that is worth to the model."""
    values = shared.where(~np.eye(len(shared), dtype=bool)).stack()
    if values.empty:
        return Text("Hay un solo país: no hay nada que comparar.")
    (a, b), (c, d) = values.idxmax(), values.idxmin()
    return Text(
        f"{country(a)} y {country(b)} son quienes más comparten ({percent(values.max(), 0)} de las "
        f"cien primeras); {country(c)} y {country(d)}, quienes menos ({percent(values.min(), 0)}). "
        "Lo que pasa en otro país puede anunciar lo que pasará aquí: entra en las variables."
    )


def life(plays: pd.DataFrame, windows: Windows, longest: int = 60) -> pd.DataFrame:
    """Return the typical life of a track: the share of its own maximum by age.

    Args:
        plays: ``country``, ``track_id``, ``time``, ``plays``; one row a day or longer window.
        windows: the unit of age is a day, or the window when it is longer.
        longest: ages shown at most.

    Returns:
        ``age``, ``median``, ``low``, ``high`` (quartiles) and ``tracks``. Only tracks that appear
        after the first unit of time count (of the others the beginning is not known), and only
        ages that at least 30 of them could have reached.
    """
    unit = max(pd.Timedelta(windows.window), _DAY)
    frame = plays.copy()
    frame["step"] = ((frame["time"] - frame["time"].min()) // unit).astype(int)
    frame = frame.groupby(["country", "track_id", "step"], as_index=False)["plays"].sum()
    groups = frame.groupby(["country", "track_id"])
    frame["first"] = groups["step"].transform("min")
    frame["share"] = frame["plays"] / groups["plays"].transform("max")
    frame = frame[(frame["first"] > 0) & frame["share"].notna()]
    last = int(frame["step"].max()) if len(frame) else 0
    tracks = frame.drop_duplicates(["country", "track_id"])
    table = frame.assign(age=frame["step"] - frame["first"]).pivot_table(
        index=["country", "track_id"], columns="age", values="share", aggfunc="sum"
    )
    firsts = tracks.set_index(["country", "track_id"])["first"].reindex(table.index)
    rows: list[tuple[float, ...]] = []
    for age in range(min(longest, last) + 1):
        reached = firsts[firsts + age <= last].index
        if len(reached) < 30 or (rows and rows[-1][3] == 0):
            break  # too few to speak of, or three quarters are gone
        # A track that could have been heard at that age and was not: zero, not missing.
        shares = (
            table[age].reindex(reached).fillna(0) if age in table else pd.Series(0.0, index=reached)
        )
        rows.append(
            (age, shares.median(), shares.quantile(0.25), shares.quantile(0.75), len(shares))
        )
    return pd.DataFrame(rows, columns=["age", "median", "low", "high", "tracks"])


def life_figure(curve: pd.DataFrame, params: Params) -> Plot | None:
    """Draw the typical life of a track, where enough of them begin in the data."""
    unit = age_unit(params.windows)
    return figures.life(curve, params.sources.source, unit) if len(curve) else None


def age_unit(windows: Windows) -> str:
    """Return the plural name of the unit of age in `life`."""
    if windows.window > _DAY:
        return "semanas" if windows.window == 7 * _DAY else "ventanas"
    return "días"


def life_finding(curve: pd.DataFrame, windows: Windows) -> Text:
    """Say when the typical track peaks and how fast it fades."""
    if curve.empty:
        return Text("Hay muy pocas canciones nuevas en este tramo para dibujar una vida típica.")
    unit = age_unit(windows)
    peak = curve.loc[curve["median"].idxmax()]
    after = curve[(curve["age"] > peak["age"]) & (curve["median"] <= peak["median"] / 2)]
    fades = (
        f"y cae a la mitad {number(after['age'].iloc[0] - peak['age'])} {unit} después"
        if len(after)
        else "y no ha caído a la mitad en el tiempo observado"
    )
    return Text(
        f"De {number(curve['tracks'].iloc[0])} estrenos, la mediana toca su mejor momento a "
        f"{number(peak['age'])} {unit} {fades}. La edad y el impulso reciente dicen cosas "
        "distintas: ambos entran en el modelo."
    )


def lead(frame: pl.DataFrame, windows: Windows) -> pd.DataFrame:
    """Return how signals now go with the play score later, among tracks with the same score now.

    Args:
        frame: features: row key, ``play_score``, ``searches``, ``recommendations``, ``skips``.
        windows: window and lags (how far ahead to look).

    Returns:
        ``signal``, ``lag`` (windows), ``correlation``: Pearson's, after subtracting from both
        sides the mean of the 5-point band of the score now (else regression to the mean would
        show as an effect). Signals without a single event are left out.
    """
    keys = ["country", "track_id"]
    base = frame.filter(pl.col("play_score").is_not_null()).select(
        *keys, "window_start", "play_score", "searches", "recommendations", "skips"
    )
    signals = {"search_result": "searches", "recommendation": "recommendations", "skip": "skips"}
    rows = []
    for lag in windows.lags:
        later = base.select(
            *keys,
            (pl.col("window_start") - lag * windows.window).alias("window_start"),
            pl.col("play_score").alias("later"),
        )
        joined = base.join(later, on=[*keys, "window_start"]).with_columns(
            band=(pl.col("play_score") // 5)
        )
        for signal, column in signals.items():
            if joined.is_empty() or base[column].sum() == 0:
                continue
            strength = pl.col(column).cast(pl.Float64).log1p()
            centred = joined.select(
                x=strength - strength.mean().over("band"),
                y=pl.col("later") - pl.col("later").mean().over("band"),
            )
            value = centred.select(pl.corr("x", "y")).item()
            rows.append((signal, lag, value))
    return pd.DataFrame(rows, columns=["signal", "lag", "correlation"])


def lead_figure(table: pd.DataFrame, params: Params) -> Plot | None:
    """Draw how signals go with what comes later, where there are signals."""
    unit = window_unit(params.windows)
    return figures.lead(table, params.sources.source, unit) if len(table) else None


def lead_finding(table: pd.DataFrame, windows: Windows) -> Text:
    """Say which signal is worth most to who looks ahead."""
    if table["correlation"].notna().sum() == 0:
        return Text(
            "Estos datos no traen búsquedas, recomendaciones ni saltos: no hay señal que pueda "
            "adelantarse, y el modelo tendrá que leer el futuro en la propia trayectoria."
        )
    best = table.loc[table["correlation"].abs().idxmax()]
    ahead = duration(windows.window * int(best["lag"]))
    how = "más arriba" if best["correlation"] > 0 else "más abajo"
    return Text(
        f"Entre canciones con el mismo puesto ahora, las que tienen más "
        f"«{EVENT_TYPE_NAMES[best['signal']]}» están {how} {ahead} después (correlación "
        f"{number(best['correlation'], 2)}). "
        + ("La señal es débil. " if abs(best["correlation"]) < 0.3 else "La señal es clara. ")
        + "Es lo que el modelo puede saber y la persistencia no."
    )


def transition_matrix(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each later level (columns) given the level now (rows).

    Args:
        pairs: ``now``, ``later`` (levels), ``pairs`` (how many).
    """
    wide = pairs.pivot_table(index="now", columns="later", values="pairs", aggfunc="sum")
    wide = wide.reindex(index=LEVELS, columns=LEVELS).fillna(0)
    return wide.div(wide.sum(axis=1).replace(0, 1), axis=0)


def transition_finding(matrix: pd.DataFrame, params: Params) -> Text:
    """Say how far persistence goes."""
    ahead = duration(params.windows.window * params.model.horizon)
    kept = {level: float(matrix.loc[level, level]) for level in LEVELS}
    weak = min(kept, key=lambda level: kept[level])
    return Text(
        f"Después de {ahead} sigue en su nivel el {percent(kept['Alta'], 0)} de Alta, el "
        f"{percent(kept['Media'], 0)} de Media y el {percent(kept['Baja'], 0)} de Baja. Decir "
        f"«seguirá igual» es la vara que hay que superar, y donde más falla es en {weak}."
    )


def decision(matrix: pd.DataFrame, windows: Windows) -> Text:
    """Say what this phase decides for the next."""
    kept = float(np.mean([matrix.loc[level, level] for level in LEVELS]))
    clock = (
        "la hora y el día entran como variables"
        if hourly(windows)
        else "la estación del año entra como variable, y la hora no (aquí vale siempre lo mismo)"
    )
    level = {
        "plays": "un **puesto dentro del país**",
        "api": "la **popularidad que da la API**, igual en todos los países",
    }[windows.target]
    return Text(
        f"El nivel será {level}; {clock}. La persistencia acierta de media el "
        f"{percent(kept, 0)} de cada nivel: es la vara. Además del presente, cada fila llevará su "
        f"trayectoria (ventanas anteriores: {join(str(lag) for lag in windows.lags)}) y "
        "lo que pasa en los otros países.",
        "decision",
    )


def horizon(params: Params) -> str:
    """Return how far ahead the label looks, in words."""
    return duration(params.windows.window * params.model.horizon)


def window_unit(windows: Windows) -> str:
    """Return the plural name of a window."""
    names = {"1 hora": "horas", "1 día": "días", "1 semana": "semanas", "1 minuto": "minutos"}
    return names.get(duration(windows.window), "ventanas")
