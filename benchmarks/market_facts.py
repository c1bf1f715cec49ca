"""Facts of real weekly charts beside the same of the simulator: what its market is like, and not.

    python benchmarks/market_facts.py FOLDER [--params local] [--json FILE]

``FOLDER`` has weekly chart CSVs. A fact is a mean over windows and countries, of the tracks that
were played in a window: how many are in the same level some windows later, how many were not there
a window before or are not a window after, the slope of plays by rank (logarithms, the first 200),
and the share of a country's tracks that another has too. Of the simulator, by its own windows and
by days; a track that does not come back is Baja, as for the model.
"""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl

from spotify_mlops.config import params
from spotify_mlops.config.params import Params
from spotify_mlops.config.spanish import number
from spotify_mlops.domain import labels
from spotify_mlops.model import dataset
from spotify_mlops.sources import charts
from spotify_mlops.sources.simulator import Simulator

HORIZONS = (1, 4, 8)
"""Windows after which a level is looked at again."""
LISTED = 200
"""Tracks of a chart: further down a tail is not compared."""


def facts(plays: pl.DataFrame, thresholds: tuple[float, float]) -> dict[str, float]:
    """Return the facts of plays.

    Args:
        plays: ``window`` (a whole number, one after the other), ``country``, ``track``, ``plays``
            (above 0); one row of each.
        thresholds: the lowest scores of Alta and Media.
    """
    group = ("window", "country")
    rows = plays.with_columns(
        score=100 * pl.col("plays").rank("average").over(group) / pl.len().over(group),
        rank=pl.col("plays").rank("ordinal", descending=True).over(group),
    ).with_columns(level=labels.level_of("score", thresholds))
    windows = rows["window"].unique().sort().to_list()
    first, last = windows[0], windows[-1]
    found: dict[str, float] = {}
    for horizon in HORIZONS:
        later = rows.select(
            pl.col("window") - horizon, "country", "track", pl.col("level").alias("later")
        )
        pairs = rows.filter(pl.col("window") <= last - horizon).join(
            later, on=["window", "country", "track"], how="left"
        )
        same = pl.col("level") == pl.col("later").fill_null("Baja")
        kept = pairs.group_by("level").agg(same.mean().alias("share"))
        found |= {f"stays_{level}_{horizon}": share for level, share in kept.iter_rows()}
    for name, step, ends in (("enters", 1, first), ("leaves", -1, last)):
        known = rows.select(
            pl.col("window") + step, "country", "track", pl.lit(True).alias("known")
        )
        joined = rows.filter(pl.col("window") != ends).join(
            known, on=["window", "country", "track"], how="left"
        )
        found[name] = joined.select(pl.col("known").is_null().mean()).item()
    slopes = [
        np.polyfit(np.log(part["rank"]), np.log(part["plays"]), 1)[0]
        for part in rows.filter(pl.col("rank") <= LISTED).partition_by(group)
        if part.height > 20
    ]
    found["tail"] = float(np.mean(slopes))
    lists = {
        key: set(part["track"]) for key, part in rows.partition_by(group, as_dict=True).items()
    }
    countries = rows["country"].unique().sort().to_list()
    shares = [
        len(lists[window, one] & lists[window, other]) / len(lists[window, one])
        for window in windows
        for one, other in permutations(countries, 2)
        if (window, one) in lists and (window, other) in lists
    ]
    found["shared"] = float(np.mean(shares))
    found["tracks"] = float(np.mean([len(tracks) for tracks in lists.values()]))
    return {name: round(value, 4) for name, value in sorted(found.items())}


def of_charts(folder: Path, countries: list[str]) -> dict[str, float]:
    """Return the facts of weekly charts."""
    settings = params.load("charts", countries=countries)
    events = pl.concat(charts.read(settings, [folder]).frames)
    return facts(_windows(events, timedelta(days=7)), dataset.thresholds(settings.model))


def of_simulator(settings: Params, window: timedelta, most: int | None = None) -> dict[str, float]:
    """Return the facts of the simulator's plays.

    Args:
        settings: of the simulator.
        window: its length.
        most: of each window and country only so many tracks, the first, as a chart does.
    """
    frames = [
        frame.filter(pl.col("event_type") == "play", pl.col("injected").is_null())
        for frame in Simulator(settings).history()
    ]
    plays = _windows(pl.concat(frames), window)
    if most is not None:
        rank = pl.col("plays").rank("ordinal", descending=True).over("window", "country")
        plays = plays.filter(rank <= most)
    return facts(plays, dataset.thresholds(settings.model))


def _windows(events: pl.DataFrame, length: timedelta) -> pl.DataFrame:
    start = events["event_time"].dt.truncate("1d").min()
    return (
        events.group_by(
            (
                (pl.col("event_time") - start).dt.total_seconds() // int(length.total_seconds())
            ).alias("window"),
            "country",
            pl.col("track_id").alias("track"),
        )
        .agg(plays=pl.col("count").sum())
        .filter(pl.col("plays") > 0)
    )


def main() -> None:
    """Print the table, real beside simulated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--params", default="local")
    parser.add_argument("--json", type=Path, help="write the facts here, too")
    arguments = parser.parse_args()
    settings = params.load(arguments.params)
    countries = list(settings.sources.countries)
    found = {
        "real, week": of_charts(arguments.folder, countries),
        "simulated, window": of_simulator(settings, settings.windows.window),
        "simulated, day": of_simulator(settings, timedelta(days=1), LISTED),
    }
    print("\t".join(["fact", *found]))
    for name in next(iter(found.values())):
        print("\t".join([name, *(number(of[name], 3) for of in found.values())]))
    if arguments.json:
        text = json.dumps(found, indent=1, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
