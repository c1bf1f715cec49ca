"""A log that is another one than before is told, whatever the sums say, and what to do is too."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
from confluent_kafka import TopicPartition
from worlds import catch_up, command, make

from hostile import changed
from spotify_mlops.config.errors import IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.io import files, kafka
from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.local import state
from spotify_mlops.operations import apps, audit, bounded, compare
from spotify_mlops.pipeline.sinks import positions, same_log

END = datetime(2026, 1, 6, tzinfo=UTC)


def publish(settings: Params, first: int, last: int) -> None:
    kafka.ensure_topic(settings)
    values = [changed(event_id=f"e{number}") for number in range(first, last)]
    frame = pl.DataFrame({"value": values}, schema={"value": pl.Binary})
    with kafka.Publisher(settings) as publisher:
        publisher.send(
            frame.with_columns(partition=pl.lit(0, pl.Int32), key=pl.lit("t")).select(
                "partition", "key", "value"
            )
        )
    kafka.publish_heartbeats(settings, END)


def remake(settings: Params) -> None:
    """Delete the topic, as with the data folder of Kafka, and make it again."""
    admin = kafka.admin.admin_client(settings)
    admin.delete_topics([settings.kafka.topic])[settings.kafka.topic].result(30)
    while settings.kafka.topic in admin.list_topics(timeout=10).topics:
        pass
    kafka.ensure_topic(settings)


def refused(settings: Params) -> str:
    done = command(settings, "stream", "--until-caught-up")
    assert done.returncode == 6, done.stderr
    assert "new-log" in done.stderr
    return done.stderr


def processed(first: int, last: int) -> Params:
    settings = make(partitions=1)
    publish(settings, first, last)
    catch_up(settings)
    return settings


def test_a_topic_made_again_is_refused_and_can_be_begun_with(
    services: dict[str, state.Record],
) -> None:
    settings = processed(0, 200)
    remake(settings)
    publish(settings, 1000, 1400)  # more than before: no offset is out of range
    assert "se creó de nuevo" in refused(settings)
    with pytest.raises(IntegrityError, match="se creó de nuevo"):
        bounded.ensure(settings)
    report = audit.audit(settings)
    assert not report.holds
    assert "se creó de nuevo" in str(report.another_log)
    # The position alone is gone, as a user may try: the archive still tells.
    files.delete([positions.position_file(settings)])
    assert "el archivo es del tema con identidad" in refused(settings)

    said = command(settings, "new-log")
    assert said.returncode == 0 and "Aparta" in said.stdout
    refused(settings)  # nothing was done
    done = command(settings, "new-log", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert files.folders(json.loads(done.stdout)["aside"]) != []
    catch_up(settings)
    assert compare.content(settings, tables.EVENTS).height == 400
    assert audit.audit(settings).holds


def test_a_log_without_its_end_is_refused_also_when_it_was_filled_again(
    services: dict[str, state.Record],
) -> None:
    settings = processed(0, 50)
    saved = positions.load(settings)
    assert saved is not None and saved.log == kafka.identity(settings)
    assert saved.witnesses[0][0] < saved.acknowledged[0]
    # The position is of a log that was longer: records after 51 were lost with a disk.
    longer = {p: end + 70 for p, end in saved.acknowledged.items()}
    positions.save(settings, replace_position(saved, acknowledged=longer))
    assert "le falta el final" in refused(settings)
    assert "le falta el final" in str(audit.audit(settings).another_log)
    # The place of the last record that was processed has another one.
    other = {0: (saved.witnesses[0][0], END)}
    positions.save(settings, replace_position(saved, witnesses=other))
    assert "en su lugar hay otro" in refused(settings)
    positions.save(settings, saved)
    catch_up(settings)


def test_records_that_kafka_let_go_of_count_as_long_as_they_were_taken(
    services: dict[str, state.Record],
) -> None:
    settings = processed(0, 50)
    whole = audit.audit(settings)
    assert whole.holds
    expire(settings, 20)
    after = audit.audit(settings)
    assert after.holds and after.table.equals(whole.table)
    publish(settings, 50, 90)
    catch_up(settings)
    assert audit.audit(settings).holds

    publish(settings, 90, 120)
    expire(settings, kafka.offsets(settings)[0][1])  # before the job came to them
    lost = audit.audit(settings, wait=0)
    assert [each.expected - each.found for each in lost.differences] == [31]  # and a heartbeat


def expire(settings: Params, before: int) -> None:
    """Have the broker delete the records of the partition below an offset, as it does by age."""
    place = TopicPartition(settings.kafka.topic, 0, before)
    admin = kafka.admin.admin_client(settings)  # its answers come as long as it is there
    for deleted in admin.delete_records([place]).values():
        assert deleted.result(30).low_watermark == before


def replace_position(saved: positions.Position, **changes: object) -> positions.Position:
    return positions.Position(**(vars(saved) | changes))  # type: ignore[arg-type]


def test_what_an_older_version_left_is_taken_and_completed(
    services: dict[str, state.Record],
) -> None:
    settings = processed(0, 50)
    saved = positions.load(settings)
    assert saved is not None
    positions.save(settings, replace_position(saved, log=None, witnesses={}))
    files.delete([same_log.identity_file(settings)])
    publish(settings, 50, 60)
    catch_up(settings)
    completed = positions.load(settings)
    assert completed is not None
    assert completed.log == saved.log == kafka.identity(settings)
    assert same_log.changes(settings) == []
    assert files.exists(same_log.identity_file(settings))


def test_a_topic_made_again_while_the_job_runs_ends_it(services: dict[str, state.Record]) -> None:
    settings = processed(0, 50)
    file = str(apps.params_file(settings))
    job = subprocess.Popen(
        [sys.executable, "-m", "spotify_mlops", "stream", "--params", file],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not apps.ready_file().exists():
            assert job.poll() is None
        remake(settings)
        publish(settings, 1000, 1400)
        _, told = job.communicate(timeout=120)
    finally:
        job.kill()
    assert job.returncode == 6, told
    assert "new-log" in told


def test_the_append_times_of_records(services: dict[str, state.Record]) -> None:
    settings = make(partitions=2)
    publish(settings, 0, 3)
    found = kafka.append_times(settings, {0: 2, 1: 5})
    assert found.keys() == {0}
    assert abs(found[0] - datetime.now(UTC)).total_seconds() < 3600
