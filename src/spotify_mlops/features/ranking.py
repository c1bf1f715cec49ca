"""What a track is within its country's window; slim copies of it for later windows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ..windows import Windowing
from .schema import CARRIED_SCHEMA, RANKED_SCHEMA, ROW_KEY, empty

_COUNTRY = ("window_start", "country")
_ARTIST = (*_COUNTRY, "artist_name")


def rank(aggregates: pl.DataFrame) -> pl.DataFrame:
    """Rank the tracks of each country's window.

    Args:
        aggregates: ``AGGREGATE_SCHEMA`` with ALL tracks of every (window, country) in it.

    Returns:
        ``RANKED_SCHEMA``, sorted by key. ``play_score`` is 100 x average rank of ``plays``
        (ascending, ties share the mean of their ranks) / number of tracks with plays; null
        without plays. ``attention_rank`` is the same over ``n`` and all tracks.
    """
    played = pl.when(pl.col("plays") > 0).then("plays")
    with_scores = aggregates.lazy().with_columns(
        play_score=100 * played.rank("average").over(_COUNTRY) / played.count().over(_COUNTRY),
        attention_rank=100 * pl.col("n").rank("average").over(_COUNTRY) / pl.len().over(_COUNTRY),
        plays_p40=_quantile(played, 0.4),
        plays_p70=_quantile(played, 0.7),
    )
    score = pl.col("play_score").fill_null(0.0)
    # The best of the others: the artist's best, unless this row is the only one that has it.
    best = score.max().over(_ARTIST)
    holders = (score == best).sum().over(_ARTIST)
    second = pl.when(score < best).then(score).max().over(_ARTIST).fill_null(0.0)
    others = pl.when((score == best) & (holders == 1)).then(second).otherwise(best)
    known = pl.col("artist_name").is_not_null()
    return (
        with_scores.with_columns(
            artist_tracks=pl.when(known).then(pl.len().over(_ARTIST)).otherwise(1),
            artist_best_score=pl.when(known).then(others).otherwise(0.0),
        )
        .cast(RANKED_SCHEMA)
        .select(*RANKED_SCHEMA)
        .sort(ROW_KEY)
        .collect()
    )


def _quantile(plays: pl.Expr, share: float) -> pl.Expr:
    # "lower" takes one of the values as it is: no interpolation, no rounding to differ by.
    return plays.quantile(share, interpolation="lower").over(_COUNTRY).fill_null(0.0)


def relative_plays(plays: pl.Expr, reference: pl.Expr) -> pl.Expr:
    """Return log((plays + 1) / (reference + 1)): plays on the scale of the country's window."""
    return (plays + 1).cast(pl.Float64).log() - (reference + 1).log()


def carry(ranked: pl.DataFrame, lags: Sequence[int], windowing: Windowing) -> pl.DataFrame:
    """Copy rows forward to the later windows that look back at them.

    Args:
        ranked: ``RANKED_SCHEMA``.
        lags: how many windows forward, one copy each; never 0.
        windowing: the length of a window.

    Returns:
        ``CARRIED_SCHEMA``: ``window_start`` is the later window, ``lag`` how far it looks back.
    """
    slim = ranked.select(
        *ROW_KEY,
        score=pl.col("play_score").fill_null(0.0),
        relative_plays=relative_plays(pl.col("plays"), pl.col("plays_p40")),
        signals=pl.col("searches") + pl.col("recommendations"),
        release_date="release_date",
    )
    copies = [
        slim.with_columns(
            window_start=windowing.shift_expr("window_start", lag), lag=pl.lit(lag, pl.Int32)
        )
        for lag in lags
    ]
    if not copies:
        return empty(CARRIED_SCHEMA)
    return pl.concat(copies).select(*CARRIED_SCHEMA).cast(CARRIED_SCHEMA)
