"""What the production form costs, in words and tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...config.params import Params
from ...config.spanish import NO_VALUE, number
from .numbers import day
from .operations import aligned

if TYPE_CHECKING:
    from ...operations.cloud.cost import Estimate, Line, Report
    from ...operations.cloud.shape import Shape

RESOURCES = {
    "kafka_dcu": ("Kafka, vCPU y memoria", "{0} vCPU y {1} GiB, siempre"),
    "kafka_local_storage": ("Kafka, disco", "{0} GiB por vCPU"),
    "kafka_remote_storage": ("Kafka, lo guardado", "{0} días de registros de {1} bytes"),
    "kafka_replication": ("Kafka, réplicas entre zonas", "{0} copias más de cada registro"),
    "kafka_private_access": ("Kafka, acceso privado (PSC)", "lo escrito y lo leído"),
    "dataflow_vcpu": ("Dataflow, vCPU", "{0} de {1}"),
    "dataflow_memory": ("Dataflow, memoria", "{0} con {1} GiB"),
    "dataflow_disk": ("Dataflow, disco", "{0} GiB por trabajador"),
    "dataflow_streaming_engine": ("Dataflow, Streaming Engine", "{0} bytes por evento o fila"),
    "bigquery_write": ("BigQuery, escribir", "{0} bytes por evento y {1} por fila"),
    "bigquery_storage": ("BigQuery, guardar", "{0} meses, lo cambiado en 90 días"),
    "bigquery_old_storage": ("BigQuery, guardar lo antiguo", "{0} meses más"),
    "bigquery_queries": ("BigQuery, consultas de Grafana", "dos tableros abiertos {0} h"),
    "storage": ("Cloud Storage, archivo", "{0} meses de {1} bytes por registro"),
    "storage_writes": ("Cloud Storage, ficheros", "{0} al día por cada una de {1} fuentes"),
    "vertex_endpoint": ("Vertex AI, endpoint", "una {0}, siempre"),
    "vertex_training": ("Vertex AI, entrenar", "{0} veces {1} h en una {2}"),
    "atlas": ("MongoDB Atlas", "{0}, tres nodos"),
    "atlas_backup": ("MongoDB Atlas, copias", "los eventos de operational_retention"),
    "atlas_transfer": ("MongoDB Atlas, transferencia", "documentos de eventos y filas"),
    "secrets": ("Secret Manager", "los secret:// de los parámetros"),
    "images": ("Artifact Registry", "tres imágenes"),
    "logs": ("Cloud Logging", "{0} GiB por trabajador"),
    "metrics": ("Cloud Monitoring", "{0} series de los registros"),
    "alerts": ("Cloud Monitoring, alertas", "condiciones"),
    "nat_gateway": ("Cloud NAT", "máquinas sin dirección pública: {0}"),
    "nat_address": ("Cloud NAT, dirección", "una"),
    "nat_data": ("Cloud NAT, datos", "lo que va a MongoDB"),
    "schedules": ("Cloud Scheduler", "órdenes programadas"),
    "jobs_vcpu": ("Cloud Run, vCPU", "{0} veces al día, {1} s cada una"),
    "jobs_memory": ("Cloud Run, memoria", "{0} GiB"),
    "watcher_vcpu": ("Cloud Run, quien vigila la tarea", "{0} vCPU, siempre"),
    "watcher_memory": ("Cloud Run, su memoria", "{0} GiB, siempre"),
}
"""Of each resource, its name and what it is sized by."""
OVER = {
    "freshness": "la máquina del perfil no llega a esa frescura, o le falta memoria",
    "dataflow_max_workers": "hacen falta {workers} trabajadores, más que dataflow_max_workers",
    "kafka_vcpus": "hacen falta {kafka_vcpus} vCPU de Kafka, más que los del perfil",
}
SERVICES = {
    "kafka": "Kafka",
    "dataflow": "Dataflow",
    "bigquery": "BigQuery",
    "storage": "Cloud Storage",
    "vertex": "Vertex AI",
    "atlas": "MongoDB Atlas",
    "other": "Lo demás",
}
_NOT_BILLED = ("Nada de este perfil se factura: todo está en esta máquina. En la nube sería:", "")
_COST_TITLES = ("Recurso", "Según", "Cantidad", "Unidad", "USD la unidad", "USD al mes", "Leído")
_RATE_TITLES = (
    "Eventos/s",
    "USD al mes",
    "Trabajadores",
    "vCPU de Kafka",
    "Lo más barato que llega",
)
_BASIS = {"list": "", "derived": " (deducido)", "other_cloud": " (el de AWS)"}


def cost_lines(params: Params, report: Report) -> list[str]:
    """Return the whole answer: resources, total, what is not known, rates, shape, assumptions."""
    found, unknown = report.estimate, report.estimate.unknown
    rate = number(found.rate, 2, trim=True)
    return [
        *([] if report.is_billed else _NOT_BILLED),
        *aligned(_COST_TITLES, map(_cost_row, found.lines)),
        "",
        f"Total a {rate} eventos/s: {number(found.total)} USD al mes, "
        f"{'dentro' if report.is_within_limit else 'por encima'} de monthly_limit "
        f"({number(report.limit)}).",
        *(f"Ojo: {sentence}." for sentence in over(found)),
        *_region(params, report),
        *(["Fuera del total, porque no se sabe su precio; míralo en:"] if unknown else []),
        *(f"  {name(line)}: {line.price.source}" for line in unknown),
        "",
        *aligned(_RATE_TITLES, (_rate_row(each, shape) for each, shape in report.rates)),
        "",
        f"Lo más barato a {rate} eventos/s, con {number(report.freshness, 1, trim=True)} s de "
        f"frescura: {shape_words(report.cheapest)}.",
        _assumptions(params, report),
    ]


def name(line: Line) -> str:
    """Return the name of a resource."""
    return RESOURCES[line.resource][0]


def over(found: Estimate) -> list[str]:
    """Return what the rate needs more of than the params have, a sentence each."""
    return [
        OVER[code].format(workers=number(found.workers), kafka_vcpus=number(found.kafka_vcpus))
        for code in found.over
    ]


def shape_words(shape: Shape | None) -> str:
    """Return a shape in words."""
    if shape is None:
        return "ninguna forma llega"
    return (
        f"{number(shape.workers)} de {shape.machine} y Kafka con {number(shape.kafka_vcpus)} vCPU "
        f"y {number(shape.kafka_memory_gib)} GiB, {number(shape.month)} USD al mes entre los dos"
    )


def _cost_row(line: Line) -> list[str]:
    price, sized = line.price, RESOURCES[line.resource][1]
    size = [x if isinstance(x, str) else number(x, 2, trim=True) for x in line.size]
    return [
        name(line),
        sized.format(*size),
        number(line.quantity, 2, trim=True),
        price.unit,
        number(price.usd, 6, trim=True),
        number(line.usd, 2),
        NO_VALUE if price.read is None else f"{day(price.read)}{_BASIS[price.basis]}",
    ]


def _rate_row(found: Estimate, shape: Shape | None) -> list[str]:
    return [
        number(found.rate, 2, trim=True),
        number(found.total),
        number(found.workers),
        number(found.kafka_vcpus),
        shape_words(shape),
    ]


def _region(params: Params, report: Report) -> list[str]:
    if params.cloud.location == report.region:
        return []
    return [
        f"Ojo: los precios son de {report.region}, y el perfil está en {params.cloud.location}."
    ]


def _assumptions(params: Params, report: Report) -> str:
    return (
        f"Supuestos: {number(params.simulator.tracks)} canciones (simulator_tracks) en cada uno de "
        f"{number(len(params.sources.countries))} países, una fila de cada una por ventana; vCPU "
        "como los de la máquina donde se midió, al 60 %; lo guardado, al cabo de "
        f"{number(report.months, 1, trim=True)} meses. De dónde sale cada cifra: docs/costes.md."
    )
