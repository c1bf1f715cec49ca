"""``bench dashboard``: the live page with a million predictions behind it, in a real Chromium.

Beside each figure its reference in the same run: first paint and first data against the page of
an empty dataset; a refresh against asking BigQuery for all the board's panels each time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from playwright.sync_api import Browser, sync_playwright
from workload import figure

from spotify_mlops.config.errors import UserError
from spotify_mlops.config.params import Params
from spotify_mlops.config.progress import Progress
from spotify_mlops.config.spanish import exact, number
from spotify_mlops.domain.features import Inputs
from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.local import processes
from spotify_mlops.operations import apps
from spotify_mlops.presentation.dashboard import queries
from spotify_mlops.presentation.dashboard.panels import panels

ROWS = 1_000_000
TRACKS = 500
OPENINGS = 7
_BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
_READY = "document.querySelector('#updated')?.textContent.startsWith('Al día')"


def run(
    params: Params, say: Progress, events: int = ROWS, seconds: float = 60.0
) -> list[dict[str, Any]]:
    """Fill a dataset with ``events`` predictions, open the page, and watch it for ``seconds``."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        raise UserError("No hay Chromium: instala el paquete «chromium» de Debian.")
    full = params.replace(dataset="bench_dashboard", profile="bench-dashboard")
    empty = full.replace(dataset="bench_dashboard_empty", profile="bench-empty")
    with sync_playwright() as playwright, _datasets(full, empty):
        rows = _rows(full, events)
        say(f"Cargando {number(events)} predicciones")
        _load(full, rows)
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-background-networking"]
        )
        with _serving(empty) as url:
            say("Página sin datos")
            bare_paint, _ = _openings(browser, url, data=False)
        with _serving(full) as url:
            say("Página con todos")
            paint, first = _openings(browser, url, data=True)
            say(f"Se mira {exact(seconds)} s, con una ventana nueva al enseñar la anterior")
            refreshes, seen = _watch(browser, url, full, rows, seconds)
        asked = [_ask_all(full) for _ in range(5)]
        browser.close()
    return [
        figure("dashboard_first_paint", median(paint), "ms", median(bare_paint)),
        figure("dashboard_first_data", median(first), "ms"),
        figure("dashboard_refresh_p50", median(refreshes), "ms", 1e3 * median(asked)),
        figure("dashboard_refresh_p99", float(np.quantile(refreshes, 0.99)), "ms"),
        figure("dashboard_until_seen", median(seen), "s", digits=2),
    ]


@contextmanager
def _datasets(*every: Params) -> Iterator[None]:
    """Make datasets, and remove them."""
    try:
        for params in every:
            warehouse.ensure_dataset(params)
        yield
    finally:
        for params in every:
            bigquery.client(params).delete_dataset(
                params.bigquery.dataset, delete_contents=True, not_found_ok=True
            )


@contextmanager
def _serving(params: Params) -> Iterator[str]:
    record = apps.start_dashboard(params, f"bench-{params.bigquery.dataset}")
    try:
        yield record.addresses["url"]
    finally:
        processes.stop(record)


