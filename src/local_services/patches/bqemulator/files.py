"""Which files the emulator opens: its own and those of the folder of uploads.

Its SQL is DuckDB's, which can read and write files, attach databases and load programs; load and
extract jobs take any ``file://`` (``_resolve_uri`` of ``jobs/executor.py``).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import bqemulator.jobs.executor as executor
import duckdb
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.types import geography
from duckdb_extensions import import_extension

_COPY = "object-"
"""What the name of a copy of a bucket's object begins with."""


def shut_in(connection: Any, uploads: Path) -> None:
    """Let a DuckDB database open its own files and those of a folder, and load nothing more.

    It cannot be undone while the database is open: ``SET enable_external_access`` and ``SET
    allowed_directories`` are refused from then on.
    """
    folder = str(uploads).replace("'", "''")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute(f"SET allowed_directories = ['{folder}']")
    connection.execute("SET enable_external_access = false")


def shut_in_conversions(uploads: Path) -> None:
    """Do the same to the database in memory where the emulator converts geographies.

    It would fetch its extension, were it not in place.
    """
    import_extension("spatial")  # from its wheel, so that nothing is downloaded at run time
    connection = duckdb.connect(":memory:")
    connection.execute("LOAD spatial")
    shut_in(connection, uploads)
    geography._CONV_CONN = connection


def only_uploads(uploads: Path) -> None:
    """Refuse load and extract jobs that name a file outside a folder.

    Some formats are read by libraries, which DuckDB's rules do not bind.

    Args:
        uploads: the folder, resolved.
    """
    resolve = executor._resolve_uri

    @functools.wraps(resolve)
    def within(uri: str, context: Any) -> str:
        if uri.startswith("gs://"):
            return _fetched(uri, uploads)
        path = Path(resolve(uri, context)).resolve()
        if uploads not in path.parents:
            raise InvalidQueryError(
                f"«{uri}» no está al alcance: se carga con una subida (load_table_from_file), o "
                "de un bucket."
            )
        return str(path)

    executor._resolve_uri = within  # type: ignore[assignment]


def let_go(path: str) -> None:
    """Remove the copy of an object that was loaded; an upload is its request's to remove."""
    if Path(path).name.startswith(_COPY):
        Path(path).unlink(missing_ok=True)


def _fetched(uri: str, uploads: Path) -> str:
    """Return the path of a copy of an object; what is not let go of goes at the next start.

    Raises:
        InvalidQueryError: there is no such object, or it has a wildcard.
    """
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage  # type: ignore[attr-defined]

    if "*" in uri:
        raise InvalidQueryError(f"«{uri}»: el BigQuery local no admite «*»; di cada objeto.")
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    # The name of an object may hold what a statement of the emulator's must not.
    target = uploads / f"{_COPY}{hashlib.sha256(uri.encode()).hexdigest()}{Path(name).suffix}"
    try:
        storage.Client(project=None).bucket(bucket).blob(name).download_to_filename(str(target))
    except (GoogleAPICallError, GoogleAuthError, OSError) as error:
        raise InvalidQueryError(f"«{uri}» no se puede leer: {error}") from error
    return str(target)
