"""The panels of the business board: what was heard, what will be, and how well it is foretold."""

from __future__ import annotations

from collections.abc import Iterable

from ...config.params import Params
from ...config.sections import Windows
from ...model.early_detection import SHOWN
from ..es import duration
from ..es.names import EVENT_TYPE_NAMES, MODEL_NAMES, country, named_sql
from ..figures.style import ACCENT, EVENT_TYPE_COLORS, LEVEL_COLORS, OTHER
from .panel import Panel, Threshold
from .sql import NO_MONITOR, RUN_WINDOW, shares

_RISE_WINDOWS = 6
_LEAD_WINDOWS = 72
"""Windows that the panel of leads looks back over, at most."""
_KEPT = {f"rise_precision_at_{SHOWN}": "de la lista", "rise_rate": "al azar"}
"""Live metrics of the list of what would rise, and of all that could."""
_KEPT_NAMES = named_sql("metric", _KEPT)
_KEPT_COLORS = {"de la lista": ACCENT, "al azar": OTHER}
_PREDICTED = (
    "country IN {countries} AND level IN {levels} AND model IN {models} "
    "AND window_start BETWEEN {start} AND {end}"
)
_LAST_PREDICTED = (
    "window_start = (SELECT MAX(window_start) FROM {dataset}.spotify_predictions_rows "
    "WHERE window_start BETWEEN {start} AND {end})"
)


