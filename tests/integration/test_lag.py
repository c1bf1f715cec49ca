"""How far behind the streaming job is: told while it works, and of no job that is gone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from spotify_mlops import sources
from spotify_mlops.cli import main
from spotify_mlops.config.params import Params
from spotify_mlops.io import bigquery, kafka
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.local import state
from spotify_mlops.operations import apps, audit, housekeeping, lag, telemetry
from spotify_mlops.pipeline import checkpoint
from spotify_mlops.pipeline.sinks import rows
from spotify_mlops.pipeline.source import CREDIT
from spotify_mlops.presentation.es.operations import audit_lines, lag_lines


@contextmanager
def halted(service: str) -> Iterator[None]:
    """Stop a service's process in its tracks: it neither answers nor refuses."""
    record = state.get(service)
    assert record is not None
    process = psutil.Process(record.pid)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def wait_until(settings: Params, wanted: Callable[[lag.Lag], bool]) -> lag.Lag:
    deadline = time.monotonic() + 300
    while not wanted(found := lag.measure(settings)):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def status(settings: Params, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    with pytest.raises(SystemExit):  # Mongo does not answer
        main.main(["status", "--json", "--params", str(apps.params_file(settings))])
    return json.loads(capsys.readouterr().out)["lag"]


def test_the_lag_is_what_the_log_has_and_the_sinks_have_not(
    local_params: Callable[..., Params], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = local_params(
        simulator_events=10_000,
        simulator_days=2,
        simulator_tracks=60,
        lags=[1],
        operational_retention="3d",
    )
    kafka.ensure_topic(settings)
    before = lag.measure(settings)
    assert (before.source, before.age_seconds, before.records) == ("none", None, 0)
    began = time.monotonic()
    try:
        apps.start_stream(settings)
        wait_until(settings, lambda now: now.source == "job")
        with halted("mongo"):
            published = sources.ingest_simulator(settings)
            # The windows wait for Mongo, and the source for the windows.
            held = wait_until(settings, lambda now: (now.pending or 0) > CREDIT)
            assert held.records == published["records"]
            assert 0 < sum(p.unread or 0 for p in held.partitions) < held.records
            told = status(settings, capsys)
            assert (told["source"], told["records"]) == ("job", held.records)
            report = audit.audit(settings, wait=0)
            assert report.lag.records == held.records
            assert "registros" in lag_lines(report.lag)[0] in audit_lines(report)
        done = wait_until(settings, lambda now: now.records == 0 and now.pending == 0)
        assert done.seconds == 0
        assert done.age_seconds is not None and done.age_seconds < time.monotonic() - began
        assert {p.mark for p in done.partitions} == {p.newest for p in done.partitions}
        record = state.get(apps.STREAM)
        assert record is not None
        psutil.Process(record.pid).kill()
        # Its last report is there still, and is believed no more.
        saved = wait_until(settings, lambda now: now.source == "position")
        assert saved.age_seconds is not None
        assert saved.written_until == done.written_until
        sources.paced(settings, rate=100, seconds=1)
        later = lag.measure(settings)
        assert later.records >= 90
        assert later.seconds is not None and later.seconds > timedelta(days=1).total_seconds()
        assert not audit.audit(settings, wait=0).holds
    finally:
        apps.stop_apps()


def test_what_was_observed_is_forgotten_in_time(local_params: Callable[..., Params]) -> None:
    settings = local_params(observed_retention="2d")
    warehouse.ensure_dataset(settings)
    now = datetime(2026, 1, 10, tzinfo=UTC)
    ages = [timedelta(0), timedelta(days=2), timedelta(days=2, seconds=1), timedelta(days=30)]
    measured = lag.Lag("job", 0.0, None, 0, (lag.PartitionLag(0, 1, 0, 0, None, None, 0.0),))
    windows = [checkpoint.WrittenWindow(now - age, now - age, now - age) for age in ages]
    for age in ages:
        appending.append(settings, tables.LAG, telemetry.lag_rows(measured, now - age))
    appending.append(settings, tables.FRESHNESS, telemetry.freshness_rows(windows))
    # Old, and still the latest that is known.
    latest = now - timedelta(days=3)
    for age in ages:
        closed = rows.closed_rows(latest - age, latest - age)
        appending.append(settings, tables.CLOSED, closed)
    housekeeping.forget(settings, now)
    for table in ("spotify_lag", "spotify_freshness"):
        assert bigquery.query(settings, f"SELECT COUNT(*) FROM {{dataset}}.{table}").item() == 2
    kept = bigquery.query(settings, "SELECT closed_until FROM {dataset}.spotify_closed")
    assert kept["closed_until"].to_list() == [latest]
