"""Dead letters: looked at, published again after an upgrade, each once, and the audit exact."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from spotify_mlops.cli import main
from spotify_mlops.config.errors import InputError, IntegrityError, ParamsError
from spotify_mlops.config.params import Params
from spotify_mlops.domain.events import SCHEMA_VERSIONS, schema
from spotify_mlops.io import bigquery, kafka, mongo
from spotify_mlops.io.kafka.publishing import RECORD_COLUMNS
from spotify_mlops.operations import apps, audit, bounded
from spotify_mlops.operations import dead_letters as letters

START = datetime(2026, 1, 5, tzinfo=UTC)
UPGRADED = (*SCHEMA_VERSIONS, 3)


def record(number: int, hour: float, version: int = 1, **fields: Any) -> tuple[int, str, bytes]:
    """Return partition, key and value of an event at an hour since the start."""
    track = f"t{number % 5}"
    event = {
        "schema_version": version,
        "event_id": f"e{number}",
        "event_time": (START + timedelta(hours=hour)).isoformat(),
        "event_type": "play",
        "country": "CO",
        "track_id": track,
        "source": "test",
    }
    return number % 2, f"key of {track}", json.dumps(event | fields).encode()


def publish(settings: Params, *rows: tuple[int, str | None, bytes]) -> None:
    kafka.publish(settings, [pl.DataFrame(rows, schema=RECORD_COLUMNS, orient="row")])


def ordinary(hours: int) -> list[tuple[int, str, bytes]]:
    """Return eight events an hour, of version 1 and 2, the latter with a field more."""
    return [
        record(i, i / 8, 1) if i % 2 else record(i, i / 8, 2, mood="happy")
        for i in range(8 * hours)
    ]


STREAM = """
import json, sys
from spotify_mlops.config import params
from spotify_mlops.domain.events import schema
from spotify_mlops.operations import stream

schema.SCHEMA_VERSIONS = tuple(json.loads(sys.argv[2]))
stream.run(params.load(sys.argv[1]), until_caught_up=True)
"""


def catch_up(settings: Params, versions: tuple[int, ...] = SCHEMA_VERSIONS) -> None:
    """Run the streaming job as code that knows these versions."""
    script = [sys.executable, "-c", STREAM, str(apps.params_file(settings)), json.dumps(versions)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def assert_audited(settings: Params) -> dict[str, int]:
    report = audit.audit(settings)
    assert report.holds, report.differences
    return {term: report.to_dict()["totals"][term] for term in audit.TERMS}


def log(settings: Params) -> list[tuple[int, int, Any]]:
    start = {p: low for p, (low, _) in kafka.offsets(settings).items()}
    return [row for rows in kafka.read(settings, start) for row in rows]


def copies(settings: Params) -> dict[str, list[tuple[int, Any]]]:
    """Return what was published again, with its partition, by the letter's place."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for partition, _, message in log(settings):
        for name, value in message.headers() or []:
            if name == letters.ORIGIN_HEADER:
                found.setdefault(value.decode(), []).append((partition, message))
    return found


