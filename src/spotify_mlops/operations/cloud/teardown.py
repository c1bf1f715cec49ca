"""Ending what a profile runs in the cloud, in order, and telling by its labels what is left.

Each step looks at what is there, so that doing it again after an interruption goes on from there.
The platform itself (network, cluster, bucket, accounts) is its own program's to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError
from pymongo.errors import PyMongoError

from ...config.errors import ParamsError, ServiceError, one_line
from ...config.labels import labels
from ...config.params import Params
from ...config.progress import Progress, silent
from ...config.references import LOCAL
from ...io.bigquery import clients as warehouse
from ...io.google_apis import Apis
from ...io.mongo import clients as store
from ...io.storage import objects
from ...model.endpoint import Endpoint
from .. import apps
from ..engines import cluster
from . import watcher
from .check.finding import Context, Finding
from .check.running import guarded
from .cost import is_all_local

OF_DATA = ("storage.googleapis.com/", "bigquery.googleapis.com/")
"""What holds data, by the beginning of its kind: it stays where the data stay."""
State = Literal["done", "would", "kept", "nothing"]
_COLLECTIONS = ("events", "tracks")


@dataclass(frozen=True)
class Step:
    """Something to end."""

    code: str
    look: Callable[[Params], list[str]]
    """Return the names of what is there."""
    end: Callable[[Params, Progress], None]
    holds_data: bool = False


@dataclass(frozen=True)
class Removal:
    """What was, or would be, ended in a step."""

    step: str
    state: State
    names: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What was done, and what the labels say that is left."""

    removals: tuple[Removal, ...]
    left: Finding

    @property
    def is_clean(self) -> bool:
        """Tell that nothing is known to be left that should not be."""
        return self.left.state != "bad"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"clean": self.is_clean}


def teardown(
    params: Params, *, data: bool = False, dry_run: bool = True, say: Progress = silent
) -> Report:
    """End what runs of a profile in the cloud; with ``data``, what it keeps there as well.

    Args:
        params: of the profile.
        data: the tables, the documents and the archive go too.
        dry_run: only look.
        say: is told of each step.

    Raises:
        ParamsError: it has nothing in the cloud, or its data are protected.
        ServiceError: something does not answer or does not end; what was ended stays ended.
    """
    if is_all_local(params):
        raise ParamsError(
            "Este perfil no tiene nada en la nube. Lo de esta máquina lo detiene "
            "«spotify-mlops down»."
        )
    if data and not dry_run and params.platform.deletion_protection:
        raise ParamsError(
            "platform_deletion_protection es true: los datos no se borran. Si es lo que quieres, "
            "ponlo a false en el perfil."
        )
    removals = tuple(_step(params, step, data, dry_run, say) for step in STEPS)
    context = Context(params, Apis(params))
    left = guarded("left", lambda found: _left(found, data or dry_run), context, "unknown")
    return Report(removals, left or Finding("left", "unknown", "failed", {"said": ""}))


def _step(params: Params, step: Step, data: bool, dry_run: bool, say: Progress) -> Removal:
    names = tuple(step.look(params))
    if not names:
        return Removal(step.code, "nothing", names)
    if step.holds_data and not data:
        return Removal(step.code, "kept", names)
    if dry_run:
        return Removal(step.code, "would", names)
    step.end(params, say)
    return Removal(step.code, "done", names)


def _jobs(params: Params) -> list[str]:
    watching = watcher.instances(params, Apis(params))
    pools = [watcher.pool_id(params)] if watching else []
    return [*pools, *(job.name for _, job in cluster.active(params, cluster.stream_name(params)))]


def _drain(params: Params, say: Progress) -> None:
    # Who watches would send a job that ends again.
    watcher.scale(params, Apis(params), 0, say)
    apps.stop_apps()
    for engine, job in cluster.active(params, cluster.stream_name(params)):
        say(f"{engine.TITLE}: se vacía la tarea {job.name}; tarda unos minutos")
        engine.finish(params, job)


def _versions(params: Params) -> list[str]:
    endpoint = Endpoint(params)
    deployed = endpoint.deployed()
    if deployed is None:
        return []
    return [endpoint.name, *(f"{params.model.name}@{version}" for version in deployed)]


def _undeploy(params: Params, say: Progress) -> None:
    Endpoint(params).remove(say)


def _tables(params: Params) -> list[str]:
    name = f"{params.cloud.project}.{params.bigquery.dataset}"
    try:
        return [f"{name}.{each.table_id}" for each in warehouse.client(params).list_tables(name)]
    except NotFound:
        return []
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise _failed("BigQuery", error) from error


def _drop_tables(params: Params, say: Progress) -> None:
    say(f"BigQuery: se borran las tablas de {params.bigquery.dataset}")
    try:
        for name in _tables(params):
            warehouse.client(params).delete_table(name, not_found_ok=True)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise _failed("BigQuery", error) from error


def _documents(params: Params) -> list[str]:
    if params.mongo.uri == LOCAL:
        return []
    try:
        found = store.database(params).list_collection_names()
    except PyMongoError as error:
        raise _failed("MongoDB", error) from error
    return [f"{params.mongo.database}.{name}" for name in _COLLECTIONS if name in found]


def _drop_documents(params: Params, say: Progress) -> None:
    say(f"MongoDB: se borra {params.mongo.database}")
    try:
        for name in _COLLECTIONS:
            store.database(params).drop_collection(name)
    except PyMongoError as error:
        raise _failed("MongoDB", error) from error


def _archive(params: Params) -> list[str]:
    where = params.cloud.archive
    return [where] if objects.has_generations(where) and objects.is_any(where) else []


def _clear_archive(params: Params, say: Progress) -> None:
    say(f"Cloud Storage: se borra lo que hay en {params.cloud.archive}")
    objects.clear(params.cloud.archive)


def _left(context: Context, with_data: bool) -> Finding:
    """Tell what has the project's label still.

    Args:
        context: of whose project.
        with_data: whether what holds data counts.
    """
    params = context.params
    query = " AND ".join(f"labels.{key}={value}" for key, value in labels(params).items())
    path = f"v1/projects/{params.cloud.project}:searchAllResources"
    names: list[str] = []
    token = ""
    while True:
        page = context.apis.ask("cloudasset", path, {"query": query, "pageToken": token})
        names += [
            str(each["name"]).removeprefix("//")
            for each in page.get("results", [])
            if with_data or not str(each.get("assetType", "")).startswith(OF_DATA)
        ]
        token = str(page.get("nextPageToken", ""))
        if not token:
            break
    facts = {"names": names, "count": len(names), "project": params.cloud.project}
    return Finding("left", "bad" if names else "good", "some" if names else "none", facts)


def _failed(title: str, error: Exception) -> ServiceError:
    return ServiceError(f"{title}: {one_line(error, 200)}")


STEPS = (
    Step("job", _jobs, _drain),
    Step("endpoint", _versions, _undeploy),
    Step("tables", _tables, _drop_tables, holds_data=True),
    Step("documents", _documents, _drop_documents, holds_data=True),
    Step("archive", _archive, _clear_archive, holds_data=True),
)
"""In this order: nothing writes where its data go."""
