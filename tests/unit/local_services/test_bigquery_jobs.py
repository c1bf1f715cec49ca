"""The emulator's jobs: as many as are of use, in memory and on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bqemulator.catalog.models import JobMeta
from bqemulator.config import PersistenceMode, Settings
from bqemulator.storage.engine import DuckDBEngine
from duckdb_extensions import import_extension

from local_services.patches.bqemulator import memory

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    settings = Settings(
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=tmp_path,
        enable_format_extensions=False,
    )
    import_extension("spatial")  # which the engine would download
    opened = DuckDBEngine(settings)
    asyncio.run(opened.start())
    yield opened
    asyncio.run(opened.stop())


def job(number: int, state: str = "DONE", **statistics: Any) -> JobMeta:
    return JobMeta(
        project_id="p",
        job_id=f"j{number}",
        job_type="QUERY",
        state=state,
        configuration={},
        statistics=statistics,
        creation_time=NOW + timedelta(seconds=number),
        etag="e",
    )


def on_disk(engine: DuckDBEngine) -> int:
    return engine.execute("SELECT COUNT(*) FROM _bqemulator_catalog.jobs").fetchone()[0]


def test_old_jobs_are_forgotten(engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT", 10)
    schemas: dict[str, Any] = {}
    monkeypatch.setattr(memory.executor, "JOB_SCHEMAS", schemas)
    catalog = memory.RecentJobs(engine)
    catalog.ensure_ready()
    catalog.upsert_job(job(0, "RUNNING"))
    for number in range(1, 100):
        schemas[f"j{number}"] = []
        catalog.upsert_job(job(number))
        assert catalog.get_job("p", f"j{number}") is not None
        assert len(schemas) <= 21
        assert on_disk(engine) <= 21
    assert catalog.get_job("p", "j0") is not None
    assert catalog.get_job("p", "j1") is None
    assert len(catalog.list_jobs("p")) == on_disk(engine)
    again = memory.RecentJobs(engine)
    again.ensure_ready()
    assert len(again.list_jobs("p")) == on_disk(engine) == 11


def test_what_a_job_read_is_kept_in_memory_alone(engine: DuckDBEngine) -> None:
    catalog = memory.RecentJobs(engine)
    for number, kind in enumerate(("SELECT", "MERGE", "CREATE_TABLE_AS_SELECT")):
        catalog.upsert_job(job(number, query={"statementType": kind}))
    assert len(catalog.list_jobs("p")) == 3
    again = memory.RecentJobs(engine)
    assert {each.job_id for each in again.list_jobs("p")} == {"j1", "j2"}
