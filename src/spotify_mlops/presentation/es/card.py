"""The model card: what a person must know before they follow the model."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from ...config.estimators import BOOSTING
from ...config.params import Params
from ...config.spanish import duration, number
from ...model.early_detection import SHOWN
from .names import (
    ESTIMATOR_NAMES,
    HISTORY_NAMES,
    MODEL_NAMES,
    ORDER_NAMES,
    country,
    hyperparameter,
)
from .numbers import interval, join, moment


def write(params: Params, description: dict[str, Any], metrics: pl.DataFrame) -> str:
    """Return the card in Markdown.

    Args:
        params: of the run.
        description: of the bundle.
        metrics: every model's, as in ``TrainingResult.metrics``.
    """
    family = description["family"]
    sections = (
        _what(params, description),
        _data(params, description["training"]["boundaries"], description["training"]),
        _results(metrics, family),
        _groups(metrics, family),
        _early(metrics, family),
        _how(description),
        _cannot(params, metrics, family),
        _limits(params),
    )
    return "\n\n".join(sections) + "\n"


def write_persistence(params: Params, description: dict[str, Any]) -> str:
    """Return the card of the version that is persistence."""
    own = [row for row in description["metrics"] if row["slice"] == "all"]
    cells = " | ".join(
        _written(next(row for row in own if row["metric"] == name))
        for name in ("macro_f1", "accuracy", "ece", "cost")
    )
    ahead = duration(params.model.horizon * params.windows.window)
    rows = number(description["training"]["rows_learned_from"])
    return f"""# Modelo «{params.model.name}»: persistencia

**Qué predice.** Que una canción tendrá dentro de {ahead} el nivel que tiene ahora. No ha aprendido
nada de cómo cambian: sus probabilidades son cada cuánto un nivel pasó a ser otro, en {rows} filas.

**Para qué sirve.** Es la línea de base que todo modelo tiene que superar. Si el que está en
servicio acierta menos que ella, con todo el intervalo de la diferencia, sirve ella en su lugar
hasta que otro la supere. **Para qué no.** No ve venir nada: su lista de las que van a subir es la
de las que hoy están más arriba.

| macro-F1 | exactitud | error de calibración | coste por predicción |
|---:|---:|---:|---:|
| {cells} |

En esas mismas filas; entre corchetes, intervalos del 95 % por remuestreo de bloques de tiempo.
"""


def _what(params: Params, description: dict[str, Any]) -> str:
    ahead = duration(params.model.horizon * params.windows.window)
    return f"""# Modelo «{params.model.name}»: nivel de popularidad a {ahead}

**Qué predice.** El nivel de popularidad (**Alta**, **Media** o **Baja**) que tendrá una canción en
un país {params.model.horizon} ventanas de {
        duration(params.windows.window)
    } después, y la probabilidad de cada
nivel. {_LEVELS[params.windows.target]}:
desde {number(params.model.level_alta)} sobre 100 es Alta, desde {
        number(params.model.level_media)
    } es Media y
{_REST[params.windows.target]}.

**Para qué sirve.** Para priorizar qué canciones revisar o promocionar en {
        join(country(code) for code in params.sources.countries)
    }. **Para qué no.** No mide calidad, no estima ingresos y no decide por sí solo: cada
predicción lleva su probabilidad para que alguien la juzgue.

**Familia**: {MODEL_NAMES[description["family"]]}, {
        len(description["features"])
    } variables; horizonte
{params.model.horizon}; retardos {", ".join(map(str, params.windows.lags))}."""


_LEVELS = {
    "plays": "El nivel sale del puesto de sus reproducciones entre las canciones del país en esa "
    "ventana",
    "api": "El nivel sale de la popularidad (0 a 100) que da la API de Spotify, cuando se le "
    "pregunta en el país en esa ventana",
}
_REST = {
    "plays": "el resto, o no aparecer, es Baja",
    "api": "el resto es Baja; de quien entonces no se ve, o se ve sin popularidad, no hay nivel",
}
_ORIGINS = {
    "simulator": "**Los datos son sintéticos**: los produjo el simulador de este proyecto. Las "
    "cifras dicen cómo funciona el método, no cómo es el mercado.",
    "charts": "Los datos son listas semanales reales publicadas por país: solo las canciones que "
    "entraron en la lista se ven, y salir de ella cuenta como Baja.",
    "webapi": "Los datos son lo que enseñó la Web API de Spotify en cada país cuando se le "
    "preguntó: lo que no se preguntó no se ve. Su política de desarrolladores (III.14) prohíbe "
    "entrenar con ese contenido sin permiso; quien entrenó dijo tenerlo "
    "(`webapi_training_allowed`).",
}


def _looks(earlier: int) -> str:
    if not earlier:
        return "Se miró una vez, al final: ningún otro modelo se había medido con ella aquí."
    others = (
        "ya se había medido otro modelo"
        if earlier == 1
        else f"ya se habían medido otros {number(earlier)} modelos"
    )
    return f"Con ella {others} aquí, y el mejor de varios parece mejor de lo que es."


def _data(params: Params, boundaries: dict[str, str], training: dict[str, Any]) -> str:
    origin = _ORIGINS[params.sources.source]

    def range_of(start: str, end: str, rows: str) -> str:
        first, last = (moment(datetime.fromisoformat(boundaries[name])) for name in (start, end))
        return f"de {first} a {last} ({number(int(boundaries[rows]))} filas)"

    return f"""## Datos

