"""Names and order of the model inputs."""

from __future__ import annotations

from collections.abc import Sequence

MODEL_COUNTRIES = ("CO", "ES", "MX", "US")
"""Countries with an indicator of their own; any other country has zeros in all four."""

SEED_FEATURES = (
    "hour_of_day",
    "event_type_search_result",
    *(f"country_{code}" for code in MODEL_COUNTRIES),
)
"""The six variables of the case study, in its order."""

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
COUNTRY_FEATURES = (
    *(f"plays_in_{code}" for code in MODEL_COUNTRIES),
    *(f"plays_momentum_in_{code}" for code in MODEL_COUNTRIES),
)
"""What the track does in each country of the model, whatever country the row is of."""

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


def feature_names(family: str, lags: Sequence[int]) -> list[str]:
    """Return the model inputs of a family in their fixed order.

    Args:
        family: ``seed`` (the six variables of the case study) or ``dynamics`` (those six first).
        lags: earlier windows that features look at, in windows.

    Raises:
        ValueError: there is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown feature family {family!r}; known: {', '.join(FAMILIES)}")
    names = list(SEED_FEATURES)
    if family == "dynamics":
        names += [*SEASON_FEATURES, *OWN_FEATURES, *COUNTRY_FEATURES, *LAG_SUMMARIES]
        for lag in lags:
            names += lag_features(lag)
    return names
