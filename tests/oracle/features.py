"""The inputs of the model, by joins."""

from __future__ import annotations

import math
from datetime import timedelta

import polars as pl

from .rules import KEY, Rules

COUNTS = {
    "plays": "play",
    "skips": "skip",
    "searches": "search_result",
    "releases": "new_release",
    "recommendations": "recommendation",
}


def features_by_joins(events: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    rows = events.group_by(KEY).agg(
        n=pl.col("count").sum(),
        **{name: pl.col("count").filter(event_type=kind).sum() for name, kind in COUNTS.items()},
        track_name=pl.col("track_name").min(),
        artist_name=pl.col("artist_name").min(),
        release_date=pl.col("release_date").min(),
        popularity=pl.col("popularity").max().cast(pl.Float64),
    )
    rows = _ranked(rows)
    rows = _own(rows, rules)
    rows = _elsewhere(rows)
    for lag in rules.lags:
        rows = _lagged(rows, lag, rules)
    if rules.target == "api":
        rows = _popularity(rows, rules)
    return _in_each_country(_summaries(rows, rules), rules.countries).sort(KEY)


def _ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """Add scores within the country's window, and what the artist's other tracks have."""
    group = ["window_start", "country"]
    played = pl.when(pl.col("plays") > 0).then("plays")

    def at_share(share: float) -> pl.Expr:
        ordered = played.drop_nulls().sort()
        index = (share * (played.count() - 1)).floor().cast(pl.Int64).clip(0)
        return ordered.get(index, null_on_oob=True).fill_null(0)

    places = rows.group_by(group).agg(p40=at_share(0.4), p70=at_share(0.7))
    rows = rows.with_columns(
        play_score=100 * played.rank("average").over(group) / played.count().over(group),
        attention_rank=100 * pl.col("n").rank("average").over(group) / pl.len().over(group),
    ).join(places, on=group, how="left")
    rows = rows.with_columns(country_rank=pl.col("play_score").fill_null(0))
    artist = [*group, "artist_name"]
    others = (
        rows.join(rows.select(*artist, "track_id", "country_rank"), on=artist, suffix="_other")
        .filter(pl.col("track_id") != pl.col("track_id_other"))
        .group_by(KEY)
        .agg(others=pl.len(), artist_best_score=pl.col("country_rank_other").max())
    )
    return rows.join(others, on=KEY, how="left").with_columns(
        artist_tracks=pl.col("others").fill_null(0) + 1,
        artist_best_score=pl.col("artist_best_score").fill_null(0),
    )


def _own(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    start = pl.col("window_start")
    angle = (start.dt.ordinal_day() - 1) * 2 * math.pi / 365.25
    plays, skips = pl.col("plays"), pl.col("skips")
    return rows.with_columns(
        *(
            (pl.col("country") == code).cast(pl.Float64).alias(f"country_{code}")
            for code in rules.countries
        ),
        hour_of_day=start.dt.hour(),
        event_type_search_result=pl.col("searches") / pl.col("n"),
        day_of_week=start.dt.weekday() - 1,
        year_sin=angle.sin(),
        year_cos=angle.cos(),
        log_plays=_log(plays),
        plays_over_p40=_log(plays) - _log(pl.col("p40")),
        plays_over_p70=_log(plays) - _log(pl.col("p70")),
        skip_rate=pl.when(plays + skips > 0).then(skips / (plays + skips)).otherwise(0),
        log_searches=_log(pl.col("searches")),
        log_recommendations=_log(pl.col("recommendations")),
        log_releases=_log(pl.col("releases")),
    )


def _log(amount: pl.Expr) -> pl.Expr:
    return (amount.cast(pl.Float64) + 1).log()


def _elsewhere(rows: pl.DataFrame) -> pl.DataFrame:
    """Add what the track does in the other countries of the window."""
    return (
        rows.join(_in_other_countries(rows, rows), on=KEY, how="left")
        .with_columns(
            other_countries=pl.col("number").fill_null(0),
            other_best_score=pl.col("best").fill_null(0),
            other_mean_score=pl.col("mean").fill_null(0),
        )
        .drop("number", "best", "mean")
    )


def _in_other_countries(rows: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    there = then.select("window_start", "track_id", "country", "country_rank")
    return (
        rows.select(KEY)
        .join(there, on=["window_start", "track_id"], suffix="_other")
        .filter(pl.col("country") != pl.col("country_other"))
        .group_by(KEY)
        .agg(
            number=pl.len(),
            best=pl.col("country_rank").max(),
            mean=pl.col("country_rank").mean(),
        )
    )


def _earlier(rows: pl.DataFrame, lag: int, rules: Rules) -> pl.DataFrame:
    """Return the rows under the window that looks ``lag`` windows back at them."""
    return rows.with_columns(pl.col("window_start") + lag * rules.window)


def _lagged(rows: pl.DataFrame, lag: int, rules: Rules) -> pl.DataFrame:
    then = _earlier(rows, lag, rules)
    own = then.select(
        *KEY,
        pl.col("country_rank").alias(f"score_lag_{lag}"),
        pl.col("plays_over_p40").alias(f"plays_lag_{lag}"),
        _log(pl.col("searches") + pl.col("recommendations")).alias(f"signals_lag_{lag}"),
    )
    others = _in_other_countries(rows, then).select(*KEY, pl.col("mean").alias("elsewhere"))
    return (
        rows.join(own, on=KEY, how="left")
        .join(others, on=KEY, how="left")
        .with_columns(
            pl.col("elsewhere").fill_null(0).alias(f"other_score_lag_{lag}"),
            pl.col(f"score_lag_{lag}").is_not_null().alias(f"present_{lag}"),
            pl.col(f"score_lag_{lag}", f"signals_lag_{lag}").fill_null(0),
            pl.col(f"plays_lag_{lag}").fill_null(-_log(pl.col("p40"))),
        )
        .drop("elsewhere")
    )


def _popularity(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Add the API's popularity and what it was, which is what it is where that is not known."""
    known = {row[:3]: row[3] for row in rows.select(*KEY, "popularity").rows()}
    keys = rows.select(KEY).rows()
    now = [known[key] for key in keys]
    found: dict[str, list[float]] = {
        "api_popularity": [value or 0 for value in now],
        "api_known": [float(value is not None) for value in now],
    }
    for lag in rules.lags:
        then = [known.get((start - lag * rules.window, *rest)) for start, *rest in keys]
        was = [b if b is not None else a or 0 for a, b in zip(now, then, strict=True)]
        found[f"api_lag_{lag}"] = was
        found[f"api_change_{lag}"] = [
            0 if a is None else a - b for a, b in zip(now, was, strict=True)
        ]
    return rows.hstack(pl.DataFrame(found, schema=dict.fromkeys(found, pl.Float64)))


def _summaries(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    lags = rules.lags
    told = [
        _earlier(rows, lag, rules).select("window_start", "track_id", "release_date")
        for lag in (0, *lags)
    ]
    releases = (
        pl.concat(told)
        .group_by("window_start", "track_id")
        .agg(
            released=pl.col("release_date")
            .min()
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC")
        )
    )
    scores = [pl.col("country_rank"), *(pl.col(f"score_lag_{lag}") for lag in lags)]
    present = [pl.col(f"present_{lag}").cast(pl.Int64) for lag in lags]
    since = (pl.col("window_start") + rules.window - pl.col("released")).dt.total_microseconds()
    seen = [flag * lag for flag, lag in zip(present, lags, strict=True)]
    first = lags[0] if lags else None
    return rows.join(releases, on=["window_start", "track_id"], how="left").with_columns(
        age=pl.when(pl.col("released").is_not_null())
        .then((since / (rules.window / timedelta(microseconds=1))).clip(0))
        .otherwise(pl.max_horizontal(0, *seen)),
        age_from_release=pl.col("released").is_not_null().cast(pl.Float64),
        lags_present=pl.sum_horizontal(0, *present),
        momentum=pl.col("country_rank") - pl.col(f"score_lag_{first}") if lags else pl.lit(0.0),
        plays_momentum=pl.col("plays_over_p40") - pl.col(f"plays_lag_{first}")
        if lags
        else pl.lit(0.0),
        plays_acceleration=pl.col("plays_over_p40")
        - 2 * pl.col(f"plays_lag_{first}")
        + pl.col(f"plays_lag_{lags[1]}")
        if len(lags) > 1
        else pl.lit(0.0),
        **{
            f"plays_change_{lag}": pl.col("plays_over_p40") - pl.col(f"plays_lag_{lag}")
            for lag in lags
        },
        mean_score=pl.mean_horizontal(*scores),
        peak_score=pl.max_horizontal(*scores),
    )


def _in_each_country(rows: pl.DataFrame, countries: tuple[str, ...]) -> pl.DataFrame:
    """Add what the track does in each of the model's countries in the window, this one too."""
    by_place = {
        row[:3]: row[3:] for row in rows.select(*KEY, "plays_over_p40", "plays_momentum").rows()
    }
    found: dict[str, list[float | None]] = {}
    for code in countries:
        there = [
            by_place.get((start, code, track), (None, 0.0))
            for start, track in rows.select("window_start", "track_id").rows()
        ]
        found[f"plays_in_{code}"] = [plays for plays, _ in there]
        found[f"plays_momentum_in_{code}"] = [momentum for _, momentum in there]
    added = pl.DataFrame(found, schema=dict.fromkeys(found, pl.Float64))
    plays = pl.col("^plays_in_.*$").fill_null(-_log(pl.col("p40")))
    return rows.hstack(added).with_columns(plays)
