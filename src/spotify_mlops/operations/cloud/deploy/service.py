"""The steps of what serves: model, endpoint, streaming job, dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ....config.durations import format_duration
from ....config.errors import ServiceError
from ....config.progress import Progress
from ....config.references import LOCAL
from ....io import answering, kafka, retry
from ....io.archive.location import archive_root
from ....io.local import processes, state
from ....io.storage.objects import has_generations
from ....model import dataset, evaluate, runs
from ....model.promotions import PromotionHistory
from ....pipeline.sinks import positions
from ... import apps, bounded, release
from ...engines import cluster
from .. import status, watcher
from ..check import identity
from ..check.finding import Finding
from .step import Deployment


def champion(deployment: Deployment) -> Finding:
    """Look whether a version was promoted."""
    # Its client asks a bucket in nobody's name, for minutes where there is no network.
    who = identity.credentials(deployment.context)
    if who is not None and who.state == "bad" and has_generations(archive_root(deployment.params)):
        return Finding("model", "unknown", "no_identity", who.facts)
    version = PromotionHistory(deployment.params).champion()
    if version is None:
        return Finding("model", "off", "none")
    return Finding("model", "good", "champion", {"version": version})


def make_champion(deployment: Deployment, say: Progress) -> Finding:
    """Make the first champion of what the tables have, once they have all that the log has.

    Raises:
        UserError: the gate refuses the model.
        ServiceError: a service does not answer, the log is empty, or the streaming job runs.
    """
    params = deployment.params
    answering.require(params)
    _fill(deployment, say)
    result = deployment.learn(params)
    folder = runs.runs_folder(params)
    result.save(folder)
    verdict = evaluate.evaluate(params, result, dataset.read_features(params))
    evaluate.record(params, result, verdict)
    runs.save_verdict(verdict, folder / result.run_id)
    release.promote(params)
    return champion(deployment)


def _fill(deployment: Deployment, say: Progress) -> None:
    """Bring the tables up to the log, but where the log has forgotten what they have."""
    params = deployment.params
    kafka.ensure_topic(params)
    extent = kafka.offsets(params).values()
    if not any(high for _, high in extent):
        raise ServiceError(
            f"El tema {params.kafka.topic} está vacío, y no hay de qué aprender: publica la fuente "
            f"del perfil («spotify-mlops ingest {params.sources.source}»)."
        )
    if positions.load(params) is None or not any(low for low, _ in extent):
        bounded.ensure(params, say=say)


def endpoint(deployment: Deployment) -> Finding:
    """Look whether who serves the latest windows answers, and nobody else."""
    found = status.endpoint(deployment.context)
    if found.state != "off" and champion(deployment).state == "good":
        same = release.is_served(deployment.params)
        reason = "serves" if same else "differs"
        return Finding("endpoint", "good" if same else "off", reason, found.facts)
    return Finding("endpoint", "off", found.reason, found.facts)


def serve(deployment: Deployment, say: Progress) -> Finding:
    """Let the champion answer.

    Raises:
        ServiceError: there is none, or Vertex AI takes too long: the next time goes on from there.
    """
    release.serve(deployment.params, say)
    return endpoint(deployment)


def job(deployment: Deployment) -> Finding:
    """Look whether the streaming job runs."""
    found = status.job(deployment.context)
    if found.state != "good":
        return replace(found, state="off")
    if (
        not _is_here(deployment)
        and watcher.instances(deployment.params, deployment.context.apis) == 0
    ):
        return replace(found, state="off", reason="unwatched")
    return found


def start_job(deployment: Deployment, say: Progress) -> Finding:
    """Start what sends the job and watches it, and wait until the job runs.

    It is the platform's worker pool; where the platform is left out, a process of this machine.

    Raises:
        ServiceError: it ended; or the job does not begin in ``deploy_timeout``, and goes on trying.
    """
    params = deployment.params
    here = _is_here(deployment)
    if not here:
        watcher.scale(params, deployment.context.apis, 1, say)
    elif not (_is_watched() and _is_sent(deployment)):
        say("se arranca la tarea en esta máquina, en segundo plano")
        apps.start_stream(params)
    told: Mapping[str, Any] = {}

    def look() -> Finding:
        nonlocal told
        if here and not _is_watched():
            record = state.get(apps.STREAM)
            why = "" if record is None else processes.explain(record)
            raise ServiceError(f"«{apps.STREAM}» terminó antes de que la tarea empezara. {why}")
        found = job(deployment)
        if (now := found.facts.get("state")) != told.get("state"):
            told = found.facts
            say(f"la tarea está en {now}")
        return found

    patience = params.cloud.deploy_timeout
    found = retry.until(look, lambda each: each.state == "good", patience.total_seconds())
    if found.state != "good":
        raise ServiceError(
            f"La tarea no ha empezado en {format_duration(patience)} («deploy_timeout»), y sigue "
            "con ello: repite la orden más tarde, y mírala con «spotify-mlops cloud status»."
        )
    return found


def _is_here(deployment: Deployment) -> bool:
    """Tell whether whoever watches the job is, or would be, a process of this machine."""
    return "platform" in deployment.without or deployment.params.dataflow.endpoint == LOCAL


def _is_watched() -> bool:
    """Tell whether a process of this checkout watches a job."""
    record = state.get(apps.STREAM)
    return record is not None and processes.is_alive(record)


def _is_sent(deployment: Deployment) -> bool:
    """Tell whether an engine has the job, in whichever state but ended."""
    params = deployment.params
    return any(cluster.active(params, cluster.stream_name(params)))


def dashboards(deployment: Deployment) -> Finding:
    """Tell of Grafana's boards what is known of the platform, whose program makes them."""
    address = deployment.params.platform.grafana
    if not address:
        return Finding("dashboards", "good", "no_grafana")
    (platform,) = (each for each in deployment.stages if each.step == "platform")
    facts = {"address": address}
    if platform.finding is None:
        return Finding("dashboards", "unknown", "elsewhere", facts)
    known = platform.finding.state
    return Finding("dashboards", "unknown" if known == "bad" else known, "with_platform", facts)
