"""Publishing into a real Kafka: exact, once, resumable, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError, IntegrityError, ParamsError, ServiceError
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.domain.watermark import mark
from spotify_mlops.io import kafka
from spotify_mlops.io.kafka import Journal
from spotify_mlops.io.local import state
from spotify_mlops.sources import manifest, publishing
from spotify_mlops.sources.simulator import Simulator, records

MakeParams = Callable[..., params.Params]
SMALL = {"simulator_days": 1, "simulator_events": 20_000, "simulator_tracks": 100}
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"

INGEST = """
import json, sys
from spotify_mlops.config import params; from spotify_mlops import sources
def say(message):
    print(message, flush=True)
sources.ingest_simulator(params.load("local", **json.loads(sys.argv[1])), say)
"""

LIVE = """
import json, sys
from spotify_mlops.config import params; from spotify_mlops import sources
profile = params.load("local", **json.loads(sys.argv[1]))
print("ready", flush=True)
print(json.dumps(sources.live(profile)), flush=True)
"""


def read(profile: params.Params) -> pl.DataFrame:
    """Return the whole log: partition, offset, append_time, key, value."""
    rows = []
    extent = kafka.offsets(profile)
    consumer = Consumer(kafka.client_config(profile) | {"group.id": "test"})
    for partition, (low, high) in extent.items():
        consumer.assign([TopicPartition(profile.kafka.topic, partition, low)])
        position = low
        while position < high:
            for message in consumer.consume(min(10_000, high - position), timeout=10):
                assert message.error() is None
                kind, stamp = message.timestamp()
                assert kind == 2  # the broker's append time
                rows.append(
                    (
                        partition,
                        message.offset(),
                        datetime.fromtimestamp(stamp / 1000, UTC),
                        message.key(),
                        message.value(),
                    )
                )
                position = message.offset() + 1
    consumer.close()
    schema = {
        "partition": pl.Int32,
        "offset": pl.Int64,
        "append_time": pl.Datetime("us", "UTC"),
        "key": pl.Binary,
        "value": pl.Binary,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort("partition", "offset")


def expected(profile: params.Params, first: int, last: int) -> pl.DataFrame:
    """Return what the simulator has for these hours, in the order of the log."""
    frame = records(Simulator(profile).interval(first, last))
    return frame.with_columns(pl.col("key").cast(pl.Binary)).sort("partition", maintain_order=True)


def command(program: str, profile: params.Params) -> list[str]:
    return [sys.executable, "-c", program, json.dumps(profile.flat())]


def test_the_history_is_published_once_and_whole(local_params: MakeParams) -> None:
    profile = local_params(**SMALL)
    summary = sources.ingest_simulator(profile)
    log = read(profile)
    ours = log.filter(pl.col("key").is_not_null())
    assert ours.select("partition", "key", "value").equals(expected(profile, 0, 24))
    decoded = decode(log.drop("key"), Ahead.of(profile.windows))
    beats = decoded.filter(pl.col("kind") == "heartbeat")
    assert beats["partition"].to_list() == list(range(profile.kafka.partitions))
    end = Simulator(profile).world.end
    assert set(beats["event_time"]) == {end + profile.windows.allowed_lateness}
    assert summary["published"] == len(log) == summary["records"]

    again = sources.ingest_simulator(profile)
    assert again["published"] == 0
    assert again["skipped"] == len(log)
    assert len(read(profile)) == len(log)

    injected = manifest.injected(profile)
    assert injected is not None
    assert injected["dead_letters"] == (decoded["kind"] == "dead_letter").sum() == 200
    assert injected["late"] == 200
    assert injected["duplicates"] == 400
    for partition, counts in summary["partitions"].items():
        assert counts["records"] == (log["partition"] == int(partition)).sum()


def test_a_record_of_somebody_else_beside_the_log_counts_for_nothing(
    local_params: MakeParams, caplog: pytest.LogCaptureFixture
) -> None:
    profile = local_params(**SMALL)
    sources.ingest_simulator(profile)
    injected = manifest.injected(profile)
    key = next(iter(Journal(profile).entries()))
    producer = Producer(kafka.client_config(profile))
    for name, value in [(key, b"{"), (key, b"[1]"), (b"\xff", b"{}"), ("other", b"{}")]:
        producer.produce(f"{profile.kafka.topic}-sources", value, name)
    assert producer.flush(60) == 0
    assert sources.ingest_simulator(profile)["published"] == 0
    assert manifest.injected(profile) == injected is not None
    assert "no es de una fuente" in caplog.text


def test_a_damaged_file_beside_the_log_is_named(local_params: MakeParams) -> None:
    profile = local_params(**SMALL)
    Journal(profile).write("harmed", {})
    (file,) = (state.folder("kafka") / "data" / f"{profile.kafka.topic}-sources-0").glob("*.log")
    content = file.read_bytes()
    assert b"harmed" in content
    file.write_bytes(content.replace(b"harmed", b"Harmed"))
    with pytest.raises(
        IntegrityError, match=f"{profile.kafka.topic}-sources, donde consta .* dañado"
    ):
        sources.ingest_simulator(profile)


def test_a_killed_ingest_is_finished_by_the_next(local_params: MakeParams) -> None:
    profile = local_params(**SMALL | {"simulator_events": 400_000})
    process = subprocess.Popen(
        command(INGEST, profile), stdout=subprocess.PIPE, env=os.environ.copy()
    )
    kafka.ensure_topic(profile)
    while process.poll() is None:
        if length(profile) > 20_000:
            process.kill()
            break
    process.wait()
    cut = length(profile)
    if process.returncode == -signal.SIGKILL:
        assert manifest.injected(profile) is None
    # A heartbeat of the streaming job, or anyone else's record, may come in between.
    kafka.publish_heartbeats(profile, Simulator(profile).world.start)
    summary = sources.ingest_simulator(profile)
    assert summary["skipped"] == cut
    end = Simulator(profile).world.end + profile.windows.allowed_lateness
    log = read(profile)
    ours = log.filter(pl.col("key").is_not_null()).select("partition", "key", "value")
    assert ours.equals(expected(profile, 0, 24))
    decoded = decode(log.drop("key"), Ahead.of(profile.windows))
    assert decoded.filter(event_time=end, kind="heartbeat").height == profile.kafka.partitions


def test_the_live_part_goes_on_where_the_history_and_the_last_run_ended(
    local_params: MakeParams,
) -> None:
    profile = local_params(**SMALL, live_clock=36_000, live_duration="1d")
    with pytest.raises(ParamsError, match="ingest simulator"):
        sources.live(profile)
    sources.ingest_simulator(profile)

    for _ in range(2):  # stopped in order
        before = length(profile)
        process = subprocess.Popen(
            command(LIVE, profile), stdout=subprocess.PIPE, env=os.environ.copy(), text=True
        )
        wait_for_more(profile, process, before)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert '"state": "stopped"' in output
    assert manifest.injected(profile) is not None
    process = subprocess.Popen(
        command(LIVE, profile), stdout=subprocess.PIPE, env=os.environ.copy()
    )
    wait_for_more(profile, process, sum(high for _, high in kafka.offsets(profile).values()))
    process.kill()
    process.wait()

    summary = sources.live(profile, stop_event=threading.Event())
    assert summary["state"] == "complete"
    log = read(profile)
    ours = log.filter(pl.col("key").is_not_null()).select("partition", "key", "value")
    assert ours.equals(expected(profile, 0, 48))
    assert log.filter(pl.col("key").is_null()).height == 2 * profile.kafka.partitions
    injected = manifest.injected(profile)
    assert injected is not None
    assert injected["records"] == len(log)
    assert sources.live(profile)["published"] == 0


def length(profile: params.Params) -> int:
    return sum(high for _, high in kafka.offsets(profile).values())


def wait_for_more(
    profile: params.Params, process: subprocess.Popen[str] | subprocess.Popen[bytes], before: int
) -> None:
    while length(profile) <= before + 100:
        assert process.poll() is None


def test_charts_are_published_in_order_and_a_closed_topic_is_respected(
    local_params: MakeParams, tmp_path: Path
) -> None:
    weekly = {"window": "7d", "window_offset": "1d", "allowed_lateness": "0s", "source": "charts"}
    profile = local_params(**weekly)
    for name in ("spain.csv", "mexico.csv", "chile.csv"):
        (tmp_path / name).write_text(
            HEADER + 'B,b,2017-01-13,b1,5,1\nA,,2017-01-06,a1,"1,005",1\n', encoding="utf-8"
        )
    summary = sources.ingest_files(profile, "charts", [tmp_path], close=True)
    assert summary["published"] == 4
    assert summary["heartbeats"] == profile.kafka.partitions
    assert [item["file"] for item in summary["not_read"]] == ["chile.csv"]
    assert summary["closed_until"] == "2017-01-20T00:00:00+00:00"
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    events = log.filter(kind="event")
    assert sorted(events["count"]) == [5, 5, 1005, 1005]
    for part in events.partition_by("partition"):
        assert part["event_time"].is_sorted()
    before = length(profile)
    again = sources.ingest_files(profile, "charts", [tmp_path], close=True)
    assert (again["published"], again["skipped"], again["heartbeats"]) == (0, 4, 0)
    assert length(profile) == before

    older = tmp_path / "chile.csv"
    strict = profile.replace(late_events="refuse")
    with pytest.raises(InputError, match="llegarían tarde"):
        sources.ingest_files(strict, "charts", [older])
    left = sources.ingest_files(profile.replace(late_events="leave_out"), "charts", [older])
    assert (left["published"], left["late_left_out"]) == (0, 2)
    assert length(profile) == before
    late = sources.ingest_files(profile, "charts", [older])
    assert (late["published"], late["late"]) == (2, 2)
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    marked, _ = mark(log, dict.fromkeys(range(profile.kafka.partitions)), timedelta(0))
    assert marked.filter("late")["country"].to_list() == ["CL", "CL"]
    injected = manifest.injected(profile)
    assert injected is not None
    assert (injected["late"], injected["events"]) == (2, 4)


def weeks(path: Path, *days: str) -> Path:
    rows = "".join(f"S{n},A,{day},s{n},5,{n}\n" for day in days for n in (1, 2, 3))
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def test_a_file_that_grows_adds_what_is_new(local_params: MakeParams, tmp_path: Path) -> None:
    profile = local_params(window="7d", window_offset="1d", allowed_lateness="0s")
    path = tmp_path / "colombia.csv"
    first = sources.ingest_files(
        profile, "charts", [weeks(path, "2024-01-05", "2024-01-12")], close=True
    )
    assert first["published"] == 6
    second = sources.ingest_files(
        profile, "charts", [weeks(path, "2024-01-05", "2024-01-12", "2024-01-19")]
    )
    assert (second["published"], second["skipped"], second["late"]) == (3, 6, 0)
    assert second["events"] == second["rows"] == 9
    assert second["closed_until"] is None
    assert second["heartbeats"] == 0
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows)).filter(kind="event")
    assert log.height == log["event_id"].n_unique() == 9
    injected = manifest.injected(profile)
    assert injected is not None
    assert injected["events"] == 9


def test_what_an_interrupted_ingest_left_is_not_published_again(
    local_params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = local_params(window="7d", window_offset="1d", allowed_lateness="0s")
    path = weeks(tmp_path / "colombia.csv", "2024-01-05", "2024-01-12", "2024-01-19")
    sources.ingest_files(profile, "charts", [weeks(tmp_path / "spain.csv", "2023-12-29")])

    class Killed(BaseException):
        pass

    sent = publishing.Publisher.send

    def send(publisher: publishing.Publisher, records: pl.DataFrame) -> None:
        sent(publisher, records[:5])
        publisher.flush()
        raise Killed

    monkeypatch.setattr(publishing.Publisher, "send", send)
    with pytest.raises(Killed):
        sources.ingest_files(profile, "charts", [path])
    assert manifest.injected(profile) is None
    monkeypatch.undo()
    # Somebody else's record, and then another file than the one that was cut off.
    kafka.publish_heartbeats(profile, datetime(2024, 1, 5, tzinfo=UTC))
    other = weeks(tmp_path / "mexico.csv", "2024-01-19")
    done = sources.ingest_files(profile, "charts", [path, other], close=True)
    assert (done["published"], done["skipped"]) == (7, 5)
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows)).filter(kind="event")
    assert log.height == log["event_id"].n_unique() == 15
    injected = manifest.injected(profile)
    assert injected is not None
    marked, _ = mark(
        decode(read(profile).drop("key"), Ahead.of(profile.windows)),
        dict.fromkeys(range(profile.kafka.partitions)),
        timedelta(0),
    )
    assert injected["events"] + injected["late"] == 15
    assert injected["late"] == marked["late"].sum()


def test_history_after_the_simulator_is_published_as_late(
    local_params: MakeParams, tmp_path: Path
) -> None:
    profile = local_params(**SMALL)
    sources.ingest_simulator(profile)
    names = {"track_name": "N", "artist_name": "A"}
    listens = [
        {"listened_at": 1_715_020_990 + n, "recording_msid": f"m{n}", "track_metadata": names}
        for n in range(3)
    ]
    path = tmp_path / "5.jsonl"
    path.write_text("\n".join(map(json.dumps, listens)), encoding="utf-8")
    summary = sources.ingest_files(profile, "history", [f"{path}=CO"])
    assert (summary["published"], summary["late"], summary["told"]) == (3, 3, "3 eventos")
    injected = manifest.injected(profile)
    assert injected is not None
    assert injected["late"] == 203  # and the simulator's own
    assert sources.ingest_files(profile, "history", [f"{path}=CO"])["skipped"] == 3


def test_no_date_of_the_future_makes_other_events_late(
    local_params: MakeParams, tmp_path: Path
) -> None:
    weekly = {"window": "7d", "window_offset": "1d", "allowed_lateness": "0s", "source": "charts"}
    profile = local_params(**weekly, partitions=1)
    (tmp_path / "spain.csv").write_text(
        HEADER + "A,a,2017-01-06,a1,7,1\nB,b,2099-01-02,b1,5,1\n", encoding="utf-8"
    )
    said: list[str] = []
    summary = sources.ingest_files(profile, "charts", [tmp_path], said.append, close=True)
    assert summary["left_out"] == {"future": 1}
    assert "  con fecha futura: línea 3: 2099-01-02 00:00" in said
    assert summary["published"] == 1
    assert summary["closed_until"] == "2017-01-13T00:00:00+00:00"
    kafka.publish_heartbeats(profile, datetime(8999, 1, 1, tzinfo=UTC))
    (tmp_path / "spain.csv").write_text(HEADER + "A,a,2017-01-13,a1,7,1\n", encoding="utf-8")
    sources.ingest_files(profile, "charts", [tmp_path], close=True)
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    marked, _ = mark(log, {0: None}, profile.windows.allowed_lateness)
    assert marked["kind"].to_list() == ["event", "heartbeat", "dead_letter", "event", "heartbeat"]
    assert marked["reason"][2] == "future_heartbeat"
    assert not marked["late"].any()

    (tmp_path / "spain.csv").write_text(HEADER + "B,b,2099-01-02,b1,5,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="No hay nada que publicar: 0 eventos, 1 con fecha futura"):
        sources.ingest_files(profile, "charts", [tmp_path])


def test_the_clock_of_the_live_part_does_not_overtake_the_calendar(
    local_params: MakeParams,
) -> None:
    now = datetime.now(UTC)
    profile = local_params(
        **SMALL, simulator_start=now.date(), live_clock=100_000, live_duration="30d"
    )
    sources.ingest_simulator(profile)
    ended = threading.Event()
    live = threading.Thread(target=lambda: sources.live(profile, stop_event=ended))
    live.start()
    before = length(profile)
    while length(profile) <= before:
        assert live.is_alive()
    ended.set()
    live.join()
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows)).filter(kind="dead_letter")
    injected = manifest.injected(profile)
    assert injected is not None
    assert (
        log.filter(reason="future_event_time").height
        == (injected["malformed"]["future_event_time"])
    )


def test_a_steady_rate_has_the_time_of_the_clock(local_params: MakeParams) -> None:
    profile = local_params(**SMALL, window="1s")
    before = datetime.now(UTC)
    summary = sources.paced(profile, rate=500, seconds=1)
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    assert summary["published"] == len(log) == 500
    assert set(log["kind"]) == {"event"}
    assert log["event_time"].min() >= before
    assert (log["append_time"] - log["event_time"]).min().total_seconds() > -0.1
    assert log["event_id"].is_unique().all()


def test_another_number_of_partitions_is_refused(local_params: MakeParams) -> None:
    profile = local_params()
    kafka.ensure_topic(profile)
    kafka.ensure_topic(profile)
    with pytest.raises(ServiceError, match="particiones"):
        kafka.ensure_topic(profile.replace(partitions=7))


def test_a_broker_that_is_not_there_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        profile = params.load("local", kafka_bootstrap=address, service_timeout="2s", **SMALL)
        with pytest.raises(ServiceError, match=address):
            sources.ingest_simulator(profile)
