"""What the checks of the production form found, and what to do about it, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ...config.spanish import NO_VALUE, about, number
from .numbers import moment
from .operations import aligned

if TYPE_CHECKING:
    from ...operations.cloud.check import Finding
    from ...operations.cloud.teardown import Report

STATES = {"good": "bien", "bad": "MAL", "off": "no hay", "unknown": "no se sabe"}
CHECKS = {
    "demo": "Valores de ejemplo",
    "credentials": "Credenciales",
    "project": "Proyecto",
    "apis": "APIs",
    "permissions": "Permisos en el proyecto",
    "bucket_permissions": "Permisos en el bucket",
    "dataflow_service_account": "Cuenta de los trabajadores",
    "serving_service_account": "Cuenta del servicio",
    "training_service_account": "Cuenta del entrenamiento",
    "quotas": "Cuotas de la región",
    "subnetwork": "Subred",
    "budget": "Coste estimado",
    "kafka": "Kafka",
    "bigquery": "BigQuery",
    "bucket": "Bucket del archivo",
    "vertex": "Vertex AI",
    "secrets": "Secretos",
    "mongo": "MongoDB",
    "dataflow": "Dataflow",
    "dataflow_image": "Imagen de los trabajadores",
    "serving_image": "Imagen del servicio",
    "training_image": "Imagen del entrenamiento",
    "versions": "Versiones",
    "job": "Tarea en directo",
    "watching": "Quien la vigila (Cloud Run)",
    "log": "Registro (Kafka)",
    "tables": "Tablas (BigQuery)",
    "endpoint": "Endpoint (Vertex AI)",
    "archive": "Archivo",
    "documents": "MongoDB",
    "left": "Con la etiqueta made-by",
}
REMOVALS = {
    "job": "Tarea en directo",
    "endpoint": "Endpoint y sus modelos",
    "tables": "Tablas (BigQuery)",
    "documents": "Documentos (MongoDB)",
    "archive": "Archivo y modelos",
}
_REMOVED = {
    "done": "quitado",
    "would": "se quitaría",
    "kept": "se queda (--data)",
    "nothing": "no hay",
}
_FOUND_WIDTH, _TO_DO_WIDTH = 56, 40
_ANY = "*"
_FOUND = {
    (_ANY, "slow"): "no ha respondido en {seconds}",
    (_ANY, "no_identity"): "no hay credenciales de Google con que preguntar",
    (_ANY, "forbidden"): "Google no deja mirarlo ({status}): {said}",
    (_ANY, "refused"): "la respuesta es {status}: {said}",
    (_ANY, "said"): "{said}",
    (_ANY, "failed"): "no se ha podido mirar: {said}",
    (_ANY, "answers"): "responde en {where}",
    ("demo", "left"): "son los del ejemplo: {names}",
    ("demo", "own"): "no queda ninguno",
    ("credentials", "not_needed"): "no hacen falta: todo está en esta máquina",
    ("credentials", "none"): "no hay ninguna",
    ("credentials", "useless"): "las que hay no sirven: {said}",
    ("credentials", "found"): "{account}",
    ("credentials", "unnamed"): "valen, y no dicen de quién son ({kind})",
    ("project", "missing"): "{project} no existe, o no puedes verlo",
    ("project", "state"): "{title} ({project}), {state}",
    ("apis", "all"): "las {count} están habilitadas",
    ("apis", "lacking"): "faltan {lacking}",
    ("permissions", "all"): "los {count} que hacen falta",
    ("permissions", "lacking"): "faltan {lacking}",
    ("bucket_permissions", "all"): "los {count} que hacen falta en {bucket}",
    ("bucket_permissions", "lacking"): "faltan {lacking} en {bucket}",
    (_ANY, "account"): "{account}, y puedes usarla",
    (_ANY, "no_account"): "no existe {account}",
    (_ANY, "disabled_account"): "{account} está inhabilitada",
    (_ANY, "not_given"): "no puedes usar {account}",
    ("quotas", "enough"): "caben {workers} trabajadores, {vcpus} vCPU, en {region}",
    ("quotas", "short"): "{short}",
    ("subnetwork", "there"): "{name}, {range}",
    ("subnetwork", "missing"): "no existe {name}",
    ("subnetwork", "closed"): "{name} no deja llegar a Google sin dirección pública",
    ("budget", "estimate"): "{total} USD al mes a {rate} eventos/s; monthly_limit, {limit}",
    ("kafka", "tls"): "{where} no es quien debe: {said}",
    ("kafka", "private"): "desde aquí no se llega a {where} ({said})",
    ("kafka", "unreachable"): "no se llega a {where} ({said})",
    ("bucket", "there"): "{bucket}, en {location}",
    ("bucket", "far"): "{bucket} está en {location}, y el perfil en {wanted}",
    ("bucket", "missing"): "no existe {bucket}",
    ("secrets", "all"): "están los de {names}",
    ("secrets", "lacking"): "no están los de {lacking}",
    ("secrets", "disabled"): "la última versión no está activa: {disabled}",
    ("dataflow", "no_job"): "responde, y no hay ninguna tarea {name}",
    ("dataflow", "job"): "la tarea {name} ya está en marcha ({state}, {id})",
    (_ANY, "no_digest"): "su huella es de ceros: aún no se ha construido",
    (_ANY, "other_registry"): "{image} no está en Artifact Registry",
    ("archive", "there"): "{bucket}, en {location}",
    ("archive", "far"): "{bucket} está en {location}, y el perfil en {wanted}",
    ("archive", "missing"): "no existe {bucket}",
    (_ANY, "there"): "{image}, {digest}",
    (_ANY, "missing"): "no existe {image}",
    ("versions", "same"): "Python {python} y Beam {beam}, los de la imagen",
    (
        "versions",
        "other",
    ): "Python {python} y Beam {beam}; la imagen, {image_python} y {image_beam}",
    ("job", "runs"): "{name}, en {engine}: {state}, desde el {began}",
    ("job", "none"): "ninguna con su nombre",
    ("job", "job"): "en marcha en esta máquina, con {runner}; lo dijo hace {seconds}",
    ("job", "position"): "parada; guardó su posición hace {seconds}",
    ("watching", "none"): "no existe el grupo {pool}",
    ("watching", "idle"): "{pool}, sin ninguna instancia",
    ("watching", "watched"): "{pool}, {instances} instancia, lista",
    ("watching", "changing"): "{pool}: Cloud Run lo está cambiando a {instances}",
    ("watching", "broken"): "{pool} no arranca: {said}",
    ("log", "holds"): "{records} registros en {partitions} particiones; sin atender, {left}",
    ("tables", "none"): "no existe {dataset}, o no tiene tablas",
    ("tables", "empty"): "{dataset} está vacío",
    ("tables", "written"): "hasta las ventanas del {until}, hace {age}",
    ("tables", "fresh"): "hasta las ventanas del {until}, hace {age}; frescura p99, {p99} s",
    ("endpoint", "none"): "no responde ninguna versión",
    ("endpoint", "serves"): "responden {traffic}; el campeón es {champion}",
    ("endpoint", "differs"): "responden {traffic}, y no el campeón ({champion})",
    ("archive", "folder"): "{folder}",
    ("archive", "none"): "no existe {folder}",
    ("documents", "counts"): "{events} eventos recientes y {tracks} canciones",
    ("left", "none"): "no queda nada en {project}",
    ("left", "some"): "quedan {count}",
    ("versions", "no_recipe"): "Python {python} y Beam {beam}; no está infra/build.sh",
}
_TO_DO = {
    (_ANY, "slow"): "repite; si sigue, mira la red o el proxy",
    (_ANY, "no_identity"): "gcloud auth application-default login",
    (_ANY, "forbidden"): "pide que te dejen verlo, o mira «APIs»",
    (_ANY, "unreachable"): "revisa la dirección y la red",
    ("demo", "left"): "pon los de tu proyecto en params/ o con --set",
    (
        "credentials",
        "none",
    ): "gcloud auth application-default login, o GOOGLE_APPLICATION_CREDENTIALS",
    ("credentials", "useless"): "gcloud auth application-default login, o cambia la clave",
    ("project", "missing"): "revisa cloud.project, y que esa cuenta lo vea",
    ("project", "state"): "actívalo otra vez en la consola",
    ("apis", "lacking"): "gcloud services enable {lacking_words} --project={project}",
    ("permissions", "lacking"): "pide un papel que los tenga",
    ("bucket_permissions", "lacking"): "pide roles/storage.objectUser en {bucket}",
    (_ANY, "no_account"): "créala con la plataforma (infra/)",
    (_ANY, "disabled_account"): "habilítala",
    (_ANY, "not_given"): "pide roles/iam.serviceAccountUser en ella",
    ("quotas", "short"): "pide más cuota, o baja dataflow_max_workers",
    ("subnetwork", "missing"): "créala con la plataforma (infra/)",
    ("subnetwork", "closed"): "activa en ella el acceso privado a Google",
    (
        "budget",
        "estimate",
    ): "spotify-mlops cloud cost dice en qué; sube el límite o cambia el tamaño",
    ("kafka", "tls"): "revisa kafka_ca y el nombre del servidor",
    ("kafka", "private"): "míralo desde una máquina de su red",
    ("bucket", "missing"): "créalo con la plataforma (infra/)",
    ("bucket", "far"): "cambia cloud.location, o el bucket",
    ("secrets", "lacking"): "créalos en Secret Manager, o pon la variable de entorno",
    ("secrets", "disabled"): "activa esa versión o crea otra",
    ("dataflow", "job"): "nada: «stream» la sustituye",
    (_ANY, "no_digest"): "infra/build.sh, súbela y copia su huella",
    (_ANY, "other_registry"): "compruébalo donde esté",
    (_ANY, "missing"): "infra/build.sh y súbela",
    ("job", "runs"): "mírala en {engine}; «stream» envía otra en su lugar",
    ("job", "none"): "spotify-mlops stream",
    ("job", "position"): "spotify-mlops stream",
    ("watching", "none"): "spotify-mlops cloud deploy: lo hace la plataforma, cuando hay imágenes",
    ("watching", "idle"): "spotify-mlops cloud deploy",
    ("watching", "changing"): "repite en un minuto",
    ("watching", "broken"): "mira su registro en Cloud Run",
    ("endpoint", "none"): "spotify-mlops release",
    ("endpoint", "differs"): "spotify-mlops release lo despliega",
    ("archive", "missing"): "créalo con la plataforma (infra/)",
    ("left", "some"): "cd infra/platform && pulumi destroy",
    ("versions", "other"): "make setup, o construye la imagen otra vez",
}
_LENGTHS = ("age", "seconds")
"""Facts that are lengths of time."""
_ALWAYS = {("dataflow", "job"), (_ANY, "other_registry")}
"""What is told also of what is well, or not known."""


def teardown_lines(report: Report, *, dry_run: bool) -> list[str]:
    """Return what was ended, or would be, a row a step, and what is left."""
    rows = [
        (REMOVALS[each.step], _REMOVED[each.state], line)
        for each in report.removals
        for line in textwrap.wrap(", ".join(each.names), _FOUND_WIDTH) or [""]
    ]
    left = report.left
    lines = [*aligned(("Qué", "", "Cuál"), rows), "", f"{CHECKS[left.check]}: {found(left)}."]
    lines += [f"  {name}" for name in left.facts.get("names", ())]
    if left.state == "bad":
        lines.append(f"Lo de la plataforma se quita con su programa: {to_do(left)}.")
    if dry_run:
        lines.append("Es solo lo que haría: con --yes, lo hace.")
    return lines


def check_lines(findings: Sequence[Finding]) -> list[str]:
    """Return a table of what was found, a row a check, and a verdict under it."""
    counts = {state: sum(each.state == state for each in findings) for state in STATES}
    told = ", ".join(f"{number(counts[s])} {word}" for s, word in STATES.items() if counts[s])
    rows = [
        row
        for each in findings
        for row in wrapped(CHECKS[each.check], STATES[each.state], found(each), to_do(each))
    ]
    return [*aligned(("Qué", "Estado", "Lo que hay", "Qué hacer"), rows), "", f"{told}."]


def wrapped(
    what: str, state: str, known: str, advice: str, width: int = _FOUND_WIDTH
) -> Iterable[tuple[str, ...]]:
    """Yield a row of a table, on as many lines as it takes.

    Args:
        what: is told of.
        state: of it, in a word.
        known: of it.
        advice: what to do about it.
        width: characters that a line has for what is known.
    """
    cells = [what], [state], textwrap.wrap(known, width), textwrap.wrap(advice, _TO_DO_WIDTH)
    return zip_longest(*cells, fillvalue="")


def found(finding: Finding) -> str:
    """Return what is known of something."""
    return _worded(_FOUND, finding) or finding.reason


def to_do(finding: Finding) -> str:
    """Return what to do about it; empty where there is nothing."""
    if finding.state == "good" and (finding.check, finding.reason) not in _ALWAYS:
        return ""
    return _worded(_TO_DO, finding)


def _worded(templates: Mapping[tuple[str, str], str], finding: Finding) -> str:
    template = templates.get((finding.check, finding.reason)) or templates.get(
        (_ANY, finding.reason), ""
    )
    return template.format(**dict(facts(finding.facts)))


def facts(facts: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in facts.items():
        if value is None or isinstance(value, Mapping):
            continue
        if isinstance(value, datetime):
            yield name, f"{moment(value)} UTC"
        elif isinstance(value, bool | str):
            yield name, str(value) or NO_VALUE
        elif name in _LENGTHS:
            yield name, about(value)
        elif isinstance(value, (int, float)):
            yield name, str(value) if name == "status" else number(value, 2, trim=True)
        elif name == "short":
            yield (
                name,
                "; ".join(
                    f"{each['metric']}: hacen falta {number(each['needed'])} y quedan "
                    f"{number(each['free'])}"
                    for each in value
                ),
            )
        else:
            yield name, ", ".join(map(str, value))
            yield f"{name}_words", " ".join(map(str, value))
