"""The local services as their users meet them: up, down, faults, two clones side by side."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from stored import kill, predictions

from local_services import services
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.io import answering, kafka
from spotify_mlops.io.bigquery import appending, tables, warehouse
from spotify_mlops.io.bigquery.clients import query as run_query
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, secret, state
from spotify_mlops.io.mongo.clients import database as mongo_database

Records = dict[str, state.Record]
MakeParams = Callable[..., params.Params]


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
