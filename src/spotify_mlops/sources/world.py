"""The simulated world: a catalogue of invented tracks and how sought after each one is, when.

Everything is a closed function of (seed, time), so any hour can be computed alone and the live
part meets the same world as the history before it. The mechanisms, in hours since the start:

- a track's *interest* in a country is its quality (heavy-tailed) times the country's taste for
  it, times a slow wobble, times its life: constant for the old catalogue; for a release a rise
  and a decay (exponential, power law or slow burner) that reaches other countries with a delay;
- viral bursts and playlist placements add to it for some days;
- searches follow interest at once and recommendations follow playlists at once, while plays
  follow both `LEAD` hours later: that is why searches and recommendations predict plays;
- listeners skip what is on its way down;
- in the other regime tracks take turns: up half a day, then down; it begins and ends by turns on
  the days of ``simulator_regime_day``;
- a country's total follows the hour and the weekend of its own time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..config.errors import ParamsError
from ..config.params import Params
from ..config.sections import Simulator
from ..domain.events import EVENT_TYPES
from ..domain.windows import Windowing

LEAD = 20.0
"""Hours by which searches and recommendations run ahead of most plays."""
IMMEDIATE = 0.2
"""Share of the plays that do not wait."""
RELEASE_SHARE = 0.8
"""Share of the tracks that are released around or during the simulated time."""
HOURS_BEFORE = 14 * 24
"""Releases begin this long before the start, so that the start looks like any other day."""
TRAVELS = 0.6
"""Probability that a track is heard at all in a country that is not its own."""
FORGOTTEN = 0.04
"""A release below this part of its peak is not heard any more."""
ANNOUNCED = 36.0
"""Hours for which a release is announced (``new_release`` events)."""
FASHION, FASHION_HOURS = 4.0, 24.0
"""Height (of a logarithm) and period of the other regime's turns."""

# Relative listening volume, time zone, neighbours in taste.
_COUNTRIES: dict[str, tuple[float, str]] = {
    "CO": (0.9, "America/Bogota"),
    "AR": (0.8, "America/Argentina/Buenos_Aires"),
    "US": (1.4, "America/New_York"),
    "MX": (1.2, "America/Mexico_City"),
    "ES": (1.0, "Europe/Madrid"),
    "BR": (1.1, "America/Sao_Paulo"),
}
SUPPORTED_COUNTRIES = tuple(_COUNTRIES)

# Share of a day's listening in each local hour, weekdays and weekends (each sums to about 24).
_WEEKDAY = np.array(
    [0.45, 0.3, 0.22, 0.2, 0.25, 0.45, 0.8, 1.15, 1.3, 1.2, 1.15, 1.15,
     1.2, 1.2, 1.15, 1.2, 1.3, 1.45, 1.5, 1.45, 1.35, 1.2, 0.95, 0.7]
)  # fmt: skip
_WEEKEND = np.array(
    [0.9, 0.7, 0.5, 0.35, 0.25, 0.25, 0.35, 0.55, 0.8, 1.05, 1.2, 1.3,
     1.35, 1.35, 1.3, 1.3, 1.35, 1.4, 1.45, 1.5, 1.5, 1.45, 1.35, 1.2]
)  # fmt: skip

# How many of each kind there are for one listen, in a world at rest.
_MIX = {"search_result": 0.30, "recommendation": 0.26, "new_release": 0.12}