def _rows(params: Params, count: int) -> pl.DataFrame:
    """Return keys with predictions: every track in every country in every window."""
    countries = params.sources.countries
    windows = -(-count // (TRACKS * len(countries)))
    keys = pl.DataFrame(
        {"window_start": [_BEGIN + params.windows.window * n for n in range(windows)]},
        schema={"window_start": pl.Datetime("us", "UTC")},
    )
    keys = keys.join(pl.DataFrame({"country": countries}), how="cross").join(
        pl.DataFrame({"track_id": [f"track-{n:04}" for n in range(TRACKS)]}), how="cross"
    )
    keys = keys.tail(count)
    random = np.random.default_rng(params.model.seed)
    chances = random.dirichlet((1, 1.5, 3), keys.height)
    return keys.with_columns(
        level=pl.Series(np.array(["Alta", "Media", "Baja"])[chances.argmax(axis=1)]),
        score=pl.Series(chances.max(axis=1)),
        p_alta=pl.Series(chances[:, 0]),
        p_media=pl.Series(chances[:, 1]),
        p_baja=pl.Series(chances[:, 2]),
        play_score=pl.Series(100 * random.random(keys.height)),
        searches=pl.Series(random.poisson(2, keys.height)),
    )


def _predictions(params: Params, rows: pl.DataFrame) -> pl.DataFrame:
    names = ("window_start", "country", "track_id", "level", "score", "p_alta", "p_media", "p_baja")
    return rows.select(
        *names,
        model=pl.lit("popularity@1"),
        horizon=pl.lit(params.model.horizon, pl.Int64),
        written_at=pl.lit(datetime.now(UTC)),
    )


def _features(params: Params, rows: pl.DataFrame) -> pl.DataFrame:
    inputs = [pl.lit(0.5).alias(name) for name in Inputs.of(params.windows).names()]
    counts = [pl.lit(3, pl.Int64).alias(name) for name in ("n", "plays", "skips", "releases",
                                                          "recommendations")]  # fmt: skip
    return rows.select(
        "window_start", "country", "track_id", "play_score", "searches",
        track_name="track_id", artist_name=pl.lit("artista"), written_at=pl.lit(datetime.now(UTC)),
    ).with_columns(*counts, *inputs)  # fmt: skip


def _load(params: Params, rows: pl.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for table, frame in (
            (tables.PREDICTIONS, _predictions(params, rows)),
            (tables.features(params.windows), _features(params, rows)),
        ):
            path = Path(folder) / f"{table.name}.parquet"
            frame.write_parquet(path)
            warehouse.load(params, table, [path], replace=True)


def _openings(browser: Browser, url: str, *, data: bool) -> tuple[list[float], list[float]]:
    """Open the page several times with an empty cache; return first paints and first data, ms."""
    paints, first = [], []
    for _ in range(OPENINGS):
        page = browser.new_page(bypass_csp=True)  # its own questions are scripts
        page.goto(url, wait_until="load")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        if data:
            page.wait_for_function(_READY)
            first.append(float(page.evaluate("performance.now()")))
        paints.append(
            float(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
        )
        page.close()
    return paints, first


def _watch(
    browser: Browser, url: str, params: Params, rows: pl.DataFrame, seconds: float
) -> tuple[list[float], list[float]]:
    """Append windows while the page is open.

    Returns:
        How long each refresh took, question to answer, in ms; and how long after BigQuery had
        acknowledged a window the page showed it, in s.
    """
    page = browser.new_page(bypass_csp=True)  # its own questions are scripts
    page.goto(url)
    page.wait_for_function(_READY)
    page.evaluate(
        "performance.clearResourceTimings(); performance.setResourceTimingBufferSize(9999)"
    )
    last = rows.filter(pl.col("window_start") == rows["window_start"].max())
    began, seen, count = datetime.now(UTC), [], 0
    while datetime.now(UTC) - began < timedelta(seconds=seconds):
        count += 1
        start = last["window_start"][0] + params.windows.window * count
        shown = f"{start:%d/%m/%Y, %H:%M}"
        fresh = last.with_columns(window_start=pl.lit(start))
        appending.append(params, tables.features(params.windows), _features(params, fresh))
        appending.append(params, tables.PREDICTIONS, _predictions(params, fresh))
        written = datetime.now(UTC)
        page.wait_for_function("text => document.body.textContent.includes(text)", arg=shown)
        seen.append((datetime.now(UTC) - written).total_seconds())
    took = page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter(e => e.name.includes('_dash-update-component')).map(e => e.duration)"
    )
    page.close()
    return [float(each) for each in took], seen


def _ask_all(params: Params) -> float:
    """Return how long BigQuery takes to answer all panels of the first board, in seconds."""
    began = datetime.now(UTC)
    selection = queries.extent(params).selection(
        windows=params.windows.window * 23, clock=None, now=began, levels=LEVELS
    )
    for panel in panels(params):
        if panel.board == "business":
            queries.run(params, panel, selection)
    return (datetime.now(UTC) - began).total_seconds()
