"""Who watches the streaming job in the cloud: a worker pool of Cloud Run, of one instance or none.

The platform's program makes the pool. It must never have two: one writes a log's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.auth.exceptions import GoogleAuthError

from ...config.errors import ServiceError, one_line
from ...config.params import Params
from ...config.progress import Progress
from ...config.references import LOCAL
from ...io import retry
from ...io.google_apis import Apis, RefusedError
from ...model.registry import model_id


def pool_id(params: Params) -> str:
    """Return what the pool is called: profiles never mix."""
    return f"{model_id(params)}-stream"


def instances(params: Params, apis: Apis) -> int | None:
    """Return how many instances the pool is to have; None where there is no pool.

    Raises:
        ServiceError: Cloud Run does not say it.
    """
    if params.dataflow.endpoint == LOCAL:  # and so whoever watches
        return None
    with _asked():
        found = apis.find("run", f"v2/{_name(params)}")
    return None if found is None else int(found.get("scaling", {}).get("manualInstanceCount", 0))


def scale(params: Params, apis: Apis, count: int, say: Progress) -> None:
    """Give the pool so many instances, and wait until Cloud Run has done it.

    Raises:
        ServiceError: there is no pool to have one, or Cloud Run does not do it.
    """
    there = instances(params, apis)
    if (there or 0) == count:
        return
    if there is None:
        raise ServiceError(
            f"No existe el grupo {pool_id(params)} de Cloud Run, en que corre «stream»: lo hace la "
            "plataforma, cuando hay imágenes."
        )
    say(f"Cloud Run: {pool_id(params)} pasa de {there} a {count} instancias")
    wanted = {"scaling": {"manualInstanceCount": count}}
    with _asked():
        begun = apis.ask(
            "run", f"v2/{_name(params)}", {"updateMask": "scaling"}, wanted, method="PATCH"
        )

        def look() -> dict[str, Any]:
            return begun if begun.get("done") else apis.ask("run", f"v2/{begun['name']}")

        patience = params.cloud.deploy_timeout.total_seconds()
        ended = retry.until(look, lambda operation: bool(operation.get("done")), patience)
    if "error" in ended:
        raise ServiceError(f"Cloud Run: {one_line(ended['error'].get('message', ''), 200)}")
    if not ended.get("done"):
        raise ServiceError(f"Cloud Run sigue cambiando las instancias de {pool_id(params)}.")


@contextmanager
def _asked() -> Iterator[None]:
    """Say in the user's words what Cloud Run answers in Google's."""
    try:
        yield
    except RefusedError as error:
        raise ServiceError(f"Cloud Run responde {error.status}: {one_line(error, 200)}") from error
    except GoogleAuthError as error:
        raise ServiceError(f"Cloud Run: {one_line(error, 200)}") from error


def _name(params: Params) -> str:
    where = f"projects/{params.cloud.project}/locations/{params.cloud.location}"
    return f"{where}/workerPools/{pool_id(params)}"
