"""Documents on a real MongoDB server: unique, found, changed, deleted; and one that is silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import polars as pl
import psutil
import pytest
from pymongo.errors import BulkWriteError, DuplicateKeyError
from stored import START

from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError
from spotify_mlops.domain.schemas import PREDICTION_SCHEMA
from spotify_mlops.io.local import state
from spotify_mlops.io.mongo.clients import database as mongo_database
from spotify_mlops.pipeline.sinks import mongo

MakeParams = Callable[..., params.Params]


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


def test_of_two_that_write_at_once_the_later_window_stays(local_params: MakeParams) -> None:
    """As when a worker that was taken for dead still writes."""
    database = mongo_database(local_params())
    tracks = [f"t{number}" for number in range(1_500)]
    none = pl.DataFrame(schema=PREDICTION_SCHEMA)

    def write(hours: Iterable[int]) -> None:
        for hour in hours:
            rows = pl.DataFrame({"track_id": tracks}).select(
                pl.lit(START + timedelta(hours=hour)).alias("window_start"),
                pl.lit("ES").alias("country"),
                "track_id",
                pl.lit(None, pl.String).alias("track_name"),
                pl.lit(None, pl.String).alias("artist_name"),
                pl.lit(float(hour)).alias("n"),
            )
            mongo.replace_tracks(database, ["n"], rows, none)

    with ThreadPoolExecutor(2) as writers:
        for written in [writers.submit(write, hours) for hours in ([0, 3, 4], [2, 1, 5, 0])]:
            written.result()
    found = list(database["tracks"].find())
    assert len(found) == len(tracks)
    assert {document["features"]["n"] for document in found} == {5.0}
    assert {document["window_start"] for document in found} == {START + timedelta(hours=5)}


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
    assert ids({"_id": {"$in": ["03", "absent", "01"]}, "n": {"$gt": 1}}) == ["03"]
    assert ids({"_id": "03", "n": {"$gt": 3}}) == []
    assert ids({"_id": {"$gte": "18"}, "n": {"$lt": 20}}) == ["18", "19"]
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
        deadline = time.monotonic() + 180
        while server.status() != psutil.STATUS_STOPPED:  # its threads stop one after the other
            assert time.monotonic() < deadline
        with pytest.raises(ServiceError, match="MongoDB no aceptó"):
            mongo.persistently(impatient.stream, lambda: database["tracks"].insert_one({"_id": 2}))
    finally:
        server.resume()
    assert database["tracks"].count_documents({"_id": 1}) == 1
