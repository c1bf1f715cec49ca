"""A worker asks Secret Manager when it is set up: the job's graph says only where secrets are."""

from __future__ import annotations

from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions

import vault
from agreement import shape_of
from oracle import Rules
from spotify_mlops.operations.stream import live_sinks
from spotify_mlops.pipeline import graph
from spotify_mlops.pipeline.job import Job
from spotify_mlops.pipeline.position import Position
from spotify_mlops.pipeline.source import LogSource

START = datetime(2026, 1, 5, tzinfo=UTC)
SECRETS = {
    "kafka-user": "u-4711", "kafka-word": "p-4711",
    "mongo": "mongodb://someone:m-4711@127.0.0.1:9/?connectTimeoutMS=1",
}  # fmt: skip


def test_secrets_are_read_in_the_setup_of_workers() -> None:
    with vault.running() as server:
        server.values = {
            f"projects/p1/secrets/{name}/versions/latest": value.encode()
            for name, value in SECRETS.items()
        }
        settings = server.params.replace(
            kafka_bootstrap="broker.example.org:9092", kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512", kafka_username="secret://kafka-user",
            kafka_password="secret://kafka-word",
            mongo_uri="secret://mongo", bigquery_rest="http://127.0.0.1:9",
            bigquery_grpc="127.0.0.1:9",
        )  # fmt: skip
        job, sinks = Job("elsewhere"), live_sinks(settings)
        pipeline = beam.Pipeline(options=PipelineOptions([]))
        source = LogSource(job, settings, shape_of(Rules(), 2, 1))
        graph.build(pipeline, source, Position({0: 5}, {0: START}, {0: 5}, write_from=START), sinks)
        written = pipeline.to_runner_api().SerializeToString()
        assert server.asked == []
        for value in SECRETS.values():
            assert value.encode() not in written
        for sink in sinks.raw:
            dofn = pickler.loads(pickler.dumps(sink.dofn(job)))
            assert all(value not in repr(vars(dofn)) for value in SECRETS.values())
            dofn.setup()
        asked = {name.split("/")[3] for name in server.asked}
        assert asked == set(SECRETS)