def run(settings: Params, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run ``dead-letters`` with ``--json`` and return its answer."""
    capsys.readouterr()
    file = str(apps.params_file(settings))
    main.main(["dead-letters", *arguments, "--params", file, "--json"])
    return json.loads(capsys.readouterr().out)


def test_letters_of_an_unknown_version_flow_after_an_upgrade(
    local_params: Callable[..., Params],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = local_params(
        partitions=2, lags=[1, 2], idle_timeout="60s", operational_retention="10d"
    )
    newer = {
        "e100": record(100, 1.5, 3, device="car"),
        "e101": record(101, 4.9, 3, device="car"),
        "e102": record(102, 5.99, 3, device="car"),
    }
    history = ordinary(6)
    history.insert(13, newer["e100"])  # in its time, e101 is late at its place
    history += [newer["e101"], newer["e102"], (0, None, b'{"event_id": "\x1b[2J')]
    publish(settings, *history)
    catch_up(settings)
    assert assert_audited(settings) == {
        "counted": 40,
        "open": 8,
        "dead_letters": 4,
        "late": 0,
        "duplicates": 0,
        "heartbeats": 0,
    }
    stored = mongo.database(settings)["events"]
    assert stored.count_documents({"schema_version": 2, "mood": "happy"}) == 24

    # What there is, before the upgrade.
    listed = run(settings, capsys, "list", "--limit", "2")
    assert listed["letters"] == 4
    found = {(c["partition"], c["reason"]): c["letters"] for c in listed["counts"]}
    version = "unsupported_schema_version"
    assert found == {(0, version): 2, (1, version): 1, (0, "not_json"): 1}
    assert len(listed["rows"]) == 2
    places = {
        json.loads(message.value())["event_id"]: f"{partition}:{offset}"
        for partition, offset, message in log(settings)
        if message.value() in [value for *_, value in newer.values()]
    }
    shown = run(settings, capsys, "show", places["e100"])
    assert shown["value"].encode() == newer["e100"][2]
    assert (shown["reason"], shown["detail"]) == (version, "schema_version 3")
    before = kafka.offsets(settings)
    assert run(settings, capsys, "replay") == {
        "letters": 4,
        "published": 0,
        "already": 0,
        "still": {version: 3, "not_json": 1},
        "dry_run": False,
    }

    monkeypatch.setattr(schema, "SCHEMA_VERSIONS", UPGRADED)
    planned = run(settings, capsys, "replay", "--reason", version, "--dry-run")
    assert (planned["letters"], planned["published"], planned["still"]) == (3, 3, {})
    assert kafka.offsets(settings) == before
    assert run(settings, capsys, "replay", places["e100"])["published"] == 1
    rest = run(settings, capsys, "replay")
    assert (rest["published"], rest["already"], rest["still"]) == (2, 1, {"not_json": 1})
    for arguments in (["replay"], ["replay", places["e101"]]):
        assert run(settings, capsys, *arguments)["published"] == 0
    again = copies(settings)
    assert set(again) == {f"{settings.kafka.topic}:{place}" for place in places.values()}
    for event, (partition, key, value) in newer.items():
        ((found_partition, message),) = again[f"{settings.kafka.topic}:{places[event]}"]
        assert (found_partition, message.key().decode(), message.value()) == (partition, key, value)
        assert dict(message.headers())[letters.REASON_HEADER] == version.encode()

    publish(settings, *(record(200 + i, 6 + i / 8, 3, device="car") for i in range(16)))
    catch_up(settings, UPGRADED)
    # e102 is in time: nothing had closed its window. The letters stay letters at their places,
    # although the window of e102 was read again by code that knows its version.
    assert assert_audited(settings) == {
        "counted": 40 + 8 + 1 + 8,
        "open": 8,
        "dead_letters": 4,
        "late": 2,
        "duplicates": 0,
        "heartbeats": 0,
    }
    rows = bigquery.query(
        settings,
        "SELECT event_id, late FROM {dataset}.spotify_events_rows WHERE event_id LIKE 'e10_'",
    )
    assert sorted(rows.iter_rows()) == [("e100", True), ("e101", True), ("e102", False)]
    assert stored.count_documents({"schema_version": 3, "device": "car"}) == 3 + 16

    # The whole log by the new code: the letters are events at their own places, so that the copy
    # of e102 is a duplicate, and e100, in time there, counts.
    other = settings.replace(dataset=f"{settings.bigquery.dataset}_new")
    bounded.run(other, replay=True)
    assert assert_audited(other) == {
        "counted": 40 + 8 + 2 + 8,
        "open": 8,
        "dead_letters": 1,
        "late": 3,
        "duplicates": 1,
        "heartbeats": 0,
    }


KILLED = """
import os, signal, sys
from spotify_mlops.config import params; from spotify_mlops.io import kafka as topic
from spotify_mlops.domain.events import schema
from spotify_mlops.operations import dead_letters

schema.SCHEMA_VERSIONS = (1, 2, 3)
send, sent = topic.Publisher.send_with_headers, 0

def send_some(self, *arguments):
    global sent
    send(self, *arguments)
    sent += 1
    if sent == 7:
        self.flush()
        os.kill(os.getpid(), signal.SIGKILL)

topic.Publisher.send_with_headers = send_some
dead_letters.replay(params.load(sys.argv[1]))
"""


def test_a_killed_replay_goes_on_and_publishes_nothing_twice(
    local_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = local_params(partitions=2, lags=[1])
    publish(settings, *(record(i, i / 8, 3) for i in range(20)))
    bounded.run(settings)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(apps.params_file(settings))], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert sum(len(found) for found in copies(settings).values()) == 7
    monkeypatch.setattr(schema, "SCHEMA_VERSIONS", UPGRADED)
    done = letters.replay(settings)
    assert (done.letters, done.published, done.already) == (20, 13, 7)
    assert Counter(len(found) for found in copies(settings).values()) == {1: 20}


def test_what_cannot_be_replayed_is_said(local_params: Callable[..., Params]) -> None:
    settings = local_params(partitions=2, lags=[1])
    with pytest.raises(InputError, match="no se ha procesado"):
        letters.counts(settings)
    publish(settings, record(0, 0, 3), record(1, 0), (0, None, b"\xff"))
    bounded.run(settings)
    for places in ([(1, 0)], [(0, 0), (7, 7)]):
        with pytest.raises(InputError, match="no hay ninguna carta muerta"):
            letters.replay(settings, places=places)
    with pytest.raises(ParamsError, match="unsupported_schema_version"):
        letters.replay(settings, reason="bad")
    assert letters.find(settings, (0, 1)).to_dict()["value"] == "/w=="
    with pytest.raises(IntegrityError, match="se creó de nuevo"):
        letters._in_log(settings, {(0, 0): hash(b"another record")})
