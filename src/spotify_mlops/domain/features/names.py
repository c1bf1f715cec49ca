"""Names and order of the model inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ...config.sections import Windows

SEASON_FEATURES = ("day_of_week", "year_sin", "year_cos")

OWN_FEATURES = (
    "country_rank",
    "attention_rank",
    "log_plays",
    "plays_over_p40",
    "plays_over_p70",
    "skip_rate",
    "log_searches",
    "log_recommendations",
    "log_releases",
    "artist_tracks",
    "artist_best_score",
    "other_countries",
    "other_best_score",
    "other_mean_score",
)
LAG_SUMMARIES = (
    "age",
    "age_from_release",
    "lags_present",
    "momentum",
    "plays_momentum",
    "plays_acceleration",
    "mean_score",
    "peak_score",
)
POPULARITY_FEATURES = ("api_popularity", "api_known")
"""Where the target is the API's own popularity: what it is now, and whether that is known."""
FAMILIES = ("seed", "dynamics")


def lag_features(lag: int) -> tuple[str, ...]:
    """Return the names of the inputs read from the window ``lag`` windows earlier."""
    return (
        f"score_lag_{lag}",
        f"plays_lag_{lag}",
        f"plays_change_{lag}",
        f"signals_lag_{lag}",
        f"other_score_lag_{lag}",
    )


def popularity_lag_features(lag: int) -> tuple[str, ...]:
    """Return the names of the inputs of the popularity that was ``lag`` windows earlier."""
    return (f"api_lag_{lag}", f"api_change_{lag}")


def country_feature(code: str) -> str:
    """Return the name of the input that is 1 in a country's rows; elsewhere it is 0."""
    return f"country_{code}"


@dataclass(frozen=True)
class Inputs:
    """What the model inputs look at beside the row's own window, country and track.

    >>> Inputs(lags=(1, 24), countries=("CO", "ES")).names("seed")
    ['hour_of_day', 'event_type_search_result', 'country_CO', 'country_ES']
    """

    lags: tuple[int, ...]
    """The earlier windows, increasing."""
    countries: tuple[str, ...]
    """Those with inputs of their own; in the rows of any other all indicators are zero."""
    target: str = "plays"
    """With ``api``, there are inputs of the API's own popularity too."""

    @classmethod
    def of(cls, windows: Windows) -> Self:
        """Return what the params say."""
        return cls(tuple(windows.lags), tuple(windows.model_countries), windows.target)

    def names(self, family: str = "dynamics") -> list[str]:
        """Return the model inputs of a family in their fixed order.

        Args:
            family: ``seed`` (the variables of the case study, in its order: six with its four
                countries) or ``dynamics`` (those first).

        Raises:
            ValueError: there is no such family.
        """
        if family not in FAMILIES:
            raise ValueError(f"unknown feature family {family!r}; known: {', '.join(FAMILIES)}")
        names = ["hour_of_day", "event_type_search_result", *map(country_feature, self.countries)]
        if family == "dynamics":
            names += [*SEASON_FEATURES, *OWN_FEATURES]
            # What the track does in each of the countries, whatever country the row is of.
            names += [f"plays_in_{code}" for code in self.countries]
            names += [f"plays_momentum_in_{code}" for code in self.countries]
            names += LAG_SUMMARIES
            for lag in self.lags:
                names += lag_features(lag)
            if self.target == "api":
                names += POPULARITY_FEATURES
                for lag in self.lags:
                    names += popularity_lag_features(lag)
        return names
