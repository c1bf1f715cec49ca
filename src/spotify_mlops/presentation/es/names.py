"""What codes are called: countries, events, models, decisions, inputs."""

from __future__ import annotations

from collections.abc import Mapping

from .countries import COUNTRY_NAMES
from .numbers import number, plural

EVENT_TYPE_NAMES = {
    "play": "reproducción",
    "skip": "salto",
    "search_result": "búsqueda",
    "new_release": "lanzamiento",
    "recommendation": "recomendación",
}
REASON_NAMES = {
    "empty": "registro vacío",
    "not_utf8": "no es UTF-8",
    "not_json": "no es JSON",
    "missing_field": "falta un campo",
    "wrong_type": "tipo equivocado",
    "out_of_range": "fuera de rango",
    "unknown_country": "país desconocido",
    "unknown_event_type": "tipo de evento desconocido",
    "future_event_time": "fecha en el futuro",
    "future_heartbeat": "latido con fecha en el futuro",
    "too_large": "demasiado grande",
    "unreadable": "ilegible en Kafka",
    "unsupported_schema_version": "versión de esquema no admitida",
}
MODEL_NAMES = {
    "majority": "mayoría",
    "persistence": "persistencia",
    "logistic": "regresión logística",
    "seed": "modelo, caso de estudio",
    "dynamics": "modelo, dinámica",
}
"""The models and their baselines, weakest idea first."""
ESTIMATOR_NAMES = {
    "HistGradientBoostingClassifier": "Árboles potenciados por gradiente",
    "RandomForestClassifier": "Bosque aleatorio",
    "ExtraTreesClassifier": "Bosque de árboles con cortes al azar",
    "DecisionTreeClassifier": "Un árbol de decisión",
    "LogisticRegression": "Regresión logística, con las variables tipificadas",
}
"""What a model can be made of (`config.estimators.TUNABLE`)."""
HYPERPARAMETER_NAMES = {
    "estimator": "Clasificador",
    "max_leaf_nodes": "Hojas",
    "min_samples_leaf": "Mín. por hoja",
    "max_depth": "Hondura",
    "max_features": "Variables por corte",
    "n_estimators": "Árboles",
    "learning_rate": "Paso",
    "l2_regularization": "Regularización L2",
    "max_iter": "Árboles",
    "C": "C",
}
ORDER_NAMES = {
    "chance": "al azar",
    "momentum": "por impulso",
    "today_score": "por el puesto de hoy",
    "logistic": MODEL_NAMES["logistic"],
    "seed": MODEL_NAMES["seed"],
    "dynamics": MODEL_NAMES["dynamics"],
}
"""What the tracks that may rise or fall are ordered by, weakest idea first."""
DECISION_NAMES = {
    "retrain": "se reentrena",
    "refused": "candidato rechazado",
    "shadow": "candidato a la sombra",
    "canary": "candidato en pruebas",
    "promoted": "nuevo campeón",
    "rolled_back": "se vuelve atrás",
    "confirmed": "campeón confirmado",
}
HISTORY_NAMES = {
    "all": "de todo lo anterior",
    "half": "de la última mitad de lo anterior",
    "quarter": "del último cuarto de lo anterior",
    "fading": "de todo lo anterior, que pesa menos cuanto más viejo",
}
TRAINING_STEP_NAMES = {
    "data": "datos",
    "baselines": "líneas de base",
    "seed_candidates": "seed: candidatos",
    "seed_calibration": "seed: calibración",
    "seed_final": "seed: modelo final",
    "dynamics_candidates": "dynamics: candidatos",
    "dynamics_calibration": "dynamics: calibración",
    "dynamics_final": "dynamics: modelo final",
    "onnx": "ONNX",
    "metrics": "métricas",
}
RESULT_NAMES = {
    "rows": "Filas",
    "persistence_accuracy": "Exactitud de la persistencia",
    "persistence_macro_f1": "Macro-F1 de la persistencia",
    "repeated_in_view": "Repetidos en la vista",
    "events": "Eventos",
    "late": "Tardíos",
    "duplicates": "Repetidos",
    "dead_letters": "Cartas muertas",
    "inputs": "Variables",
    "validation_macro_f1": "Macro-F1 en validación",
    "shuffled_excess": "Con niveles barajados",
    "onnx_largest_difference": "Frente a ONNX",
}
"""What notebooks record and are compared by."""
INPUT_GROUP_NAMES = {
    "hour": "hora del día",
    "calendar": "calendario",
    "country": "país",
    "signals": "búsquedas, recomendaciones y lanzamientos",
    "skips": "saltos",
    "artist": "artista",
    "age": "edad",
    "now": "puesto y reproducciones de ahora",
    "elsewhere": "otros países",
    "history": "historia (retardos e impulso)",
}
INPUT_NAMES = {
    "hour_of_day": "hora del día",
    "event_type_search_result": "hubo búsquedas",
    "day_of_week": "día de la semana",
    "year_sin": "época del año (seno)",
    "year_cos": "época del año (coseno)",
    "country_rank": "puesto en el país",
    "attention_rank": "puesto por atención",
    "log_plays": "reproducciones",
    "plays_over_p40": "reproducciones frente al umbral de Media",
    "plays_over_p70": "reproducciones frente al umbral de Alta",
    "skip_rate": "parte de saltos",
    "log_searches": "búsquedas",
    "log_recommendations": "recomendaciones",
    "log_releases": "lanzamientos",
    "artist_tracks": "canciones del artista",
    "artist_best_score": "mejor puesto del artista",
    "other_countries": "en cuántos otros países suena",
    "other_best_score": "mejor puesto en otros países",
    "other_mean_score": "puesto medio en otros países",
    "age": "edad de la canción",
    "age_from_release": "tiempo desde el lanzamiento",
    "lags_present": "ventanas anteriores con datos",
    "momentum": "impulso del puesto",
    "plays_momentum": "impulso de las reproducciones",
    "plays_acceleration": "aceleración de las reproducciones",
    "mean_score": "puesto medio reciente",
    "peak_score": "mejor puesto reciente",
    "api_popularity": "popularidad en la API",
    "api_known": "popularidad conocida",
    "predicted_level": "el nivel que predice",
}
_INPUT_FORMS = {
    "country_": "es {}",
    "plays_in_": "reproducciones en {}",
    "plays_momentum_in_": "impulso de las reproducciones en {}",
    "score_lag_": "puesto hace {}",
    "plays_lag_": "reproducciones hace {}",
    "plays_change_": "cambio de las reproducciones en {}",
    "signals_lag_": "señales hace {}",
    "other_score_lag_": "puesto en otros países hace {}",
    "api_lag_": "popularidad en la API hace {}",
    "api_change_": "cambio de la popularidad en {}",
}
"""Inputs whose name ends in a country or in a number of windows."""


def hyperparameter(value: float | str | None) -> str:
    """Write a value that a classifier was given."""
    if value is None or isinstance(value, str):
        return value or "sin límite"
    return number(value, 0 if float(value).is_integer() else 2)


def country(code: str) -> str:
    """Return a country's name, or its code where the name is not listed."""
    return COUNTRY_NAMES.get(code, code)


def model_input(name: str) -> str:
    """Return what a model's input is, or its own name where it is not listed."""
    if name in INPUT_NAMES:
        return INPUT_NAMES[name]
    prefix, _, last = name.rpartition("_")
    form = _INPUT_FORMS.get(f"{prefix}_")
    if form is None:
        return name
    return form.format(
        plural(int(last), "ventana", "ventanas") if last.isdigit() else country(last)
    )


def named_sql(column: str, names: Mapping[str, str]) -> str:
    """Return an SQL expression that gives a code's name, or the code where it has none."""
    cases = " ".join(f"WHEN '{code}' THEN '{name}'" for code, name in names.items())
    return f"CASE {column} {cases} ELSE {column} END"
