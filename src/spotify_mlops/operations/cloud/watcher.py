"""Who watches the streaming job in the cloud: a worker pool of Cloud Run, of one instance or none.

The platform's program makes the pool. It must never have two: one writes a log's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Pool:
    """The pool, as Cloud Run tells of it."""

    instances: int
    """That it is to have."""
    is_settled: bool
    """Whether Cloud Run has done what it was last asked for."""
    failure: str | None
    """What it says of why it could not; None where it could."""

    def has(self, count: int) -> bool:
        """Tell whether Cloud Run has done with giving it so many."""
        return self.is_settled and self.instances == count


def pool(params: Params, apis: Apis) -> Pool | None:
    """Return the pool; None where there is none.

    Raises:
        ServiceError: Cloud Run does not say it.
    """
    if params.dataflow.endpoint == LOCAL:  # and so whoever watches
        return None
    with _asked():
        found = apis.find("run", f"v2/{_name(params)}")
    if found is None:
        return None
    ready = found.get("terminalCondition", {})
    failed = ready.get("state") == "CONDITION_FAILED"
    return Pool(
        int(found.get("scaling", {}).get("manualInstanceCount", 0)),
        not found.get("reconciling", False)
        and found.get("observedGeneration") == found.get("generation"),
        one_line(ready.get("message", ""), 200) if failed else None,
    )


def instances(params: Params, apis: Apis) -> int | None:
    """Return how many instances the pool is to have; None where there is no pool.

    Raises:
        ServiceError: Cloud Run does not say it.
    """
    found = pool(params, apis)
    return None if found is None else found.instances


def scale(params: Params, apis: Apis, count: int, say: Progress) -> None:
    """Give the pool so many instances, and wait until Cloud Run has done it.

    The pool itself is asked whether that is so: its operation is of the project, in which whoever
    deploys has no right to look.

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
        apis.ask("run", f"v2/{_name(params)}", {"updateMask": "scaling"}, wanted, method="PATCH")
    patience = params.cloud.deploy_timeout.total_seconds()
    found = retry.until(
        lambda: pool(params, apis), lambda each: each is None or each.has(count), patience
    )
    if found is None or not found.has(count):
        raise ServiceError(f"Cloud Run sigue cambiando las instancias de {pool_id(params)}.")
    if found.failure is not None:
        raise ServiceError(f"Cloud Run no da instancias a {pool_id(params)}: {found.failure}")


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
