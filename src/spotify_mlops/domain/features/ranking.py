"""What a track is within its country's window; slim copies of it for later windows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ..schemas import CARRIED_SCHEMA, RANKED_SCHEMA, ROW_KEY
from ..windows import Windowing
from .codes import best_of_others, best_two

_COUNTRY = ("window_start", "country")


def rank(aggregates: pl.DataFrame) -> pl.DataFrame:
    """Rank the tracks of each country's window.

    >>> from datetime import UTC, datetime
    >>> from ..schemas import AGGREGATE_SCHEMA
    >>> rows = pl.DataFrame({
    ...     "window_start": [datetime(2026, 1, 5, 10, tzinfo=UTC)] * 3, "country": ["CO"] * 3,
    ...     "track_id": ["t", "u", "v"], "plays": [5, 2, 0], "n": [6, 2, 9]})
    >>> none = pl.DataFrame(schema=AGGREGATE_SCHEMA)
    >>> aggregates = pl.concat([none, rows], how="diagonal_relaxed")
    >>> rank(aggregates).select("track_id", "play_score", "attention_rank").rows()
    [('t', 100.0, 66.666666667), ('u', 50.0, 33.333333333), ('v', None, 100.0)]

    Args:
        aggregates: ``AGGREGATE_SCHEMA`` with ALL tracks of every (window, country) in it.

    Returns:
        ``RANKED_SCHEMA``, sorted by key. ``play_score`` is 100 x average rank of ``plays``
        (ascending, ties share the mean of their ranks) / number of tracks with plays; null
        without plays. ``attention_rank`` is the same over ``n`` and all tracks.
    """
    frame = aggregates.with_columns(_group=pl.struct(_COUNTRY).rank("dense"))
    played = pl.when(pl.col("plays") > 0).then("plays")
    ranks = (played.rank("average").over("_group"), pl.col("n").rank("average").over("_group"))
    countries = frame.group_by("_group").agg(
        pl.len().alias("_tracks"),
        played.count().alias("_played"),
        # "lower" takes one of the values as it is: no interpolation, no rounding to differ by.
        played.quantile(0.4, interpolation="lower").fill_null(0.0).alias("plays_p40"),
        played.quantile(0.7, interpolation="lower").fill_null(0.0).alias("plays_p70"),
    )
    frame = frame.join(countries, on="_group", how="left").with_columns(
        # Rounded: polars multiplies by a reciprocal where a column holds one value, so the last
        # bit would depend on how many windows the frame holds.
        play_score=(100 * ranks[0] / pl.col("_played")).round(9),
        attention_rank=(100 * ranks[1] / pl.col("_tracks")).round(9),
    )
    return _with_artists(frame).cast(pl.Schema(RANKED_SCHEMA)).select(*RANKED_SCHEMA).sort(ROW_KEY)


def _with_artists(frame: pl.DataFrame) -> pl.DataFrame:
    """Add how many tracks the artist has in the country's window and how the others do."""
    known = frame.filter(pl.col("artist_name").is_not_null()).select(
        *ROW_KEY,
        _artist=pl.struct("_group", "artist_name").rank("dense"),
        _score=pl.col("play_score").fill_null(0.0),
    )
    per_artist = known.group_by("_artist").agg(pl.len().alias("artist_tracks"))
    per_row = (
        known.join(per_artist, on="_artist", how="left")
        .join(best_two(known, "_artist", "_score"), on="_artist", how="left")
        .select(*ROW_KEY, "artist_tracks", artist_best_score=best_of_others("_score"))
    )
    return frame.join(per_row, on=ROW_KEY, how="left").with_columns(
        pl.col("artist_tracks").fill_null(1), pl.col("artist_best_score").fill_null(0.0)
    )


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
        popularity="popularity",
    )
    copies = [
        slim.with_columns(
            window_start=windowing.shift_expr("window_start", lag), lag=pl.lit(lag, pl.Int32)
        )
        for lag in lags
    ]
    if not copies:
        return pl.DataFrame(schema=CARRIED_SCHEMA)
    return pl.concat(copies).select(*CARRIED_SCHEMA).cast(pl.Schema(CARRIED_SCHEMA))
