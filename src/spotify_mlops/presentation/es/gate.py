"""What the gate asked and found, check by check."""

from __future__ import annotations

from ...config.spanish import number
from ...model.gate import FEWEST_BLOCKS, FEWEST_ROWS, Check, Criterion, Verdict
from .names import ORDER_NAMES, country
from .numbers import interval, moment, plural

CRITERION_NAMES: dict[Criterion, str] = {
    "accuracy": "la exactitud",
    "macro_f1": "el macro-F1",
    "persistence": "la ventaja sobre la persistencia",
    "calibration": "la calibración",
    "latency": "la latencia",
    "row_time": "el tiempo por fila",
    "champion": "la comparación con el campeón",
    "rises": "ver venir lo que sube",
    "rises_baseline": "ver venir lo que sube, frente a lo más sencillo",
    "rises_champion": "ver venir lo que sube, frente al campeón",
}


def reason(check: Check) -> str:
    """Return one check as a sentence or two, with its numbers."""
    found = interval(check.value, check.low, check.high)
    limit = number(check.limit, 2)
    match check.code:
        case "accuracy" | "macro_f1":
            what = "La exactitud" if check.code == "accuracy" else "El macro-F1"
            verb = "alcanza" if check.passed else "no alcanza"
            return f"{what}, {found}, {verb} el mínimo de {limit}."
        case "persistence" if check.passed:
            return f"Supera a repetir el nivel de hoy en {found} de macro-F1."
        case "persistence":
            return f"No supera con seguridad a repetir el nivel de hoy: diferencia {found}."
        case "calibration":
            verb = "no pasa" if check.passed else "pasa"
            return f"El error de calibración, {found}, {verb} de {limit}."
        case "latency":
            return (
                f"El modelo contesta una fila en {number(check.value, 2)} ms (percentil 99), "
                f"{_within(check)} del límite de {limit} ms."
            )
        case "row_time":
            return (
                f"En lote, cada fila le lleva {number(check.value, 1)} µs, "
                f"{_within(check)} del límite de {number(check.limit, 1)} µs."
            )
        case "champion":
            return _beside_champion(check, found)
        case "rises" | "rises_baseline" | "rises_champion":
            return _rises(check, found)


def _rises(check: Check, found: str) -> str:
    if check.not_compared is not None:
        return "En la prueba no sube ninguna canción: no hay lista que juzgar."
    if check.code == "rises":
        verb = "alcanza" if check.passed else "no alcanza"
        return (
            f"Ordenando las que pueden subir, la precisión media, {found}, {verb} el mínimo de "
            f"{number(check.limit, 3)}."
        )
    other = (
        f"el campeón, {check.champion}"
        if check.baseline is None
        else f"el orden que más se acerca («{ORDER_NAMES[check.baseline]}»)"
    )
    sure = "no pierde con seguridad" if check.passed else "pierde con seguridad"
    return (
        "Ordenando las que pueden subir, la diferencia de precisión media con la que da "
        f"{other} es {found}: {sure}."
    )


def summary(verdict: Verdict) -> str:
    """Return the verdict as one or two sentences, in Markdown."""
    if verdict.approved:
        return (
            "El modelo cumple todos los criterios: **se despliega**. La fase 6 lo registra, lo "
            "promociona y lo pone a predecir."
        )
    return f"El modelo **no se promociona**. {' '.join(map(reason, verdict.failed))}"


def passes(check: Check) -> str:
    """Say whether a check passed, so that a failure is seen."""
    return "sí" if check.passed else "NO"


def _within(check: Check) -> str:
    return "dentro" if check.passed else "fuera"


def _beside_champion(check: Check, found: str) -> str:
    match check.not_compared:
        case "no_champion":
            return "No hay modelo en servicio con el que comparar."
        case "other_task":
            return f"{check.champion} predice otro horizonte o lee otras variables: no se compara."
        case "too_few_rows":
            assert check.learned_until is not None
            return (
                f"{check.champion} ha aprendido de todo lo anterior al "
                f"{moment(check.learned_until)} y después quedan "
                f"{plural(check.rows or 0, 'fila', 'filas')} de prueba en "
                f"{plural(check.blocks or 0, 'tramo', 'tramos')}: hacen falta "
                f"{number(FEWEST_ROWS)} y {number(FEWEST_BLOCKS)}. Espera a tener más ventanas; "
                "mientras, sigue el que está."
            )
    accepted = number(-check.limit, 2)
    if check.country is not None:
        text = f"En {country(check.country)}, diferencia de {found}."
        return text if check.passed else f"{text} Se acepta perder como mucho {accepted}."
    text = (
        f"Frente a {check.champion}, en {number(check.rows)} filas que ninguno conocía, "
        f"diferencia de {found} de macro-F1."
    )
    if check.passed:
        return text
    if check.low is not None and check.low < check.limit:
        return f"{text} No se descarta que pierda más de {accepted}."
    return f"{text} Pierde con seguridad."