def panels(params: Params) -> tuple[Panel, ...]:
    """Return them, in the order in which the board shows them."""
    window = int(params.windows.window.total_seconds())
    minutes = params.windows.window.total_seconds() / 60
    ahead = duration(params.windows.window * params.model.horizon)
    rise = duration(params.windows.window * _RISE_WINDOWS)
    return (
        Panel(
            "predicted_tracks",
            "business",
            "Canciones con predicción",
            "¿De cuántas canciones y países se sabe qué nivel tendrán?",
            "stat",
            "SELECT 'Canciones y países' AS series, COUNT(*) AS value, "
            "FORMAT_TIMESTAMP('ventana del %d/%m/%Y, %H:%M', MAX(window_start)) AS detail "
            f"FROM {{dataset}}.spotify_predictions WHERE {_LAST_PREDICTED} AND {_PREDICTED} "
            "HAVING COUNT(*) > 0",
            width=3,
        ),
        Panel(
            "share_alta",
            "business",
            "Serán Alta",
            f"¿Qué parte de lo que suena ahora será Alta dentro de {ahead}?",
            "stat",
            shares(
                "COUNTIF(level = 'Alta')",
                "COUNT(*)",
                ("de lo que suena", "canciones y países"),
                f"FROM {{dataset}}.spotify_predictions WHERE {_LAST_PREDICTED} "
                "AND window_start BETWEEN {start} AND {end} "
                "AND country IN {countries} AND model IN {models}",
            ),
            units={"canciones y países": "count"},
            unit="share",
            width=3,
        ),
        Panel(
            "live_accuracy",
            "business",
            "Acierto en directo",
            "¿Cuánto acierta lo que se predijo, ahora que se sabe?",
            "stat",
            "SELECT 'Predicciones acertadas' AS series, "
            "SUM(value * m.rows) / SUM(m.rows) AS value, "
            "CONCAT('en ', CAST(COUNT(DISTINCT run_id) AS STRING), ' ventanas ya conocidas') "
            "AS detail FROM {dataset}.spotify_model_metrics AS m "
            f"WHERE {_scored(params, 'live')} "
            "HAVING COUNT(*) > 0",
            unit="share",
            width=3,
            base="critical",
            thresholds=(
                Threshold(params.gate.min_accuracy - params.monitor.retrain_margin, "warning"),
                Threshold(params.gate.min_accuracy, "good"),
            ),
            empty=NO_MONITOR,
        ),
        Panel(
            "event_count",
            "business",
            "Eventos contados",
            "¿De cuánta actividad se habla aquí?",
            "stat",
            "SELECT 'eventos' AS series, SUM(counted) AS value, "
            "CONCAT('en ', CAST(COUNT(DISTINCT window_start) AS STRING), ' ventanas') AS detail "
            "FROM {dataset}.spotify_counters WHERE window_start BETWEEN {start} AND {end} "
            "HAVING COUNT(*) > 0",
            width=3,
        ),
        Panel(
            "popularity_distribution",
            "business",
            "Niveles previstos, ventana a ventana",
            f"¿Cómo se reparten Alta, Media y Baja, previstas a {ahead}?",
            "stacked",
            "SELECT window_start AS time, level AS series, COUNT(*) AS value "
            f"FROM {{dataset}}.spotify_predictions WHERE {_PREDICTED} "
            "GROUP BY window_start, level ORDER BY time, series",
            colors=LEVEL_COLORS,
        ),
        Panel(
            "popularity_by_country",
            "business",
            "Niveles previstos por país, última ventana",
            "¿En qué países habrá más canciones de nivel Alta?",
            "bars",
            f"SELECT {_country(params)} AS category, level AS series, "
            "COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY country) AS value "
            f"FROM {{dataset}}.spotify_predictions WHERE {_LAST_PREDICTED} AND {_PREDICTED} "
            "GROUP BY country, level ORDER BY category, series",
            unit="share",
            colors=LEVEL_COLORS,
        ),
        Panel(
            "events_per_minute",
            "business",
            "Eventos por minuto",
            "¿Qué hace la gente, y cuándo? (en tiempo del evento, por ventana cerrada)",
            "line",
            f"SELECT window_start AS time, {named_sql('event_type', EVENT_TYPE_NAMES)} AS series, "
            f"COUNT(*) / {minutes:g} AS value FROM {{dataset}}.spotify_events "
            "WHERE event_time >= {start} "
            f"AND event_time < TIMESTAMP_ADD({{end}}, INTERVAL {window} SECOND) "
            "AND window_start <= (SELECT MAX(window_start) FROM {dataset}.spotify_features_rows) "
            "AND country IN {countries} "
            "GROUP BY window_start, event_type ORDER BY time, series",
            unit="per_minute",
            colors={EVENT_TYPE_NAMES[name]: color for name, color in EVENT_TYPE_COLORS.items()},
        ),
        Panel(
            "search_lead",
            "business",
            "Lo que hoy se busca, ¿suena mañana?",
            "A igual puesto ahora, ¿cuánto va con el puesto futuro que ahora se busque más?",
            "bars",
            _search_lead(params.windows, window),
            unit="score",
            colors={"búsquedas": EVENT_TYPE_COLORS["search_result"]},
        ),
        Panel(
            "rising",
            "business",
            "Las que más suben en cada país",
            f"¿Qué canciones ganan más puesto en {rise}, y qué se predice de ellas?",
            "table",
            _rising(params, window),
            width=12,
            units={"Puesto": "score", "Subida": "score", "Prob. de Alta": "share"},
        ),
        Panel(
            "model_metrics",
            "business",
            "El modelo y sus referencias, en el examen",
            "¿Cuánto mejor es el modelo que lo más sencillo? (intervalos del 95 %)",
            "bars",
            "SELECT CASE metric WHEN 'accuracy' THEN 'Exactitud' ELSE 'F1 macro' END AS category, "
            f"{named_sql('model', MODEL_NAMES)} AS series, value, low, high "
            "FROM {dataset}.spotify_model_metrics "
            "WHERE split = 'test' AND slice = 'all' AND metric IN ('accuracy', 'macro_f1') "
            "AND run_id = (SELECT MAX(run_id) FROM {dataset}.spotify_model_metrics_rows "
            "WHERE split = 'test') ORDER BY category, value",
            unit="score",
            colors={MODEL_NAMES["dynamics"]: ACCENT, MODEL_NAMES["persistence"]: OTHER},
        ),
        Panel(
            "scores_over_time",
            "business",
            "Campeón y candidato, ventana a ventana",
            "¿Acierta el modelo hoy como acertaba, y acierta más quien lo quiere sustituir?",
            "line",
            f"SELECT {RUN_WINDOW} AS time, "
            "CONCAT(model, IF(split = 'live', ' · en servicio', ' · a la sombra')) AS series, "
            "SUM(value * m.rows) / SUM(m.rows) AS value "
            "FROM {dataset}.spotify_model_metrics AS m "
            f"WHERE {_scored(params, 'live', 'shadow')} "
            "GROUP BY run_id, model, split ORDER BY time, series",
            unit="share",
            empty=NO_MONITOR,
        ),
        Panel(
            "rises_kept",
            "business",
            "De las que dijimos que subirían, cuántas subieron",
            f"De las {SHOWN} primeras de cada país que aún no eran Alta, ¿cuántas de cada cien "
            f"lo fueron {ahead} después?",
            "bars",
            f"SELECT {_country_of_slice(params)} AS category, {_KEPT_NAMES} AS series, "
            "ROUND(100 * SUM(value * m.rows) / SUM(m.rows), 1) AS value "
            "FROM {dataset}.spotify_model_metrics AS m "
            f"WHERE {_scored(params, 'live', metrics=_KEPT)} "
            "GROUP BY slice, metric ORDER BY category, series",
            colors=_KEPT_COLORS,
            empty=NO_MONITOR,
        ),
        Panel(
            "rises_over_time",
            "business",
            "La lista de las que subirían, ventana a ventana",
            "¿Acierta la lista más que elegir al azar, también hoy?",
            "line",
            f"SELECT {RUN_WINDOW} AS time, {_KEPT_NAMES} AS series, "
            "SUM(value * m.rows) / SUM(m.rows) AS value "
            "FROM {dataset}.spotify_model_metrics AS m "
            f"WHERE {_scored(params, 'live', metrics=_KEPT)} "
            "GROUP BY run_id, metric ORDER BY time, series",
            unit="share",
            colors=_KEPT_COLORS,
            empty=NO_MONITOR,
        ),
    )


