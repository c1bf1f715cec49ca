"""The live page in a real Chromium, on a real server and real tables that change."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import browser
import polars as pl
import psutil
import pytest
import worlds
from playwright.sync_api import Page, Route, expect

from spotify_mlops.config.params import Params
from spotify_mlops.config.spanish import number
from spotify_mlops.io import bigquery
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.local import processes, state
from spotify_mlops.operations import apps, telemetry
from spotify_mlops.operations.lag import Lag, PartitionLag
from spotify_mlops.presentation.dashboard import queries
from spotify_mlops.presentation.dashboard.panels import panels

pytestmark = browser.needs_chromium
BOARDS = ("", "operaciones")
PATIENCE = 180_000
"""Milliseconds for something to appear that the page asks for each two seconds."""


@dataclass(frozen=True)
class Live:
    """A page with a dataset of its own."""

    params: Params
    url: str
    features: pl.DataFrame
    predictions: pl.DataFrame

    def add_window(self) -> None:
        """Append one more window: a copy of the last one, an hour later, less a third."""
        newest = bigquery.query(
            self.params, "SELECT MAX(window_start) FROM {dataset}.spotify_predictions"
        ).item()
        later = newest + self.params.windows.window
        for table, rows in (
            (tables.features(self.params.windows), self.features),
            (tables.PREDICTIONS, self.predictions),
        ):
            last = rows.filter(pl.col("window_start") == rows["window_start"].max())
            last = last.filter(pl.col("track_id").hash(7) % 3 != later.hour % 3)
            appending.append(self.params, table, last.with_columns(window_start=pl.lit(later)))

    def tell_lag(self, at: datetime, records: int, seconds: float) -> None:
        partition = PartitionLag(0, records, records, records, at, at, seconds)
        told = Lag("job", 0.0, at, 0, (partition,))
        appending.append(self.params, tables.LAG, telemetry.lag_rows(told, at))

    def asked(self, name: str, **chosen: tuple[str, ...]) -> pl.DataFrame:
        """Return what a panel's SQL says for the page's default range."""
        panel = next(panel for panel in panels(self.params) if panel.name == name)
        selection = queries.extent(self.params).selection(
            windows=23 * self.params.windows.window,
            clock=timedelta(minutes=15),
            now=datetime.now(UTC),
            **chosen,
        )
        return queries.run(self.params, panel, selection)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@contextmanager
def serving(settings: Params) -> Iterator[str]:
    """Serve a page beside that of ``deploy``, which has one a checkout."""
    record = apps.start_dashboard(settings, f"dashboard-{settings.profile}")
    try:
        yield record.addresses["url"]
    finally:
        processes.stop(record)


@pytest.fixture(scope="module")
def live(world: worlds.World) -> Iterator[Live]:
    settings = worlds.make(countries=world.settings.sources.countries)
    warehouse.ensure_dataset(settings)
    made = datetime.now(UTC)
    features = worlds.content(world.settings, tables.features(world.settings.windows))
    predictions = worlds.content(world.settings, tables.PREDICTIONS)
    features, predictions = (
        rows.with_columns(written_at=pl.lit(made)) for rows in (features, predictions)
    )
    appending.append(settings, tables.features(settings.windows), features)
    appending.append(settings, tables.PREDICTIONS, predictions)
    with serving(settings) as url:
        found = Live(settings, url, features, predictions)
        found.tell_lag(datetime.now(UTC) + timedelta(minutes=30), 12, 30.0)  # all through the tests
        yield found


def settled(page: Page) -> None:
    """Wait until the board is answered and drawn."""
    expect(page.locator("#updated")).to_have_text(re.compile("Al día"), timeout=PATIENCE)
    browser.wait_for(
        page,
        "[...document.querySelectorAll('.chart')].every(e => getComputedStyle(e).display === 'none'"
        " || e.querySelector('.main-svg'))",
    )


def stat(page: Page, name: str) -> str:
    return page.locator(f"section[aria-labelledby=title-{name}] .value strong").first.inner_text()


@pytest.mark.parametrize("scheme", browser.SCHEMES)
@pytest.mark.parametrize("width", browser.WIDTHS)
@pytest.mark.parametrize("board", BOARDS)
def test_nothing_is_wrong_at_any_width(live: Live, chromium, board, width, scheme) -> None:
    with browser.opened(chromium, live.url + board, width, scheme) as visit:
        settled(visit.page)
        visit.check()
        assert browser.accessibility_faults(visit.page) == []
        assert visit.page.locator("html").get_attribute("lang") == "es"


def test_it_says_in_spanish_that_it_is_coming(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        held: list[Route] = []
        visit.page.route("**/_dash-layout", lambda route: held.append(route))
        visit.page.reload()
        expect(visit.page.locator("._dash-loading")).to_be_attached(timeout=PATIENCE)
        shown = visit.page.evaluate(
            "['', '::before'].map(part => getComputedStyle("
            "document.querySelector('._dash-loading'), part)).map(s => [s.fontSize, s.content])"
        )
        assert shown == [["0px", "normal"], ["16px", '"Cargando el panel…"']]
        held[0].continue_()
        settled(visit.page)


def test_the_numbers_are_those_of_the_sql(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        page = visit.page
        settled(page)
        tracks = live.asked("predicted_tracks")["value"].item()
        assert stat(page, "predicted_tracks") == number(tracks)
        rising = live.asked("rising")
        cells = page.locator("section[aria-labelledby=title-rising] tbody tr")
        assert cells.count() == rising.height
        assert cells.first.locator("td").nth(1).inner_text() == rising["Canción"][0]
        shown = page.evaluate(
            "document.querySelector('section[aria-labelledby=title-popularity_distribution] "
            ".js-plotly-plot').data.map(t => [t.name, [...t.y]])"
        )
        asked = live.asked("popularity_distribution")
        for name, amounts in shown:
            of = asked.filter(pl.col("series") == name).sort("time")["value"].to_list()
            assert amounts == of, name


def test_it_changes_by_itself_without_drawing_anew(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        page = visit.page
        settled(page)
        before, first = page.screenshot(), stat(page, "predicted_tracks")
        chart = "section[aria-labelledby=title-popularity_distribution] .js-plotly-plot"
        page.evaluate("chart => { document.querySelector(chart).kept = true; }", chart)
        page.evaluate(
            "chart => { window.blank = 0; new MutationObserver(() => {"
            " if (!document.querySelector(chart + ' .point')) window.blank++; })"
            ".observe(document.querySelector(chart), {childList: true, subtree: true}); }",
            chart,
        )
        live.add_window()
        number_ = page.locator("section[aria-labelledby=title-predicted_tracks] .value strong")
        expect(number_.first).not_to_have_text(first, timeout=PATIENCE)
        wanted = number(live.asked("predicted_tracks")["value"].item())
        expect(number_.first).to_have_text(wanted, timeout=PATIENCE)
        assert page.screenshot() != before
        browser.wait_for(
            page,
            "([chart, windows]) => new Set(document.querySelector(chart).data"
            ".flatMap(t => [...t.x])).size === windows",
            [chart, live.asked("popularity_distribution")["time"].n_unique()],
        )
        assert page.evaluate("chart => document.querySelector(chart).kept", chart)
        assert page.evaluate("window.blank") == 0, "the chart was empty for a moment"
        visit.check()


def test_filters_filter_are_in_the_address_and_work_by_keyboard(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        page = visit.page
        settled(page)
        button = page.get_by_role("button", name="España", exact=True)
        button.focus()
        page.keyboard.press("Space")
        expect(button).to_have_attribute("aria-pressed", "true")
        wanted = number(live.asked("predicted_tracks", countries=("ES",))["value"].item())
        value = page.locator("section[aria-labelledby=title-predicted_tracks] .value strong").first
        expect(value).to_have_text(wanted, timeout=PATIENCE)
        assert "paises=ES" in page.url
        page.get_by_role("button", name="Alta", exact=True).click()
        chosen = live.asked("predicted_tracks", countries=("ES",), levels=("Alta",))
        expect(value).to_have_text(number(chosen["value"].item()), timeout=PATIENCE)
        page.reload()
        expect(page.get_by_role("button", name="España", exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )
        expect(value).to_have_text(number(chosen["value"].item()), timeout=PATIENCE)
        page.get_by_role("link", name="Operaciones").click()
        expect(page.get_by_role("heading", name="Retraso", exact=True)).to_be_visible()
        assert "paises=ES" in page.url
        page.get_by_role("link", name="Negocio").click()
        expect(page.get_by_role("button", name="España", exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )
        assert page.get_by_role("link", name="Negocio").get_attribute("aria-current") == "page"
        assert visit.errors == []


def test_an_address_may_say_anything(live: Live, chromium) -> None:
    query = "?paises=XX,CO&ventanas=siempre&niveles=%3Cscript%3E&nada=1"
    with browser.opened(chromium, live.url + query) as visit:
        settled(visit.page)
        pressed = visit.page.locator("button[aria-pressed=true].option:visible").all_inner_texts()
        assert pressed == ["Colombia", "1 día"]
        assert visit.errors == []


def test_the_theme_can_be_chosen_and_stays(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        page = visit.page
        settled(page)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Claro / oscuro").click()
        browser.wait_for(page, "document.documentElement.dataset.theme === 'dark'")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert dark != light
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
        assert browser.accessibility_faults(page) == []


def test_it_says_what_is_synthetic(live: Live, chromium) -> None:
    with browser.opened(chromium, live.url) as visit:
        badge = visit.page.get_by_text("datos sintéticos")
        expect(badge).to_be_visible()
        settled(visit.page)
        expect(visit.page.locator("#notices .notice")).to_have_count(0)


def test_it_says_that_nothing_has_come_then_that_the_stream_is_behind_then_down(
    live: Live, local_params: Callable[..., Params], chromium
) -> None:
    own = local_params(source="charts")
    warehouse.ensure_dataset(own)
    empty = Live(own, "", live.features, live.predictions)
    with serving(own) as url, browser.opened(chromium, url) as visit:
        notices = visit.page.locator("#notices")
        expect(notices).to_contain_text("Todavía no ha llegado nada", timeout=PATIENCE)
        expect(visit.page.get_by_text("datos sintéticos")).to_have_count(0)
        visit.check()
        appending.append(own, tables.PREDICTIONS, live.predictions)
        expect(notices).to_contain_text("no ha estado nunca en marcha", timeout=PATIENCE)
        # Half a minute ahead, so that a busy machine shows it too before it is old.
        empty.tell_lag(datetime.now(UTC) + timedelta(seconds=30), 9_000, 3 * 86_400.0)
        expect(notices).to_contain_text("faltan 9.000 registros, 3 días", timeout=PATIENCE)
        expect(notices).to_contain_text("no informa desde", timeout=3 * PATIENCE)
        visit.check()


def test_it_says_since_when_bigquery_does_not_answer_and_comes_back(live: Live, chromium) -> None:
    record = state.get("bigquery")
    assert record is not None
    process = psutil.Process(record.pid)
    with browser.opened(chromium, live.url) as visit:
        page = visit.page
        settled(page)
        shown = stat(page, "predicted_tracks")
        process.send_signal(signal.SIGSTOP)
        try:
            text = re.compile(r"BigQuery no responde desde las \d\d:\d\d:\d\d UTC")
            expect(page.locator("#notices")).to_contain_text(text, timeout=2 * PATIENCE)
            assert stat(page, "predicted_tracks") == shown
            expect(page.locator("#notices")).to_contain_text("Lo que se ve es de las")
        finally:
            process.send_signal(signal.SIGCONT)
        expect(page.locator("#notices .notice")).to_have_count(0, timeout=2 * PATIENCE)


def test_a_taken_port_is_said(live: Live) -> None:
    port = live.url.rstrip("/").rpartition(":")[2]
    done = worlds.command(live.params, "dashboard", "--port", port)
    assert done.returncode == 4
    assert f"El puerto {port} no se puede usar" in done.stderr
    assert "Traceback" not in done.stderr


def test_starting_it_again_keeps_its_address(live: Live) -> None:
    before = apps.start_dashboard(live.params)
    again = apps.start_dashboard(live.params)
    try:
        assert again.addresses == before.addresses
        assert again.pid != before.pid
    finally:
        processes.stop(again)
