"""The Python workers of a local Flink: which processes they are."""

from __future__ import annotations

import psutil


def workers(pool: int | None) -> list[psutil.Process]:
    """Return those of a pool, by its pid: a process of the pool's forks them."""
    return [worker for server in psutil.Process(pool).children() for worker in server.children()]
