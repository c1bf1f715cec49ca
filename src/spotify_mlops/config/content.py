"""What may be done with the content of Spotify's Web API.

The Developer Policy (III.14, https://developer.spotify.com/policy) forbids to train a model on it.
"""

from __future__ import annotations

from .errors import ParamsError
from .params import Params

POLICY = (
    "La política de desarrolladores de Spotify (III.14) prohíbe entrenar modelos con lo que da su "
    "Web API: entrenar con ello pide webapi_training_allowed: true, para quien tenga permiso."
)


def said_before(params: Params) -> str | None:
    """Return what a profile says (Spanish) before it starts; None where there is nothing to say."""
    return POLICY if params.sources.source == "webapi" else None


def check_training(params: Params, *, found: bool = False) -> None:
    """Refuse to train on the Web API's content, unless the params say that it is allowed.

    Args:
        params: whose source it may be.
        found: there is such content in the dataset, whatever the source of the params.

    Raises:
        ParamsError: it is not allowed.
    """
    if params.webapi.training_allowed or not (found or params.sources.source == "webapi"):
        return
    where = f" (el dataset {params.bigquery.dataset} tiene)" if found else ""
    raise ParamsError(
        f"No se entrena con contenido de la Web API de Spotify{where}: su política de "
        "desarrolladores (III.14) lo prohíbe. Con un permiso, o con contenido que no es suyo, "
        "«--set webapi_training_allowed=true». No lo piden ingest, stream, replay, los cuadernos "
        "01 a 03 ni predecir con un modelo entrenado con otros datos."
    )
