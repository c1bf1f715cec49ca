"""Resources in one SQLite file: each a message, committed before its answer is given.

The server's event loop is the only user, so what runs between two ``await`` is one change.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from .errors import ApiError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    parent TEXT NOT NULL,
    message BLOB NOT NULL,
    extra TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_parent ON resources (kind, parent);
"""


@dataclass
class Row:
    """A stored message and what the server keeps beside it."""

    name: str
    message: Any
    extra: dict[str, Any] = field(default_factory=dict)


class Store:
    """The server's memory."""

    def __init__(self, path: Path) -> None:
        """Open the file, made when absent.

        Raises:
            sqlite3.Error: it cannot be opened, or is no database.
        """
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Commit what is written within, all or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def find(self, kind: str, name: str, make: type[Message]) -> Row | None:
        """Return a resource, or None."""
        found = self._connection.execute(
            "SELECT message, extra FROM resources WHERE kind = ? AND name = ?", (kind, name)
        ).fetchone()
        return None if found is None else Row(name, make.FromString(found[0]), json.loads(found[1]))

    def get(self, kind: str, name: str, make: type[Message]) -> Row:
        """Return a resource.

        Raises:
            ApiError: there is none of that name.
        """
        row = self.find(kind, name, make)
        if row is None:
            raise ApiError.not_found(name)
        return row

    def rows(self, kind: str, make: type[Message], parent: str | None = None) -> list[Row]:
        """Return the resources of a kind, oldest first; those of one parent when it is given."""
        query = "SELECT name, message, extra FROM resources WHERE kind = ?"
        given: tuple[str, ...] = (kind,)
        if parent is not None:
            query, given = f"{query} AND parent = ?", (kind, parent)
        return [
            Row(name, make.FromString(message), json.loads(extra))
            for name, message, extra in self._connection.execute(
                f"{query} ORDER BY sequence", given
            )
        ]

    def put(self, kind: str, row: Row, parent: str) -> None:
        """Write a resource, new or not."""
        self._connection.execute(
            "INSERT INTO resources (kind, name, parent, message, extra) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET message = excluded.message, extra = excluded.extra",
            (kind, row.name, parent, row.message.SerializeToString(), json.dumps(row.extra)),
        )

    def delete(self, name: str) -> None:
        """Remove a resource; harmless when there is none."""
        self._connection.execute("DELETE FROM resources WHERE name = ?", (name,))
