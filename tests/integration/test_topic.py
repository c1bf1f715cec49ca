"""Publishing into a real Kafka: exact, once, resumable, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from spotify_mlops import sources
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError, IntegrityError, ParamsError, ServiceError
from spotify_mlops.domain.events import Ahead, decode
from spotify_mlops.io import kafka
from spotify_mlops.io.kafka import Journal
from spotify_mlops.io.local import state
from spotify_mlops.pipeline.watermark import mark
from spotify_mlops.sources import manifest
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
    summary = sources.ingest_files(profile, "charts", [tmp_path])
    assert summary["published"] == 4 + profile.kafka.partitions
    assert len(summary["left_out"]) == 1
    assert summary["closed_until"] == "2017-01-20T00:00:00+00:00"
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    events = log.filter(kind="event")
    assert sorted(events["count"]) == [5, 5, 1005, 1005]
    for part in events.partition_by("partition"):
        assert part["event_time"].is_sorted()
    assert sources.ingest_files(profile, "charts", [tmp_path])["published"] == 0
    with pytest.raises(InputError, match="llegarían tarde"):
        sources.ingest_files(profile, "charts", [tmp_path / "chile.csv"])


def test_no_date_of_the_future_makes_other_events_late(
    local_params: MakeParams, tmp_path: Path
) -> None:
    weekly = {"window": "7d", "window_offset": "1d", "allowed_lateness": "0s", "source": "charts"}
    profile = local_params(**weekly, partitions=1)
    (tmp_path / "spain.csv").write_text(
        HEADER + "A,a,2017-01-06,a1,7,1\nB,b,2099-01-02,b1,5,1\n", encoding="utf-8"
    )
    said: list[str] = []
    summary = sources.ingest_files(profile, "charts", [tmp_path], said.append)
    assert summary["future"] == ["2099-01-02 00:00 chart:ES:2099-01-02:1"]
    (told,) = [line for line in said if line.startswith("No se publican")]
    assert re.fullmatch(
        r"No se publican 1 filas con fecha posterior a [\d-]+ [\d:]+ UTC: "
        r"2099-01-02 00:00 chart:ES:2099-01-02:1",
        told,
    )
    assert summary["published"] == 1 + profile.kafka.partitions
    assert summary["closed_until"] == "2017-01-13T00:00:00+00:00"
    kafka.publish_heartbeats(profile, datetime(8999, 1, 1, tzinfo=UTC))
    (tmp_path / "spain.csv").write_text(HEADER + "A,a,2017-01-13,a1,7,1\n", encoding="utf-8")
    sources.ingest_files(profile, "charts", [tmp_path])
    log = decode(read(profile).drop("key"), Ahead.of(profile.windows))
    marked, _ = mark(log, {0: None}, profile.windows.allowed_lateness)
    assert marked["kind"].to_list() == ["event", "heartbeat", "dead_letter", "event", "heartbeat"]
    assert marked["reason"][2] == "future_heartbeat"
    assert not marked["late"].any()

    (tmp_path / "spain.csv").write_text(HEADER + "B,b,2099-01-02,b1,5,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"No hay nada que publicar.*2099-01-02"):
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
