"""The alerts: what is measured, from when on somebody is told, and what they then should do.

Nothing of the platform is open to the world, so nothing is asked from outside whether it is up: a
streaming job that says nothing of itself is an alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pulumi
from pulumi_gcp import logging, monitoring

from spotify_mlops.config.params import Params
from spotify_mlops.operations.engines import cluster, dataflow
from spotify_mlops.pipeline import metrics
from spotify_mlops.presentation.dashboard.panels import panels

from . import schedules
from .place import Place

_SILENCE = timedelta(minutes=15)
_BEHIND_WINDOWS = 2
_ERRORS = 0.01
"""Of the endpoint's answers."""
_LATENCY_MS = 1000
"""That 99 of 100 answers of the endpoint take less than, all told."""
_MINUTE = "60s"
_FIVE_MINUTES = "300s"


@dataclass(frozen=True)
class _Told:
    """A number that an audit tells of in its line of JSON."""

    name: str
    condition: str
    field: str | None = None
    """The number; None counts the lines."""


_AUDITS = (
    _Told("audit_red", "jsonPayload.holds=false"),
    _Told("lag_records", "jsonPayload.lag.records>=0", "jsonPayload.lag.records"),
    _Told("freshness_seconds", "jsonPayload.lag.seconds>=0", "jsonPayload.lag.seconds"),
)


def make(place: Place) -> list[monitoring.NotificationChannel]:
    """Make them; return whom they tell."""
    told = _channels(place)
    if schedules.commands(place):
        for measured in _AUDITS:
            metric = _metric(place, measured)
            _policy(place, measured.name, told, _of_audits(place, measured), metric)
    _policy(place, "stream_silent", told, _silent(place.params))
    _policy(place, "dead_letters", told, _dead_letters(place.params))
    _policy(place, "endpoint_errors", told, _endpoint_errors(place))
    _policy(place, "endpoint_latency", told, _endpoint_latency(place))
    return told


TEXTS: dict[str, tuple[str, str]] = {
    "audit_red": (
        "Auditoría en rojo",
        "La última auditoría no cuadra: hay registros de Kafka sin contabilizar, o contados dos "
        "veces. Mira «spotify-mlops audit»: dice en qué partición y cuántos. No borres nada: "
        "el registro y el archivo tienen de dónde rehacer las tablas.",
    ),
    "lag_records": (
        "La tarea en directo se retrasa",
        "Hay más registros sin escribir de los que llegan entre dos auditorías. Mira en Dataflow "
        "si la tarea está en el máximo de trabajadores (dataflow_max_workers) o repite un error.",
    ),
    "freshness_seconds": (
        "Las ventanas llegan tarde",
        "Lo escrito va más de dos ventanas por detrás de lo que ha llegado. Como el retraso: mira "
        "la tarea en Dataflow.",
    ),
    "stream_silent": (
        "La tarea en directo no dice nada",
        "Dataflow no informa de la tarea: ha parado o nunca empezó. «spotify-mlops stream» la "
        "envía otra vez, y sigue por donde iba: no se pierde nada.",
    ),
    "dead_letters": (
        "Demasiadas cartas muertas",
        "Una parte grande de lo que llega no se puede leer. «spotify-mlops dead-letters list» dice "
        "por qué; arreglada la fuente, «dead-letters replay» las vuelve a publicar.",
    ),
    "endpoint_errors": (
        "El endpoint responde con errores",
        "Mira en Vertex AI los registros del modelo desplegado. «spotify-mlops release --rollback» "
        "vuelve al campeón anterior.",
    ),
    "endpoint_latency": (
        "El endpoint responde despacio",
        "Mira en Vertex AI el uso de la máquina (serving_machine) y cuántas predicciones llegan.",
    ),
}
"""By alert: its title, and what to do."""


def _channels(place: Place) -> list[monitoring.NotificationChannel]:
    address = place.params.platform.alert_email
    if not address:
        return []
    return [
        monitoring.NotificationChannel(
            "email",
            display_name="spotify-mlops",
            type="email",
            labels={"email_address": address},
            user_labels=place.labels,
            opts=place.options(),
        )
    ]


def _metric(place: Place, measured: _Told) -> logging.Metric:
    job = schedules.job_name(place, "audit")
    return logging.Metric(
        measured.name,
        name=f"{place.names.model}/{measured.name}",
        filter=f'resource.type="cloud_run_job" AND resource.labels.job_name="{job}" '
        f"AND {measured.condition}",
        value_extractor=None if measured.field is None else f"EXTRACT({measured.field})",
        metric_descriptor=logging.MetricMetricDescriptorArgs(
            metric_kind="DELTA",
            value_type="INT64" if measured.field is None else "DISTRIBUTION",
        ),
        opts=place.options(),
    )


