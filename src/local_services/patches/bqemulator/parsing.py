"""The emulator parses a query's text some twenty times, one after the other: here, once.

Each of its checks and rewrites calls ``sqlglot.parse_one`` by itself (``jobs/executor.py``,
``catalog/ddl_sync.py``, ``sql/translator.py``), and a page that refreshes asks the same again.
"""

from __future__ import annotations

import functools
from typing import Any

import sqlglot
from sqlglot.expressions import Expr

KEPT = 128
"""Texts whose trees are kept; each of the forms that a query goes through is one."""
LONGEST = 20_000
"""Characters of a text that is kept."""


def parse_once() -> None:
    """Remember the trees of the last texts: who asks for one gets a copy, which costs a fifth."""
    parse = sqlglot.parse_one

    @functools.lru_cache(KEPT)
    def tree(text: str, dialect: str | None) -> Expr:
        return parse(text, dialect=dialect)

    @functools.wraps(parse)
    def parse_one(sql: str, read: Any = None, dialect: Any = None, **options: Any) -> Expr:
        named = read or dialect
        if options or len(sql) > LONGEST or not isinstance(named, str | None):
            return parse(sql, read=read, dialect=dialect, **options)
        return tree(sql, named).copy()

    sqlglot.parse_one = parse_one  # type: ignore[assignment]