{origin}

- Entrenamiento: {range_of("train_start", "validation_start", "train_rows")}.
- Validación: {range_of("validation_start", "test_start", "validation_rows")}. Aquí se eligió todo.
- Prueba: {range_of("test_start", "test_end", "test_rows")}. {_looks(training["earlier_looks"])}

Ninguna fila aprende de una etiqueta posterior al comienzo del rango siguiente: entre rangos queda
un hueco de {params.model.horizon} ventanas. El modelo final aprendió de {
        number(training["rows_learned_from"])
    } filas anteriores a la prueba (muestreadas con la semilla {
        training["seed"]
    } cuando hay más)."""


def _results(metrics: pl.DataFrame, family: str) -> str:
    rows = []
    for model, name in MODEL_NAMES.items():
        cells = [f"**{name.capitalize()}**" if model == family else name.capitalize()]
        for metric in ("macro_f1", "accuracy", "ece", "cost"):
            found = metrics.filter(model=model, split="test", slice="all", metric=metric)
            cells.append(interval(*found.select("value", "low", "high").row(0)))
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows)
    return f"""## Resultados en el rango de prueba

| Modelo | macro-F1 | exactitud | error de calibración | coste por predicción |
|---|---:|---:|---:|---:|
{table}

Entre corchetes, intervalos del 95 % por remuestreo de bloques de tiempo."""


def _groups(metrics: pl.DataFrame, family: str) -> str:
    kinds = pl.col("slice").str.split(":").list.first()
    own = metrics.filter(model=family, split="test").filter(kinds.is_in(["country", "level"]))
    rows = [
        f"| {country(_name(row))} | {'F1' if row['metric'] == 'f1' else 'macro-F1'} | "
        f"{interval(row['value'], row['low'], row['high'])} | {number(row['rows'])} |"
        for row in own.filter(pl.col("metric").is_in(["macro_f1", "f1"])).to_dicts()
    ]
    return (
        "## Por nivel y por país\n\n| Grupo | métrica | valor | filas |\n|---|---|---:|---:|\n"
        + ("\n".join(rows))
    )


def _early(metrics: pl.DataFrame, family: str) -> str:
    """Return how well each order of the tracks that may rise, or fall, finds those that do."""
    test = metrics.filter(split="test", slice="all")
    cells: dict[str, list[str]] = {label: [] for label in ORDER_NAMES.values()}
    for name, label in ORDER_NAMES.items():
        for metric in ("rise_ap", f"rise_precision_at_{SHOWN}", f"rise_recall_at_{SHOWN}",
                       "fall_ap", f"fall_precision_at_{SHOWN}"):  # fmt: skip
            found = test.filter(model=name, metric=metric)
            values = found.select("value", "low", "high").row(0) if found.height else (None,) * 3
            cells[label].append(interval(*values))
    rows = "\n".join(
        f"| {f'**{label.capitalize()}**' if label == ORDER_NAMES[family] else label.capitalize()} "
        f"| {' | '.join(found)} |"
        for label, found in cells.items()
    )
    return f"""## Las que van a cambiar

De las canciones que no están en Alta, las que lo estarán (suben); de las que están, las que no
(caen). Precisión media de cada orden y, de las {SHOWN} primeras de cada país y ventana, qué parte
lo hace y qué parte de todas las que suben está entre ellas.

| Orden | suben: precisión | de las {SHOWN} | de todas | caen: precisión | de las {SHOWN} |
|---|---:|---:|---:|---:|---:|
{rows}"""


def _how(description: dict[str, Any]) -> str:
    training = description["training"]
    settings = dict(training["hyperparameters"])
    kind = ESTIMATOR_NAMES[settings.pop("estimator", BOOSTING)]
    chosen = ", ".join(
        f"{name} = {hyperparameter(value)}"
        for name, value in settings.items()
        if name not in ("log_loss", "macro_f1")
    )
    offsets = ", ".join(
        f"{level} {number(offset, 3)}"
        for level, offset in zip(description["levels"], training["decision_offsets"], strict=True)
    )
    history = _histories(training["histories"])
    return f"""## Cómo está hecho

{kind} ({chosen}). Se eligió por su pérdida logarítmica en validación entre unos pocos
candidatos.{history} Las probabilidades se calibran con una pendiente y un término por nivel,
ajustados en validación. El nivel anunciado no es siempre el más probable: a cada logaritmo
de probabilidad se le suma un término ({offsets}) con el que el macro-F1 esperado es mayor.

