"""Phase 1: the question, the users, the criteria and the costs, from the params."""

from __future__ import annotations

import pandas as pd

from ...config.params import Params
from ...config.sections import Cost, Gate, Model
from ...domain.labels import LEVELS
from ...model.dataset import thresholds
from ...model.metrics import cost_matrix
from ..es import country, duration, exact, join, number, percent
from ..figures import business as figures
from ..figures.style import Plot
from .show import Table, Text, listing

_MEANINGS = (
    ("schema_version", "entero", "versión del contrato; hoy, 1"),
    ("event_id", "texto", "identificador que da la fuente"),
    ("event_time", "fecha y hora UTC", "cuándo ocurrió"),
    (
        "event_type",
        "texto",
        "reproducción, salto, búsqueda, lanzamiento o recomendación",
    ),
    ("country", "texto", "país, ISO 3166-1 de dos letras; sin país no hay evento"),
    ("track_id", "texto", "la canción; también la clave en Kafka"),
    ("track_name, artist_name", "texto o vacío", "cómo se llama y de quién es"),
    ("count", "entero ≥ 1", "a cuántas observaciones iguales equivale"),
    ("source", "texto", "de dónde viene"),
    ("popularity", "0–100 o vacío", "la de la API, si la hay; lo que falta no es un cero"),
    ("release_date", "fecha o vacío", "cuándo se publicó"),
)


def question(params: Params) -> Text:
    """Say what is predicted, for whom and how far ahead."""
    ahead = duration(params.windows.window * params.model.horizon)
    return Text(
        f"Al cerrar cada ventana de **{duration(params.windows.window)}**, para cada canción "
        f"oída en {join(country(c) for c in params.sources.countries)}: "
        f"**¿qué nivel de popularidad tendrá allí dentro de {ahead}?** {_level(params)}"
    )


def _level(params: Params) -> str:
    alta, media = exact(params.model.level_alta), exact(params.model.level_media)
    if params.windows.target == "api":
        return (
            "El nivel es la popularidad que da la API de Spotify, de 0 a 100: *Alta* desde "
            f"{alta}, *Media* desde {media} y *Baja* por debajo; de quien entonces no se ve no "
            "hay nivel."
        )
    return (
        f"El nivel es su puesto entre las canciones oídas en el país: *Alta* desde el percentil "
        f"{alta}, *Media* desde el {media} y *Baja* por debajo, o si ya nadie la oye."
    )


def question_figure(scores: pd.DataFrame, params: Params) -> Plot | Text:
    """Draw the question in the life of one track: of those that rose, the one seen longest.

    Args:
        scores: ``time``, ``country``, ``track_id``, ``track_name``, ``score`` (0-100 or null): a
            row for each window in which the track was there.
        params: the levels, and how far ahead the question looks.

    Returns:
        A sentence where no track is seen in a window and again at its horizon.
    """
    alta, media = thresholds(params.model)
    ahead = params.windows.window * params.model.horizon
    seen = scores.dropna(subset="score").sort_values(["country", "track_id", "time"])
    key = ["country", "track_id"]
    before = seen.assign(windows=seen.groupby(key).cumcount())
    later = seen[[*key, "time", "score"]].assign(time=seen["time"] - ahead)
    both = before.merge(later, on=[*key, "time"], suffixes=("", "_later"))
    if both.empty:
        return Text("Todavía no hay ninguna canción que se vea en una ventana y en su horizonte.")
    rose = both[(both["score"] < alta) & (both["score_later"] >= alta)]
    one = (rose if len(rose) else both).nlargest(1, "windows").iloc[0]
    own = seen[(seen["country"] == one["country"]) & (seen["track_id"] == one["track_id"])]
    times = own["time"]
    shown = own[
        (times <= one["time"]) & (times >= one["time"] - 2 * ahead - 12 * params.windows.window)
    ]
    asked = own[times == one["time"] + ahead]
    return figures.question(
        pd.concat([shown, asked]),
        params.sources.source,
        f"«{one['track_name'] or one['track_id']}» en {country(one['country'])}",
        (alta, media),
        duration(ahead),
    )


def baseline_finding(accuracy: float, macro_f1: float, params: Params) -> Text:
    """Say what somebody reaches who says that everything stays."""
    ahead = duration(params.windows.window * params.model.horizon)
    return Text(
        f"Sin aprender nada, decir «{ahead} después seguirá como ahora» acierta el "
        f"{percent(accuracy, 0)}, con un macro-F1 de {number(macro_f1, 3)}: por ahí empieza a "
        "tener mérito un modelo. En la fase 5 se mide igual, solo con el rango de prueba."
    )


