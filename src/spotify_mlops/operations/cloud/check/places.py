"""Whether each place that the profile names is there and answers."""

from __future__ import annotations

import os
import socket
import ssl

from ....config import secrets
from ....config.references import LOCAL, SECRET_MANAGER, is_reference, variable
from ....config.web_addresses import brokers
from ....io.addresses import PING_SECONDS
from ....io.bigquery import clients as warehouse
from ....io.kafka import clients as log
from ....io.mongo import clients as store
from ....io.storage.objects import has_generations
from ....io.vertex import clients as registry
from .finding import Context, Finding
from .identity import bucket_name


def kafka(context: Context) -> Finding:
    """Look whether the brokers answer, over TLS where they are elsewhere, and know us."""
    params = context.params
    where = params.kafka.bootstrap
    facts = {"where": where}
    if params.kafka.security_protocol.endswith("SSL") and where != LOCAL:
        try:
            for host, port in brokers(where):
                _handshake(context, host, port)
        except ssl.SSLError as error:
            return Finding("kafka", "bad", "tls", facts | {"said": str(error)[:200]})
        except OSError as error:
            facts["said"] = str(error)[:200]
            # Managed brokers have private addresses: only their network reaches them.
            if context.is_kafka_managed:
                return Finding("kafka", "unknown", "private", facts)
            return Finding("kafka", "bad", "unreachable", facts)
    log.ping(params)
    return Finding("kafka", "good", "answers", facts)


def bigquery(context: Context) -> Finding:
    """Look whether BigQuery answers."""
    warehouse.ping(context.params)
    return Finding("bigquery", "good", "answers", {"where": context.params.bigquery.rest})


def bucket(context: Context) -> Finding | None:
    """Look whether the archive's bucket is there, and in the profile's region."""
    if not has_generations(context.params.cloud.archive):
        return None
    name = bucket_name(context.params.cloud.archive)
    facts = {"bucket": name, "wanted": context.params.cloud.location}
    found = context.apis.find("storage", f"storage/v1/b/{name}")
    if found is None:
        return Finding("bucket", "bad", "missing", facts)
    facts["location"] = str(found.get("location", "")).lower()
    near = facts["location"] in ("", facts["wanted"])
    return Finding("bucket", "good" if near else "bad", "there" if near else "far", facts)


def vertex(context: Context) -> Finding:
    """Look whether Vertex AI answers."""
    registry.ping(context.params)
    return Finding("vertex", "good", "answers", {"where": context.params.cloud.vertex})


def mongo(context: Context) -> Finding:
    """Look whether MongoDB answers."""
    store.ping(context.params)
    return Finding("mongo", "good", "answers", {"where": _shown(context.params.mongo.uri)})


def secret_versions(context: Context) -> Finding | None:
    """Look whether each secret that the profile reads is there; none is read."""
    references = context.references()
    if not references:
        return None
    lacking, disabled = [], []
    for name, reference in references.items():
        if (named := variable(reference)) is not None:
            lacking += [name] if named not in os.environ else []
            continue
        if not reference.startswith(SECRET_MANAGER):
            continue
        resource = secrets.resource_name(reference, context.params.cloud.project)
        found = context.apis.find("secretmanager", f"v1/{resource}")
        if found is None:
            lacking.append(name)
        elif found.get("state", "ENABLED") != "ENABLED":
            disabled.append(name)
    facts = {"names": list(references), "lacking": lacking, "disabled": disabled}
    reason = "lacking" if lacking else "disabled" if disabled else "all"
    return Finding("secrets", "good" if reason == "all" else "bad", reason, facts)


def dataflow(context: Context) -> Finding | None:
    """Look whether Dataflow answers, and has a job of the profile's name."""
    if context.params.engine.runner != "dataflow":
        return None
    from ...engines import cluster
    from ...engines import dataflow as engine

    name = engine.job_name(cluster.stream_name(context.params))
    job = engine.status(context.params, name)
    if job is None or job.is_over:
        return Finding("dataflow", "good", "no_job", {"name": name})
    return Finding("dataflow", "good", "job", {"name": name, "id": job.id, "state": job.state})


def _shown(where: str) -> str:
    """Return an address without whatever stands before its @."""
    return where if is_reference(where) else where.rpartition("@")[2]


def _handshake(context: Context, host: str, port: int) -> None:
    """Open a connection as a client of the brokers would, and no more.

    Raises:
        ssl.SSLError: they are not who they should be.
        OSError: nobody is there.
    """
    ca = context.params.kafka.ca
    if ca is None:
        trusted = ssl.create_default_context()
    elif is_reference(ca):
        trusted = ssl.create_default_context(cadata=secrets.resolve(context.params, "kafka_ca"))
    else:
        trusted = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection((host, port), PING_SECONDS) as plain,
        trusted.wrap_socket(plain, server_hostname=host),
    ):
        return