Se sirve como grafo ONNX en doble precisión. Comparado con scikit-learn en las {
        number(training["onnx_rows_checked"])
    } filas de prueba: los mismos niveles, y probabilidades a {
        number(training["onnx_largest_difference"], 7)
    } como mucho (se redondean a seis decimales)."""


def _histories(tried: list[dict[str, Any]]) -> str:
    if not tried:
        return ""
    best, *others = (f"{HISTORY_NAMES[h['history']]} ({number(h['log_loss'], 3)})" for h in tried)
    rest = f"; las demás: {join(others)}" if others else ""
    return f" Aprendió {best}: su pérdida en lo más nuevo de validación es la menor{rest}."


def _cannot(params: Params, metrics: pl.DataFrame, family: str) -> str:
    """Return what the run found to be weak, in its own numbers."""
    own = metrics.filter(model=family, split="test")
    without = metrics.filter(model="persistence", split="test")
    groups = own.filter(metric="macro_f1").filter(pl.col("slice").str.starts_with("country:"))
    place = groups.sort("value").row(0, named=True)
    level = own.filter(metric="f1").sort("value").row(0, named=True)
    recall = own.filter(slice=level["slice"], metric="recall").row(0, named=True)
    ahead = duration(params.model.horizon * params.windows.window)
    lines = [
        f"Donde peor predice es en {country(_name(place))} (macro-F1 {_written(place)}) y el nivel "
        f"{_name(level)} (F1 {_written(level)}): de cada cien que lo son, se le escapan "
        f"{number(100 * (1 - recall['value']))}.",
        f"Solo se ha probado a {ahead} vista. Más allá, o más acá, no se sabe lo que vale.",
        _weak(own, without, "track:unseen", "Canciones que su país no oyó antes de la prueba"),
        _weak(own, without, "history:none", "Filas sin nada en las ventanas anteriores"),
        _fading(own),
    ]
    return "## Lo que no puede hacer\n\n" + "\n".join(f"- {line}" for line in lines)


def _weak(own: pl.DataFrame, without: pl.DataFrame, group: str, who: str) -> str:
    found = own.filter(slice=group, metric="macro_f1")
    if found.is_empty():
        return f"{who}: no hubo ninguna en la prueba, así que no se sabe."
    row = found.row(0, named=True)
    whole = own.filter(slice="all", metric="macro_f1")["value"].item()
    other = without.filter(slice=group, metric="macro_f1")["value"].item()
    return (
        f"{who} ({number(row['rows'])} filas): macro-F1 {_written(row)}, frente a "
        f"{number(whole, 3)} en el conjunto y {number(other, 3)} de la persistencia ahí mismo."
    )


def _fading(own: pl.DataFrame) -> str:
    parts = own.filter(metric="macro_f1").filter(pl.col("slice").str.starts_with("part:"))
    first, last = (parts.sort("slice").row(i, named=True) for i in (0, -1))
    if last["low"] <= first["value"] and last["high"] >= first["value"]:
        verdict = "no se aprecia que envejezca"
    else:
        verdict = "envejece" if last["value"] < first["value"] else "no empeora"
    return (
        f"Con el tiempo: en el primer tercio de la prueba, macro-F1 {_written(first)}; en el "
        f"último, {_written(last)}: dentro de este rango {verdict}. Pasado el rango, no se sabe: "
        "hay que volver a medirlo y a entrenar."
    )


def _name(row: dict[str, Any]) -> str:
    return str(row["slice"]).partition(":")[2]


def _written(row: dict[str, Any]) -> str:
    return interval(row["value"], row["low"], row["high"])


def _limits(params: Params) -> str:
    countries = join(country(code) for code in params.sources.countries)
    own = join(country(code) for code in params.windows.model_countries)
    return f"""## Límites y cuidados

- Solo se ha evaluado en {countries}; en otro país la calidad no se conoce.
- Tiene variables propias de {own}; en las filas de otro país son cero. Quien sirve el modelo lo
  rechaza si las variables se hicieron para otros países.
- El pasado popular pesa mucho. Usado para decidir qué se promociona, refuerza lo que ya suena;
  conviene vigilar cuántas canciones nuevas y artistas pequeños quedan fuera.
- Un cambio en cómo se escucha (una campaña, unas fiestas, una pandemia) puede degradarlo: el
  tablero vigila la exactitud y la deriva, y hay que volver a entrenar. Si en directo acierta
  menos que suponer que todo sigue como está, `monitor` pone eso en su lugar.
- Costes supuestos de cada error: {number(params.cost.missed_alta, 1)} por una Alta no anunciada,
  {number(params.cost.false_alta, 1)} por una Alta anunciada que no llega y
  {number(params.cost.one_level, 1)} por confundir Media y Baja."""
