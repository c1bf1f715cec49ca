"""Which files the emulator opens: its own and those of the folder of uploads.

Its SQL is DuckDB's, which can read and write files, attach databases and load programs; load and
extract jobs take any ``file://`` (``_resolve_uri`` of ``jobs/executor.py``).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import bqemulator.jobs.executor as executor
import duckdb
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.types import geography
from duckdb_extensions import import_extension


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
        path = Path(resolve(uri, context)).resolve()
        if uploads not in path.parents:
            raise InvalidQueryError(
                f"«{uri}» no está al alcance: se carga con una subida (load_table_from_file)."
            )
        return str(path)

    executor._resolve_uri = within  # type: ignore[assignment]
