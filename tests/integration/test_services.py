"""The local services as their users meet them: up, down, faults, two clones side by side."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from pymongo.errors import BulkWriteError, DuplicateKeyError

from local_services import services
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.io import answering, kafka
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.bigquery.clients import query as run_query
from spotify_mlops.io.bigquery.clients import query_pandas
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, secret, state
from spotify_mlops.io.mongo.clients import database as mongo_database
from spotify_mlops.pipeline.sinks import mongo

Records = dict[str, state.Record]
MakeParams = Callable[..., params.Params]
START = datetime(2026, 1, 5, tzinfo=UTC)


def write_one_of_each(local: params.Params, mark: str) -> None:
    admin = AdminClient(kafka.client_config(local))
    admin.create_topics([NewTopic(local.kafka.topic, 1, 1)])[local.kafka.topic].result(30)
    producer = Producer(kafka.client_config(local) | {"acks": "all"})
    producer.produce(local.kafka.topic, mark.encode())
    assert producer.flush(30) == 0
    mongo_database(local)["marks"].insert_one({"_id": mark})
    warehouse.ensure_dataset(local)
    appending.append(local, tables.PREDICTIONS, predictions(3))


def read_one_of_each(local: params.Params) -> tuple[list[bytes | None], list[str], int]:
    consumer = Consumer(kafka.client_config(local) | {"group.id": "test"})
    consumer.assign([TopicPartition(local.kafka.topic, 0, 0)])
    records = consumer.consume(1, timeout=30)
    consumer.close()
    marks = [document["_id"] for document in mongo_database(local)["marks"].find()]
    counted = run_query(local, "SELECT COUNT(*) FROM {dataset}.spotify_predictions").item()
    return [record.value() for record in records], marks, counted


def predictions(count: int, start: int = 0) -> pl.DataFrame:
    index = range(start, start + count)
    return pl.DataFrame(
        {
            "track_id": [f"t{i}" for i in index],  # not in the table's order
            "window_start": [START + timedelta(hours=i % 5) for i in index],
            "country": ["CO" if i % 2 else "ES" for i in index],
            "level": ["Alta"] * count,
            "score": [i / 10 for i in index],
            "p_alta": [0.5] * count,
            "p_media": [0.25] * count,
            "p_baja": [0.25] * count,
            "model": ["m@1"] * count,
            "horizon": [24] * count,
            "written_at": [START] * count,
        }
    )


def kill(record: state.Record) -> None:
    process = psutil.Process(record.pid)
    process.kill()
    process.wait(60)


def test_up_again_is_harmless_and_all_run(services: Records) -> None:
    from local_services import services as local_services

    running = local_services.up()  # another test may have killed one and started it again
    assert running.keys() == services.keys()
    assert local_services.up() == running
    found = {status.name: status for status in local_services.status()}
    assert {found[name].state for name in ("kafka", "bigquery", "mongo", "vertex")} == {"running"}


def test_the_clients_reach_the_services(local_params: MakeParams) -> None:
    local = local_params()
    answering.require(local)
    write_one_of_each(local, "hola")
    assert read_one_of_each(local) == ([b"hola"], ["hola"], 3)


def test_kafka_stamps_arrival_and_keeps_old_events(local_params: MakeParams) -> None:
    local = local_params()
    admin = AdminClient(kafka.client_config(local))
    admin.create_topics([NewTopic(local.kafka.topic, 1, 1)])[local.kafka.topic].result(30)
    producer = Producer(kafka.client_config(local))
    producer.produce(local.kafka.topic, b"old", timestamp=1_000)
    producer.flush(30)
    consumer = Consumer(kafka.client_config(local) | {"group.id": "test"})
    consumer.assign([TopicPartition(local.kafka.topic, 0, 0)])
    (record,) = consumer.consume(1, timeout=30)
    consumer.close()
    kind, stamp = record.timestamp()
    assert kind == 2  # LogAppendTime
    assert stamp > datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_query_gives_types_parameters_and_empty_results(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    appending.append(local, tables.PREDICTIONS, predictions(10))
    sql = """
        SELECT track_id, window_start, score FROM {dataset}.spotify_predictions
        WHERE window_start >= @start AND country IN UNNEST(@countries) AND score < @most
        ORDER BY track_id
    """
    found = run_query(local, sql, start=START + timedelta(hours=1), countries=["CO"], most=0.75)
    expected = (
        predictions(10)
        .filter(
            pl.col("window_start") >= START + timedelta(hours=1),
            pl.col("country") == "CO",
            pl.col("score") < 0.75,
        )
        .select("track_id", "window_start", "score")
        .sort("track_id")
    )
    assert found.equals(expected)
    assert found.schema == {
        "track_id": pl.String,
        "window_start": pl.Datetime("us", "UTC"),
        "score": pl.Float64,
    }
    none = run_query(local, sql, start=START, countries=["XX"], most=0.0)
    assert none.height == 0
    assert none.schema == found.schema
    frame = query_pandas(local, "SELECT * FROM {dataset}.spotify_predictions")
    assert len(frame) == 10
    assert str(frame["window_start"].dt.tz) == "UTC"


def test_a_new_nullable_column_is_added_to_a_table_with_rows(
    local_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    appending.append(local, tables.PREDICTIONS, predictions(3))
    note = bigquery.SchemaField("note", "STRING")
    wider = replace(tables.PREDICTIONS, schema=(*tables.PREDICTIONS.schema, note))
    monkeypatch.setattr(tables, "all_tables", lambda params: (wider,))
    warehouse.ensure_dataset(local)
    appending.append(local, wider, predictions(2, 3).with_columns(note=pl.lit("new")))
    found = run_query(local, "SELECT track_id, note FROM {dataset}.spotify_predictions")
    assert dict(found.rows()) == {"t0": None, "t1": None, "t2": None, "t3": "new", "t4": "new"}
    other = replace(
        wider, schema=(*wider.schema, bigquery.SchemaField("more", "INT64", "REQUIRED"))
    )
    monkeypatch.setattr(tables, "all_tables", lambda params: (other,))
    with pytest.raises(UserError, match="otras columnas"):
        warehouse.ensure_dataset(local)


def test_large_results_come_whole(local_params: MakeParams, tmp_path: Path) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    rows = predictions(200_000)
    rows.write_parquet(tmp_path / "a.parquet")
    assert warehouse.load(local, tables.PREDICTIONS, [tmp_path / "a.parquet"], replace=True)
    found = run_query(local, "SELECT * FROM {dataset}.spotify_predictions_rows")
    order = ["track_id"]
    assert found.sort(order).equals(rows.select(found.columns).sort(order))


def test_small_and_large_results_have_the_same_values(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    random = np.random.default_rng(1)
    rows = predictions(3000).with_columns(
        score=pl.Series(random.random(3000) * 10.0 ** random.integers(-300, 300, 3000)),
        written_at=pl.lit(START)
        + pl.Series(random.integers(0, 10**15, 3000)).cast(pl.Duration("us")),
    )
    appending.append(local, tables.PREDICTIONS, rows)
    sql = "SELECT * FROM {dataset}.spotify_predictions_rows"  # more rows than one answer holds
    large = run_query(local, sql).sort("track_id")
    few = large["track_id"].head(500).to_list()
    small = run_query(local, f"{sql} WHERE track_id IN UNNEST(@few)", few=few)
    assert small.sort("track_id").equals(large.head(500))
    assert large.equals(rows.select(large.columns).sort("track_id"))


def test_a_query_that_fails_raises(local_params: MakeParams) -> None:
    local = local_params()
    with pytest.raises(NotFound, match="nowhere"):
        run_query(local, "SELECT x FROM nowhere.y")
    with pytest.raises(BadRequest, match="division by zero"):
        run_query(local, "SELECT 1 / 0")


def test_load_replaces_or_adds_and_views_show_each_key_once(
    local_params: MakeParams, tmp_path: Path
) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    predictions(5).write_parquet(files[0])
    predictions(5, 3).write_parquet(files[1])

    def counts() -> tuple[int, int]:
        rows, keys = run_query(
            local,
            "SELECT (SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows) AS n, "
            "(SELECT COUNT(*) FROM {dataset}.spotify_predictions) AS k",
        ).row(0)
        return rows, keys

    assert warehouse.load(local, tables.PREDICTIONS, files, replace=False) == 10
    assert counts() == (10, 8)
    assert warehouse.load(local, tables.PREDICTIONS, files[:1], replace=True) == 5
    assert counts() == (5, 5)
    assert warehouse.load(local, tables.PREDICTIONS, [], replace=False) == 0
    assert counts() == (5, 5)
    assert warehouse.load(local, tables.PREDICTIONS, [], replace=True) == 0
    assert counts() == (0, 0)


def test_rows_that_do_not_fit_are_refused(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        with pytest.raises(ValueError, match="unknown"):
            appender.append(predictions(1).with_columns(extra=1))
        with pytest.raises(ValueError, match="level"):
            appender.append(predictions(1).drop("level"))
        with pytest.raises(ValueError, match="score"):
            appender.append(predictions(1).with_columns(score=pl.lit(None, pl.Float64)))
        assert appender.append(predictions(0)) == 0


def test_an_append_whose_answer_was_lost_is_not_written_twice(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(4))
        appender._offset = 0  # as if no answer had come
        appender.append(predictions(4))
        appender.append(predictions(2, 4))
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions_rows"
    assert run_query(local, sql).item() == 6


def test_a_large_append_is_cut_into_requests(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(150_000))
    sql = "SELECT COUNT(DISTINCT track_id) FROM {dataset}.spotify_predictions_rows"
    assert run_query(local, sql).item() == 150_000


def test_data_and_addresses_outlive_down_and_kill(own_state: Path) -> None:
    local = params.load("local")
    first = services.up()
    write_one_of_each(local, "a salvo")
    wrote = ([b"a salvo"], ["a salvo"], 3)
    for record in first.values():  # what was acknowledged survives kill -9
        kill(record)
    status = {found.name: found for found in services.status()}
    assert {found.state for found in status.values()} == {"crashed"}
    assert "Kafka Server started" in status["kafka"].log_tail

    second = services.up()
    assert {name: record.addresses for name, record in second.items()} == {
        name: record.addresses for name, record in first.items()
    }
    assert read_one_of_each(local) == wrote

    (own_state / "state.json").unlink()
    assert services.up() == second  # none is started beside those that run
    (own_state / "state.json").write_text("{")
    services.down()
    assert not any(processes.is_alive(record) for record in second.values())
    assert {found.state for found in services.status()} == {"stopped"}
    with pytest.raises(ServiceError, match="spotify-mlops up"):
        kafka.client_config(local)

    # The data know nothing of the secret, as in a folder from before there was one.
    (own_state / secret.FILE).unlink()
    # A port that was taken meanwhile is replaced; the data stay.
    broker, rest = first["kafka"].ports["broker"], first["bigquery"].ports["rest"]
    said: list[str] = []
    with (
        socket.create_server((ports.HOST, broker)),
        socket.create_server((ports.HOST, rest)),
    ):
        third = services.up(said.append)
        assert third["kafka"].ports["broker"] != broker
        assert third["bigquery"].ports["rest"] != rest
        assert sum("ocupado" in line for line in said) == 2
        assert read_one_of_each(local) == wrote


def test_an_appender_outlives_a_restart_of_the_server(own_state: Path) -> None:
    services.up()
    local = params.load("local", sink_deadline="60s")
    warehouse.ensure_dataset(local)
    with appending.Appender(local, tables.PREDICTIONS) as appender:
        appender.append(predictions(3))
        kill(state.read()["bigquery"])
        services.up()
        appender.append(predictions(3, 3))
    sql = "SELECT COUNT(*) FROM {dataset}.spotify_predictions"
    assert run_query(local, sql).item() == 6

    services.down()
    brief = local.replace(
        sink_deadline=timedelta(seconds=1), bigquery_grpc=f"{ports.HOST}:{ports.free()}"
    )
    with pytest.raises(ServiceError, match="spotify_predictions_rows"):
        appending.append(brief, tables.PREDICTIONS, predictions(1))


def test_two_clones_do_not_disturb_each_other(
    services: Records, local_params: MakeParams, tmp_path: Path
) -> None:
    from local_services import services as local_services

    mine = local_params()
    write_one_of_each(mine, "mío")
    with pytest.MonkeyPatch.context() as other:
        other.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "other"))
        theirs = local_services.up()
        try:
            taken = {port for record in services.values() for port in record.ports.values()}
            assert not taken & {p for record in theirs.values() for p in record.ports.values()}
            same = params.load("local", topic=mine.kafka.topic, mongo_database=mine.mongo.database)
            write_one_of_each(same, "suyo")
            assert read_one_of_each(same) == ([b"suyo"], ["suyo"], 3)
        finally:
            local_services.down()
        assert not any(processes.is_alive(record) for record in theirs.values())
    assert read_one_of_each(mine) == (["mío".encode()], ["mío"], 3)


def test_readers_and_appenders_at_once_do_not_mix_answers(local_params: MakeParams) -> None:
    local = local_params()
    warehouse.ensure_dataset(local)

    def write(first: int) -> None:
        with appending.Appender(local, tables.PREDICTIONS) as appender:
            for batch in range(15):
                appender.append(predictions(20, first + 20 * batch))

    sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT track_id) AS k FROM {dataset}.spotify_predictions"
    seen = []
    with ThreadPoolExecutor(8) as pool:  # more open streams than the server's default threads
        writers = [pool.submit(write, 1000 * i) for i in range(8)]
        while not all(writer.done() for writer in writers):
            seen.append(run_query(local, sql))
        for writer in writers:
            writer.result()
    assert all(frame.columns == ["n", "k"] for frame in seen)
    counts = [frame.row(0) for frame in seen]
    assert counts == sorted(counts)
    assert all(rows == keys for rows, keys in counts)
    assert run_query(local, sql).row(0) == (2400, 2400)


def test_of_duplicates_the_first_event_is_kept(local_params: MakeParams) -> None:
    count = 3_000
    events = pl.DataFrame(
        {
            "event_id": [str(number) for number in range(count)] * 2,
            "event_time": [START] * (2 * count),
            "country": ["ES"] * (2 * count),
            "track_id": ["t"] * (2 * count),
            "value": [b'{"count":1}'] * count + [b'{"count":2}'] * count,
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )
    database = mongo_database(local_params())
    mongo.insert_events(database, events)
    mongo.insert_events(database, events[count:])
    assert [d["count"] for d in database["events"].find()] == [1] * count


def test_a_large_range_is_deleted_whole_and_a_part_of_it_is_not(
    local_params: Callable[..., params.Params],
) -> None:
    """The server deletes a range by its keys: not all of the documents fit in its memory."""
    events = mongo_database(local_params())["events"]
    events.insert_many({"_id": f"{number:08}", "text": "x" * 200} for number in range(9_000))
    assert events.count_documents({"_id": {"$lt": "00006500"}}) == 6_500
    assert events.delete_one({"_id": {"$lt": "00006500"}}).deleted_count == 1
    assert events.delete_many({"_id": {"$lt": "00006500"}}).deleted_count == 6_499
    assert events.count_documents({}) == 2_500
    assert events.delete_many({"_id": {"$lt": "00008500"}}).deleted_count == 2_000
    assert events.find_one(sort=[("_id", 1)])["_id"] == "00008500"
    assert events.delete_many({"text": "x" * 200}).deleted_count == 500


def test_mongo_documents_are_found_changed_and_unique(local_params: MakeParams) -> None:
    kept = mongo_database(local_params())["kept"]
    kept.insert_many([{"_id": f"{i:02d}", "n": i, "deep": {"a": [1, None]}} for i in range(20)])
    kept.insert_one({"_id": 5, "n": 500})
    with pytest.raises(DuplicateKeyError):
        kept.insert_one({"_id": 5.0})  # equal as numbers
    with pytest.raises(BulkWriteError, match="duplicate key"):
        kept.insert_many([{"_id": "07"}, {"_id": "new", "n": 20}], ordered=False)
    assert kept.find_one({"_id": "07"}) == {"_id": "07", "n": 7, "deep": {"a": [1, None]}}

    def ids(query: dict[str, Any]) -> list[object]:
        return [document["_id"] for document in kept.find(query).sort("n")]

    assert ids({"_id": {"$in": ["03", "absent", "01"]}}) == ["01", "03"]
    assert ids({"_id": {"$regex": "^1[89]"}}) == ["18", "19"]
    assert ids({"n": {"$gt": 18}}) == ["19", "new", 5]
    assert [d["_id"] for d in kept.find().sort("$natural", -1).limit(2)] == [5, "new"]
    kept.update_one({"_id": "03"}, {"$set": {"n": -3}})
    kept.replace_one({"_id": "later"}, {"n": 21}, upsert=True)
    assert ids({"n": {"$lt": 0}}) == ["03"]
    assert kept.find_one({"_id": "later"}) == {"_id": "later", "n": 21}

    kept.create_index("n", unique=True)
    with pytest.raises(DuplicateKeyError):
        kept.insert_one({"_id": "other", "n": 19})
    # A second index must let go of them too, and a number is below no text.
    assert kept.delete_many({"_id": {"$lt": "18"}}).deleted_count == 18
    assert ids({}) == ["18", "19", "new", "later", 5]
    kept.insert_one({"_id": "other", "n": 7})


def test_a_mongo_that_does_not_answer_is_given_up(
    local_params: Callable[..., params.Params],
) -> None:
    impatient = local_params(sink_deadline="1s")
    database = mongo_database(impatient)
    database["tracks"].insert_one({"_id": 1})
    record = state.get("mongo")
    assert record is not None
    server = psutil.Process(record.pid)
    server.suspend()
    try:
        deadline = time.monotonic() + 60
        while server.status() != psutil.STATUS_STOPPED:  # its threads stop one after the other
            assert time.monotonic() < deadline
        with pytest.raises(ServiceError, match="MongoDB no aceptó"):
            mongo.persistently(impatient, lambda: database["tracks"].insert_one({"_id": 2}))
    finally:
        server.resume()
    assert database["tracks"].count_documents({"_id": 1}) == 1