_ADJECTIVES = (
    "Azul", "Eléctrica", "de Papel", "Nocturna", "sin Nombre", "de Neón", "Lejana", "de Sal",
    "Invisible", "de Marzo", "al Revés", "de Vidrio", "Salvaje", "Fugaz", "de Arena", "Lenta",
    "en Espiral", "de Ceniza", "Clara", "del Sur",
)  # fmt: skip
_NOUNS = (
    "Marea", "Órbita", "Ventana", "Lluvia", "Frontera", "Ciudad", "Sombra", "Brújula", "Noche",
    "Avenida", "Promesa", "Máquina", "Selva", "Señal", "Estación", "Curva", "Memoria", "Luna",
    "Carretera", "Tormenta", "Canción", "Ola", "Chispa", "Habitación",
)  # fmt: skip
_FIRST = (
    "Los", "Las", "DJ", "La Banda de", "Orquesta", "Dúo", "MC", "Colectivo", "Trío", "Proyecto",
)  # fmt: skip
_LAST = (
    "Vectores", "Semilla", "Gradiente", "Ruido Blanco", "Entropía", "Poisson", "Mediana",
    "Percentil", "Bootstrap", "Kappa", "Tensor", "Logística", "Muestra", "Residuo", "Sigmoide",
    "Varianza", "Hipótesis", "Cuartil", "Época", "Azar", "Coseno", "Umbral", "Deriva", "Sesgo",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """The catalogue and its life; arrays of one row a track (K) and one column a country (C)."""

    start: datetime
    hours: int
    """Hours of the history; the live part goes on after them."""
    countries: tuple[str, ...]
    track_id: pl.Series
    track_name: pl.Series
    artist_name: pl.Series
    artist_id: pl.Series
    release_date: pl.Series
    quality: NDArray[np.float64]  # K
    taste: NDArray[np.float64]  # C, K
    released: NDArray[np.float64]  # C, K: hours since the start; -inf in the old catalogue
    rise: NDArray[np.float64]  # K, hours
    half_life: NDArray[np.float64]  # K, hours
    shape: NDArray[np.int64]  # K: 0 exponential, 1 power law, 2 slow burner
    wobble: NDArray[np.float64]  # 3, K: amplitude, period in hours, phase
    viral: NDArray[np.float64]  # 3, B, K: time, height, decay in hours
    playlist: NDArray[np.float64]  # 3, B, K
    fashion: NDArray[np.float64]  # K: phase
    regimes: tuple[float, ...]
    """Hours at which tracks begin to come and go by turns, end it, begin again..."""

    @classmethod
    def of(cls, params: Params) -> World:
        """Invent the world of these params, always the same one.

        Raises:
            ParamsError: a country has no rhythm here.
        """
        unknown = [code for code in params.sources.countries if code not in _COUNTRIES]
        if unknown:
            raise ParamsError(
                f"El simulador no conoce {', '.join(unknown)}: usa countries de "
                f"{', '.join(_COUNTRIES)}."
            )
        start = datetime.combine(params.simulator.start, datetime.min.time(), UTC)
        hours = _history_hours(start, params)
        span = hours + -(-params.simulator.live_duration // timedelta(hours=1))
        # Every country has its column whatever ``countries`` says, so that leaving one out
        # does not change the lives of the tracks in the others.
        rng = np.random.default_rng([params.simulator.seed, 0])
        tracks, width = params.simulator.tracks, len(_COUNTRIES)
        new = np.arange(tracks) < round(RELEASE_SHARE * tracks)
        released = np.where(new, rng.uniform(-HOURS_BEFORE, span, tracks), -np.inf)
        home = rng.integers(0, width, tracks)
        delay = rng.gamma(2.0, 16.0, (width, tracks))
        delay[home, np.arange(tracks)] = 0.0
        # Releases compete from the first day: their peak is above what the catalogue keeps.
        quality = np.exp(rng.normal(np.where(new, 1.5, 0.0), 1.45, tracks))
        affinity = rng.normal(0.0, 0.6, (width, tracks))
        affinity[home, np.arange(tracks)] += 0.8
        # Many tracks never leave home: a track is heard in a country or it is not.
        heard = rng.random((width, tracks)) < TRAVELS
        heard[home, np.arange(tracks)] = True
        affinity = np.where(heard, affinity, -np.inf)
        columns = [SUPPORTED_COUNTRIES.index(code) for code in params.sources.countries]
        artists = rng.integers(0, max(tracks // 4, 1), tracks)
        return cls(
            start=start,
            hours=hours,
            countries=tuple(params.sources.countries),
            quality=quality,
            taste=np.exp(affinity)[columns],
            released=(released + delay)[columns],
            rise=rng.uniform(4.0, 30.0, tracks),
            half_life=np.exp(rng.normal(np.log(80.0), 0.6, tracks)),
            shape=rng.choice(3, tracks, p=[0.5, 0.25, 0.25]),
            wobble=np.stack(
                [
                    rng.uniform(0.3, 1.2, tracks),
                    rng.uniform(65.0, 180.0, tracks),
                    rng.uniform(0.0, 2 * np.pi, tracks),
                ]
            ),
            viral=_bursts(rng, tracks, span, every=20 * 24, height=3.0, decay=40.0),
            playlist=_bursts(rng, tracks, span, every=14 * 24, height=2.0, decay=70.0),
            fashion=np.random.default_rng([params.simulator.seed, 3]).uniform(0, 2 * np.pi, tracks),
            regimes=tuple(24 * day for day in params.simulator.regime_day or ()),
            **_names(params.simulator, start, tracks, released, artists),
        )

    @property
    def end(self) -> datetime:
        """Return the end of the history: where the live part begins."""
        return self.start + timedelta(hours=self.hours)

    def volume(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the relative listening volume of hours first..last-1, shape (hours, C)."""
        times = pl.select(
            pl.datetime_range(
                self.start + timedelta(hours=first),
                self.start + timedelta(hours=last),
                "1h",
                closed="left",
                time_zone="UTC",
            ).alias("t")
        )["t"]
        columns = []
        for code in self.countries:
            weight, zone = _COUNTRIES[code]
            local = times.dt.convert_time_zone(zone)
            hour = local.dt.hour().to_numpy()
            weekend = local.dt.weekday().to_numpy() >= 6
            columns.append(weight * np.where(weekend, _WEEKEND[hour], _WEEKDAY[hour]))
        return np.stack(columns, axis=1)

    def rates(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the relative rate of each kind of event, shape (hours, C, kind, K).

        Kinds are in the order of ``EVENT_TYPES``; the rates of a country sum to one, because
        its listening time is what its rhythm says: tracks compete for it.
        """
        hours = np.arange(first, last, dtype=np.float64) + 0.5
        interest, playlist = self._interest(hours)
        earlier, playlist_earlier = self._interest(hours - LEAD)
        now = interest + playlist
        listening = IMMEDIATE * now + (1 - IMMEDIATE) * (earlier + playlist_earlier)
        skipped = np.clip(0.16 * (listening / np.maximum(now, 1e-12)) ** 0.8, 0.04, 0.55)
        age = hours[:, None, None] - self.released[None]
        announced = (age >= 0) & (age < ANNOUNCED)
        by_type = {
            "play": listening * (1 - skipped),
            "skip": listening * skipped,
            "search_result": _MIX["search_result"] * interest,
            "recommendation": _MIX["recommendation"] * (2.0 * playlist + 0.3 * interest),
            "new_release": _MIX["new_release"] * announced * np.sqrt(self.quality * self.taste),
        }
        rates = np.stack([by_type[name] for name in EVENT_TYPES], axis=2)
        return rates / rates.sum(axis=(2, 3), keepdims=True)

    def _interest(self, hours: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return interest and its part due to playlists, shape (hours, C, K)."""
        age = np.maximum(hours[:, None, None] - self.released[None], 0.0)
        born = (hours[:, None, None] >= self.released[None]).astype(float)
        life = _life(age, self.rise, self.half_life, self.shape) * born
        amplitude, period, phase = self.wobble
        wobble = np.exp(amplitude * np.sin(2 * np.pi * hours[:, None] / period + phase))
        level = self.quality * self.taste * (wobble * self._fashion(hours))[:, None, :]
        # A burst needs something to grow from: the part of the life that is left, and a floor.
        fuel = level * (life > 0) * (0.15 * born + 0.85 * life)
        viral = fuel * _burst_height(hours, self.viral)[:, None, :]
        playlist = fuel * _burst_height(hours, self.playlist)[:, None, :]
        return level * life + viral, playlist

    def _fashion(self, hours: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factor of the other regime, shape (hours, K): up half a day, then down."""
        turn = np.exp(FASHION * np.sin(2 * np.pi * hours[:, None] / FASHION_HOURS + self.fashion))
        changes = np.searchsorted(self.regimes, hours, side="right")
        return np.where(changes[:, None] % 2 == 0, 1.0, turn)


def _history_hours(start: datetime, params: Params) -> int:
    """Return the hours up to the first window boundary at or after the last day's end.

    Closing heartbeats close the last window; the live part has to begin where it ended.
    """
    windowing = Windowing.of(params.windows)
    end = start + timedelta(days=params.simulator.days)
    boundary = windowing.start(end)
    if boundary < end:
        boundary += windowing.length
    return -(-(boundary - start) // timedelta(hours=1))


def _life(
    age: NDArray[np.float64],
    rise: NDArray[np.float64],
    half_life: NDArray[np.float64],
    shape: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return a release's popularity over its age (1 is about the peak); 1 for age infinity."""
    old = np.isinf(age)
    age = np.where(old, 0.0, age)
    x = age / half_life
    forms = (np.exp2(-x), (1 + x) ** -1.5, x * np.exp(1 - x))
    decay = np.select([shape == 0, shape == 1, shape == 2], forms)
    forgotten = (decay < FORGOTTEN) & (age > half_life)
    return np.where(old, 1.0, np.where(forgotten, 0.0, (1 - np.exp(-age / rise)) * decay))


def _bursts(
    rng: np.random.Generator, tracks: int, span: float, *, every: float, height: float, decay: float
) -> NDArray[np.float64]:
    """Draw bursts at random times, on average one in ``every`` hours a track."""
    begin = -HOURS_BEFORE
    most = max(round((span - begin) / every), 1)
    times = rng.uniform(begin, span, (most, tracks))
    heights = height * rng.exponential(1.0, (most, tracks))
    return np.stack([times, heights, decay * np.exp(rng.normal(0.0, 0.5, (most, tracks)))])


def _burst_height(hours: NDArray[np.float64], bursts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the bursts' heights, shape (hours, K): up within hours, down in days."""
    total = np.zeros((len(hours), bursts.shape[2]))
    for time, height, decay in bursts.transpose(1, 0, 2):
        age = hours[:, None] - time
        alive = (age > 0) & (age < 12 * decay)
        age = np.where(alive, age, 0.0)
        total += alive * height * (1 - np.exp(-age / 6.0)) * np.exp(-age / decay)
    return total


def _names(
    simulator: Simulator,
    start: datetime,
    tracks: int,
    released: NDArray[np.float64],
    artists: NDArray[np.int64],
) -> dict[str, pl.Series]:
    rng = np.random.default_rng([simulator.seed, 1])
    nouns = rng.integers(0, len(_NOUNS), tracks)
    adjectives = rng.integers(0, len(_ADJECTIVES), tracks)
    days = rng.integers(60, 4000, tracks)
    dates: list[date] = [
        (start - timedelta(days=int(day))).date()
        if np.isinf(hour)
        else (start + timedelta(hours=float(hour))).date()
        for hour, day in zip(released, days, strict=True)
    ]
    prefix = f"sim{simulator.seed:04d}"
    return {
        "track_id": pl.Series([f"{prefix}track{number:010d}" for number in range(tracks)]),
        "track_name": pl.Series(
            [f"{_NOUNS[n]} {_ADJECTIVES[a]}" for n, a in zip(nouns, adjectives, strict=True)]
        ),
        "artist_name": pl.Series([_artist(int(number)) for number in artists]),
        "artist_id": pl.Series([f"{prefix}artist{number:09d}" for number in artists]),
        "release_date": pl.Series(dates, dtype=pl.Date),
    }


def _artist(number: int) -> str:
    """Return the invented name of an artist; names repeat with a numeral after 240."""
    again, number = divmod(number, len(_FIRST) * len(_LAST))
    name = f"{_FIRST[number % len(_FIRST)]} {_LAST[number // len(_FIRST)]}"
    return f"{name} {again + 1}" if again else name