def _country(params: Params) -> str:
    """Return an SQL expression for a country's name; for its code, where the params lack it."""
    return named_sql("country", {code: country(code) for code in params.sources.countries})


def _country_of_slice(params: Params) -> str:
    """Return an SQL expression for the name of the country that a slice is of."""
    return named_sql("SUBSTR(slice, 9)", {c: country(c) for c in params.sources.countries})


def _scored(params: Params, *splits: str, metrics: Iterable[str] = ("accuracy",)) -> str:
    """Return the condition for scores of windows by country: a weighted mean adds them up.

    What was predicted is known a horizon later: the range begins that much earlier.
    """
    known = int((params.windows.window * (params.model.horizon + 1)).total_seconds())
    wanted = ", ".join(f"'{split}'" for split in splits)
    asked = ", ".join(f"'{metric}'" for metric in metrics)
    return (
        f"split IN ({wanted}) AND metric IN ({asked}) AND slice LIKE 'country:%' "
        "AND SUBSTR(slice, 9) IN {countries} AND model IN {models} "
        f"AND {RUN_WINDOW} "
        f"BETWEEN TIMESTAMP_SUB({{start}}, INTERVAL {known} SECOND) AND {{end}}"
    )


def _search_lead(windows: Windows, window: int) -> str:
    """Return how searches now go with the play score later, among tracks with the same score now.

    As notebook 02 does: Pearson's correlation after subtracting from both sides the mean of the
    5-point band of the score now.
    """
    lags = ", ".join(str(lag) for lag in windows.lags)
    names = " ".join(
        f"WHEN {lag} THEN 'dentro de {duration(windows.window * lag)}'" for lag in windows.lags
    )
    return (
        "WITH base AS (SELECT country, track_id, window_start, play_score, LN(1 + searches) AS s "
        "FROM {dataset}.spotify_features WHERE play_score IS NOT NULL "
        "AND country IN {countries} AND window_start BETWEEN GREATEST({start}, "
        f"TIMESTAMP_SUB({{end}}, INTERVAL {window * _LEAD_WINDOWS} SECOND)) AND {{end}}), "
        "pairs AS (SELECT k AS lag, FLOOR(b.play_score / 5) AS band, b.s AS s, "
        "l.play_score AS later "
        f"FROM base AS b CROSS JOIN UNNEST([{lags}]) AS k JOIN base AS l "
        "ON l.country = b.country AND l.track_id = b.track_id "
        f"AND l.window_start = TIMESTAMP_ADD(b.window_start, INTERVAL k * {window} SECOND)), "
        "centred AS (SELECT lag, s - AVG(s) OVER (PARTITION BY lag, band) AS x, "
        "later - AVG(later) OVER (PARTITION BY lag, band) AS y FROM pairs) "
        f"SELECT CASE lag {names} END AS category, 'búsquedas' AS series, "
        "CORR(x, y) AS value FROM centred GROUP BY lag "
        "HAVING STDDEV_POP(x) > 0 AND STDDEV_POP(y) > 0 ORDER BY lag"
    )


def _rising(params: Params, window: int) -> str:
    """Return the five tracks of each country whose play score rose most, with their prediction."""
    return (
        "WITH latest AS (SELECT MAX(window_start) AS w FROM {dataset}.spotify_predictions_rows "
        "WHERE window_start BETWEEN {start} AND {end}), "
        "predicted AS (SELECT p.* FROM {dataset}.spotify_predictions AS p JOIN latest "
        "ON p.window_start = latest.w WHERE p.country IN {countries} AND p.level IN {levels} "
        "AND p.model IN {models}), "
        "scores AS (SELECT f.window_start, f.country, f.track_id, f.track_name, f.artist_name, "
        "f.play_score FROM {dataset}.spotify_features AS f JOIN latest ON f.window_start "
        f"IN (latest.w, TIMESTAMP_SUB(latest.w, INTERVAL {window * _RISE_WINDOWS} SECOND)) "
        "WHERE f.country IN {countries}), "
        "ranked AS (SELECT p.country, n.track_name, n.artist_name, p.track_id, "
        "n.play_score AS score, n.play_score - COALESCE(o.play_score, 0) AS rise, p.level, "
        "p.p_alta, ROW_NUMBER() OVER (PARTITION BY p.country "
        "ORDER BY n.play_score - COALESCE(o.play_score, 0) DESC, p.track_id) AS place "
        "FROM predicted AS p "
        "JOIN scores AS n ON n.window_start = p.window_start AND n.country = p.country "
        "AND n.track_id = p.track_id "
        "LEFT JOIN scores AS o ON o.window_start < p.window_start AND o.country = p.country "
        "AND o.track_id = p.track_id WHERE n.play_score IS NOT NULL) "
        f"SELECT {_country(params)} AS `País`, "
        "COALESCE(track_name, track_id) AS `Canción`, level AS `Nivel previsto`, "
        "p_alta AS `Prob. de Alta`, rise AS `Subida`, score AS `Puesto`, "
        "artist_name AS `Artista` FROM ranked WHERE place <= 5 AND rise > 0 "
        "ORDER BY country, place"
    )
