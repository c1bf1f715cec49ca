"""The report of a campaign: JSON for programs, a short Spanish text for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spotify_mlops.config.spanish import number

from .campaign import Outcome
from .faults import SWITCHED

NAMES = {
    "stream": "el proceso de streaming (en Prism, y con él sus trabajadores de Beam)",
    "prism": "Prism",
    "worker": "un trabajador de Python de Flink",
    "task-manager": "un TaskManager",
    "job-manager": "el JobManager",
    "job-server": "el servidor de tareas de Beam",
    "pool": "el proceso que reparte los trabajadores",
    "kafka": "Kafka",
    "bigquery": "el emulador de BigQuery",
    "mongo": "el servidor de MongoDB",
    "notebook": "el cuaderno que despliega",
    "refuse": "un destino que rechaza",
    "ambiguous": "un destino que escribe y contesta un error",
    "disk": "el disco del archivo lleno",
    "clock": "el reloj cambiado una hora",
}


def content(
    seed: int, manifest: dict[str, Any], records: int, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Return what a campaign found, as plain values."""
    disturbed = [outcome for outcome in outcomes if outcome.faults]
    kills = sum((outcome.kills for outcome in disturbed), Counter[str]())
    injected = Counter(f["what"] for o in disturbed for f in o.faults if f["what"] in SWITCHED)
    return {
        "seed": seed,
        "records": records,
        "injected": {k: manifest[k] for k in ("events", "duplicates", "late", "dead_letters")},
        "runs": len(disturbed),
        "kills": {"total": kills.total(), **kills},
        "injections": {"total": injected.total(), **injected},
        "equal": all(outcome.equal for outcome in outcomes),
        "outcomes": [outcome.to_dict() for outcome in outcomes],
    }


def text(found: dict[str, Any]) -> str:
    """Return the report for people."""
    log = found["injected"]
    lines = [
        f"Registro: {_number(found['records'])} registros ({_number(log['duplicates'])} "
        f"duplicados, {_number(log['late'])} tardíos, {_number(log['dead_letters'])} malos). "
        f"Semilla {found['seed']}.",
        f"{found['runs']} ejecuciones perturbadas, {found['kills']['total']} muertes con kill -9 "
        f"y {found['injections']['total']} fallos inyectados:",
    ]
    for counts in (found["kills"], found["injections"]):
        named = [name for name in counts if name != "total"]
        lines += [f"  {counts[name]:>4}  {NAMES[name]}" for name in sorted(named, key=_place)]
    for outcome in found["outcomes"]:
        restarts = len(outcome["exits"]) - 1
        verdict = "igual" if outcome["equal"] else "DISTINTA"
        kills = sum(outcome["kills"].values())
        lines.append(
            f"{outcome['name']}: {outcome['seconds']:.0f} s, {kills} muertes, {restarts} arranques "
            f"más: {verdict}."
        )
        lines += [f"    {difference}" for difference in outcome["differences"]]
    lines.append(
        "Todas las ejecuciones acaban con el mismo contenido, fila a fila, y la auditoría cuadra."
        if found["equal"]
        else "HAY DIFERENCIAS."
    )
    return "\n".join(lines)


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write both forms; return the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.txt").write_text(text(found) + "\n", encoding="utf-8")
    path = folder / "chaos.json"
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def _place(name: str) -> int:
    return list(NAMES).index(name)


def _number(value: int) -> str:
    return number(value)
