"""How the steps of a deployment are, and what to do about it, in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from . import cloud_check
from .operations import aligned

if TYPE_CHECKING:
    from ...operations.cloud.deploy import Report
    from ...operations.cloud.deploy.step import Stage

STEPS = {
    "check": "Lo que hace falta",
    "images": "Imágenes",
    "platform": "Plataforma",
    "model": "Modelo",
    "endpoint": "Endpoint",
    "stream": "Tarea en directo",
    "dashboards": "Tableros",
    "audit": "Auditoría",
}
STATES = {
    "done": "hecho",
    "to_do": "por hacer",
    "unknown": "no se sabe",
    "blocked": "NO SE PUEDE",
    "omitted": "omitido",
}
_FOUND_WIDTH = 52
_FOUND = {
    ("check", "ready"): "nada lo impide ({count} comprobaciones)",
    ("check", "lacking"): "está mal: {checks}",
    ("images", "there"): "están en Artifact Registry",
    ("images", "missing"): "se construyen y se suben {names}",
    ("images", "elsewhere"): "no son de Artifact Registry: {names}",
    ("images", "no_tool"): "faltan {names}, y no hay {tool} con que hacerlas",
    ("images", "no_recipe"): "faltan {names}, y no está infra/build.sh",
    ("platform", "made"): "Pulumi no cambiaría nada de la pila {stack}",
    ("platform", "lacking"): "está hecha y no basta; está mal: {checks}",
    ("platform", "changes"): "en la pila {stack}: {changes}",
    ("platform", "no_stack"): "no existe la pila {stack}; {declared}",
    ("platform", "no_tool"): "no hay orden {tool}; {declared}",
    ("platform", "no_program"): "no está infra/platform",
    ("model", "none"): "no hay campeón: se entrena con lo que hay en las tablas",
    ("model", "champion"): "el campeón es la versión {version}",
    ("stream", "unwatched"): "corre y nadie la vigila: {name}, {state}",
    ("dashboards", "no_grafana"): "el perfil no tiene Grafana; están en dashboards/",
    ("dashboards", "with_platform"): "los de {address}, con la plataforma",
    ("dashboards", "elsewhere"): "los de {address} son de la plataforma, que se omite",
    ("audit", "at_the_end"): "se hace al final, y dice el código de salida",
    ("audit", "holds"): "cuadra",
    ("audit", "red"): "no cuadra",
}
_TO_DO = {
    ("check", "lacking"): "spotify-mlops cloud check dice qué hacer",
    ("images", "no_tool"): "instala Docker, o deja que las haga la integración continua",
    ("images", "no_recipe"): "repite la orden en la carpeta del proyecto",
    ("images", "elsewhere"): "compruébalas, y usa --without images",
    ("platform", "no_tool"): "instala Pulumi (get.pulumi.com) y «make platform», o usa "
    "--without platform",
    ("platform", "no_program"): "repite la orden en la carpeta del proyecto",
    ("platform", "lacking"): "spotify-mlops cloud check dice qué hacer",
    ("audit", "red"): "spotify-mlops cloud status, y docs/nube.md",
}


def plan_lines(report: Report, *, dry_run: bool) -> list[str]:
    """Return a table of the steps, with what is wrong below it."""
    rows = [
        row
        for stage in report.stages
        for row in cloud_check.wrapped(
            f"{STEPS[stage.step]} ({stage.step})",
            STATES[stage.state],
            found(stage),
            to_do(stage),
            _FOUND_WIDTH,
        )
    ]
    lines = aligned(("Paso", "Estado", "Lo que hay", "Qué hacer"), rows)
    for stage in report.stages:
        kinds = {} if stage.finding is None else stage.finding.facts.get("kinds", {})
        if kinds:
            lines += ["", "La plataforma haría:"]
            lines += textwrap.wrap(
                ", ".join(f"{count}×{kind}" for kind, count in sorted(kinds.items())), 100,
                initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False,
            )  # fmt: skip
    if report.problems:
        lines += ["", *cloud_check.check_lines(report.problems)]
    if dry_run:
        lines += ["", "Es solo lo que haría: «cloud deploy --yes» lo hace."]
    return lines


def stage_content(stage: Stage) -> dict[str, Any]:
    """Return what JSON has of a step."""
    facts = {} if stage.finding is None else dict(stage.finding.facts)
    return {
        "step": stage.step,
        "state": stage.state,
        "found": found(stage),
        "to_do": to_do(stage),
        "facts": facts,
    }


def found(stage: Stage) -> str:
    """Return what is known of a step."""
    if stage.finding is None:
        return ""
    template = _FOUND.get((stage.step, stage.finding.reason))
    if template is None:
        return cloud_check.found(stage.finding)
    facts = stage.finding.facts
    more = {
        "checks": ", ".join(cloud_check.CHECKS.get(n, n) for n in facts.get("names", ())),
        "declared": f"el programa haría {facts['count']} recursos"
        if "count" in facts
        else "no se sabe qué haría («make platform» trae lo que hace falta)",
    }
    return template.format(**dict(cloud_check.facts(facts)) | more)


def to_do(stage: Stage) -> str:
    """Return what to do about a step; empty where there is nothing."""
    if stage.finding is None:
        return ""
    own = _TO_DO.get((stage.step, stage.finding.reason))
    if own is not None or stage.state in ("done", "to_do"):
        return own or ""
    return cloud_check.to_do(stage.finding)


def why_stopped(stage: Stage) -> str:
    """Return the error of a deployment that ended before its end."""
    told = f"Paso «{stage.step}»: {found(stage)}."
    advice = to_do(stage)
    return f"{told} Qué hacer: {advice}." if advice else told
