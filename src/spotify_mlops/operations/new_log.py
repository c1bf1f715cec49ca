"""Begin with another log under the same name: the old one's archive is set aside, its rows go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from apache_beam.io.filesystems import FileSystems

from ..config.params import Params
from ..config.progress import Progress, silent
from ..io import answering, bigquery, files, mongo
from ..io.archive import archived
from ..io.archive.location import archive_root
from ..io.bigquery import tables
from ..pipeline.sinks import positions
from .bounded import summary_file

_COLLECTIONS = ("events", "tracks")


@dataclass(frozen=True)
class Plan:
    """What ``begin`` would do."""

    files: int
    """That are set aside: the archive of the log and the saved position."""
    aside: str
    """The folder in which they get one of their own."""
    tables: tuple[str, ...]
    """Deleted from the dataset, with the views over them."""
    collections: tuple[str, ...]
    """Dropped from the database."""


def plan(params: Params) -> Plan:
    """Return what ``begin`` would do."""
    return Plan(
        len(_kept(params)),
        _aside(params, ""),
        tuple(table.name for table in tables.log_tables(params.windows)),
        _COLLECTIONS,
    )


def begin(params: Params, say: Progress = silent) -> str:
    """Set aside what an older log left, so that the topic's own is processed from its start.

    It can be repeated when it was interrupted. Models, promotions and observations stay.

    Returns:
        The folder that has the older log's archive and position.

    Raises:
        ServiceError: a service does not answer, or a job is writing.
    """
    answering.require(params, "bigquery", "mongo")
    aside = _aside(params, f"{params.kafka.topic}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    with positions.exclusive(params):
        client = bigquery.client(params)
        for table in (*tables.log_tables(params.windows), *tables.views(params)):
            for name in dict.fromkeys((table.name, table.rows)):
                client.delete_table(
                    f"{params.cloud.project}.{params.bigquery.dataset}.{name}", not_found_ok=True
                )
        database = mongo.database(params)
        for name in _COLLECTIONS:
            database.drop_collection(name)
        say(f"Sin filas del registro anterior: {params.bigquery.dataset} y {params.mongo.database}")
        # Last, and the position last of them: until then the log is refused, and this is repeated.
        root = archive_root(params)
        for path in _kept(params):
            files.move(path, f"{aside}/{path.removeprefix(root).lstrip('/')}")
        say(f"El archivo y la posición están en {aside}")
    return aside


def _aside(params: Params, name: str) -> str:
    return FileSystems.join(archive_root(params), "earlier", name)


def _kept(params: Params) -> list[str]:
    """Return the files that speak of the log, the position last."""
    folder = archived.raw_folder(params)
    patterns = [FileSystems.join(folder, "*", "*"), FileSystems.join(folder, "*")]
    patterns += [summary_file(params), positions.position_file(params)]
    found = [item.path for match in FileSystems.match(patterns) for item in match.metadata_list]
    return list(dict.fromkeys(found))