def _of_audits(place: Place, measured: _Told) -> monitoring.AlertPolicyConditionArgs:
    params = place.params
    windows = params.windows
    between = schedules.AUDIT_MINUTES * 60
    limits = {
        "audit_red": 0.0,
        "lag_records": params.platform.events_per_second * between,
        "freshness_seconds": (
            windows.window * _BEHIND_WINDOWS + windows.allowed_lateness
        ).total_seconds(),
    }
    aligner = "ALIGN_DELTA" if measured.field is None else "ALIGN_PERCENTILE_99"
    return _above(
        measured.name,
        f'metric.type="logging.googleapis.com/user/{place.names.model}/{measured.name}" '
        'AND resource.type="cloud_run_job"',
        limits[measured.name],
        aligner,
        period=f"{between}s",
    )


def _silent(params: Params) -> monitoring.AlertPolicyConditionArgs:
    job = dataflow.job_name(cluster.stream_name(params))
    return monitoring.AlertPolicyConditionArgs(
        display_name="stream_silent",
        condition_absent=monitoring.AlertPolicyConditionConditionAbsentArgs(
            filter='metric.type="dataflow.googleapis.com/job/system_lag" '
            f'AND resource.type="dataflow_job" AND resource.labels.job_name="{job}"',
            duration=_seconds(_SILENCE),
            aggregations=[
                monitoring.AlertPolicyConditionConditionAbsentAggregationArgs(
                    alignment_period=_MINUTE, per_series_aligner="ALIGN_MAX"
                )
            ],
        ),
    )


def _dead_letters(params: Params) -> monitoring.AlertPolicyConditionArgs:
    """From the counters of the job, at the limit of the board's panel."""
    (panel,) = (panel for panel in panels(params) if panel.name == "dead_letter_share")
    assert panel.critical is not None
    assert {"dead_letters", "records_read"} <= set(metrics.NAMES)

    def counted(name: str) -> str:
        job = f'job_name="{dataflow.job_name(cluster.stream_name(params))}",metric_name="{name}"'
        series = f"dataflow_googleapis_com:job_user_counter{{{job}}}"
        return f"sum(delta({series}[{int(_SILENCE.total_seconds() // 60)}m]))"

    return monitoring.AlertPolicyConditionArgs(
        display_name="dead_letters",
        condition_prometheus_query_language=(
            monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
                query=f"{counted('dead_letters')} / {counted('records_read')} > {panel.critical!r}",
                duration=_FIVE_MINUTES,
                evaluation_interval=_MINUTE,
                disable_metric_validation=True,  # there is none before the job counts one
            )
        ),
    )


def _endpoint_errors(place: Place) -> monitoring.AlertPolicyConditionArgs:
    return _above(
        "endpoint_errors",
        _of_endpoint(place, "error_count"),
        _ERRORS,
        "ALIGN_RATE",
        of=_of_endpoint(place, "prediction_count"),
    )


def _endpoint_latency(place: Place) -> monitoring.AlertPolicyConditionArgs:
    return _above(
        "endpoint_latency",
        _of_endpoint(place, "prediction_latencies") + ' AND metric.labels.latency_type="total"',
        _LATENCY_MS,
        "ALIGN_PERCENTILE_99",
    )


def _of_endpoint(place: Place, metric: str) -> str:
    return (
        f'metric.type="aiplatform.googleapis.com/prediction/online/{metric}" '
        'AND resource.type="aiplatform.googleapis.com/Endpoint" '
        f'AND resource.labels.endpoint_id="{place.names.model}"'
    )


def _above(
    name: str, series: str, limit: float, aligner: str, *, of: str | None = None,
    period: str = _FIVE_MINUTES,
) -> monitoring.AlertPolicyConditionArgs:  # fmt: skip
    """Return the condition that a series is above a limit, or its part of another series."""
    reducer = "REDUCE_SUM" if aligner in ("ALIGN_RATE", "ALIGN_DELTA") else "REDUCE_MAX"
    aligned = monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
        alignment_period=period, per_series_aligner=aligner, cross_series_reducer=reducer
    )
    of_other = monitoring.AlertPolicyConditionConditionThresholdDenominatorAggregationArgs(
        alignment_period=period, per_series_aligner=aligner, cross_series_reducer=reducer
    )
    return monitoring.AlertPolicyConditionArgs(
        display_name=name,
        condition_threshold=monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=series,
            comparison="COMPARISON_GT",
            threshold_value=limit,
            duration="0s",
            aggregations=[aligned],
            denominator_filter=of,
            denominator_aggregations=None if of is None else [of_other],
        ),
    )


def _policy(
    place: Place,
    name: str,
    told: list[monitoring.NotificationChannel],
    condition: monitoring.AlertPolicyConditionArgs,
    *after: pulumi.Resource,
) -> None:
    title, what_to_do = TEXTS[name]
    monitoring.AlertPolicy(
        name,
        display_name=f"{title} ({place.params.profile})",
        combiner="OR",
        conditions=[condition],
        documentation=monitoring.AlertPolicyDocumentationArgs(
            content=what_to_do, mime_type="text/markdown"
        ),
        notification_channels=[channel.id for channel in told],
        user_labels=place.labels,
        opts=place.options(*after),
    )


def _seconds(length: timedelta) -> str:
    return f"{int(length.total_seconds())}s"