def provenance(params: Params) -> Text:
    """Say where the data come from and what that allows to conclude."""
    if params.sources.source == "simulator":
        return Text(
            f"**Los datos son sintéticos.** Un simulador con semilla {params.simulator.seed} "
            "genera "
            f"unos {number(params.simulator.events)} eventos de {params.simulator.days} días. "
            "Imita mecanismos conocidos (estrenos que suben y decaen, cola larga, ritmo diario, "
            "contagio entre países), así que sirve para probar el sistema de punta a punta; sus "
            "cifras no describen el mercado real.",
            "warning",
        )
    if params.sources.source == "webapi":
        plays = params.windows.target == "plays"
        gone = ", y una canción que deja de verse cuenta como Baja" if plays else ""
        return Text(
            "Los datos son **lo que enseña la Web API de Spotify** cada "
            f"{duration(params.webapi.interval)} en cada país: búsquedas, lanzamientos, canciones "
            "de listas y, si se dijo de quién, escuchas recientes. No son todas las escuchas de "
            f"nadie: lo que no se pregunta no se ve{gone}. Su política de desarrolladores (III.14) "
            "**prohíbe entrenar modelos** con este contenido sin permiso.",
            "warning",
        )
    return Text(
        "Los datos son **listas semanales Top 200 reales**, un evento por canción, país y semana, "
        "con sus reproducciones. Lo que no entra en la lista no se ve: una canción que sale de "
        "ella cuenta como Baja, y no hay saltos, búsquedas ni horas del día.",
        "warning",
    )


def users() -> Table:
    """Return who uses the predictions and for what."""
    return listing(
        "Quién lo usa y qué decide",
        (
            ("Editora de listas", "qué canción entra o sale de una lista", "predicciones por país"),
            ("Sello discográfico", "dónde promocionar un lanzamiento", "informe y panel"),
            ("Aplicación", "qué recomendar ahora", "el servicio de predicción"),
            ("Ingeniería de datos", "si el sistema va al día y no pierde nada", "panel, auditoría"),
        ),
        ("Quién", "Qué decide", "Qué mira"),
    )


def criteria(gate: Gate) -> Table:
    """Return what counts as success, from the gate's parameters."""
    return listing(
        "Criterios de éxito, fijados antes de mirar los datos",
        (
            ("Exactitud en prueba", f"al menos {number(gate.min_accuracy, 2)}"),
            ("Macro-F1 en prueba", f"al menos {number(gate.min_macro_f1, 2)}"),
            ("Frente a la persistencia", "mejor, y con el intervalo de la diferencia sobre cero"),
            (
                "Ver venir lo que sube",
                f"su orden, al menos {number(gate.min_rise_lift, 1)} veces la precisión media del "
                "azar, y ni el de hoy, ni el impulso, ni la logística, ni el modelo en servicio "
                "lo hacen mejor con seguridad",
            ),
            (
                "Error de calibración",
                f"como mucho {number(gate.max_ece, 2)}: la probabilidad es de fiar",
            ),
            (
                "Frente al modelo en servicio",
                "en filas que ninguno conocía, ni el conjunto (con su intervalo) ni un país "
                f"pierden más de {number(gate.country_regression, 2)}",
            ),
            (
                "Latencia del modelo",
                f"{number(gate.max_latency.total_seconds() * 1000)} ms por petición "
                f"(percentil 99), {number(gate.max_row_time.total_seconds() * 1e6)} µs "
                "por fila en lote",
            ),
            ("Ni un registro perdido", "la auditoría cuadra, partición por partición"),
        ),
        ("Criterio", "Umbral"),
    )


def costs(cost_params: Cost) -> Table:
    """Return what each pair of true and predicted level costs, as the evaluation counts it."""
    matrix = cost_matrix(cost_params)
    return Table(
        "Lo que cuesta cada decisión (unidades; filas: lo que pasó)",
        ("Pasó", *(f"se dijo {level}" for level in LEVELS)),
        tuple(
            (level, *(number(float(cost), 1) for cost in row))
            for level, row in zip(LEVELS, matrix, strict=True)
        ),
        (False, True, True, True),
    )


def dictionary() -> Table:
    """Return the data dictionary of an event."""
    return listing("Diccionario de datos de un evento", _MEANINGS, ("Campo", "Tipo", "Qué es"))


def risks(params: Params) -> Text:
    """List what can go wrong and what is done about it."""
    return Text(
        f"""\
- **Fuga del futuro.** Se evita por construcción: solo se usan ventanas cerradas, y entre el
  entrenamiento y la prueba queda un hueco de
  {duration(params.windows.window * params.model.horizon)}. La fase 3 lo comprueba.
- **Eventos tarde, repetidos o rotos.** Se cuentan, no se descartan en silencio; la auditoría de la
  fase 6 los suma contra el registro de Kafka.
- **Un modelo que solo repite el pasado.** Toda cifra va al lado de la persistencia.
- **Países con pocos datos.** Se miran por separado, con su intervalo.
- **El mundo cambia.** El modelo se vuelve a evaluar y solo se promociona si pasa los criterios.""",
        "prose",
    )


def plan(model: Model) -> Text:
    """Close the phase: what will be done and when it counts as done."""
    rows = percent(model.test_share, 0)
    held = (
        f"lo posterior al {model.test_start:%d/%m/%Y}"
        if model.test_start
        else f"el último {rows} del tiempo"
    )
    return Text(
        f"Se entrena con lo más antiguo, se elige con una validación posterior y se juzga **una "
        f"sola vez** con {held}. Si no mejora a la persistencia, no se despliega.",
        "decision",
    )
